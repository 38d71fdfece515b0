"""Who gets what: workers on cores, or on GPUs. dask_cuda is a stand-in: no GPU is needed."""

from __future__ import annotations

import os
import sys
import types

import dask
import pytest

from skyloom.cluster import ClusterSpec, start
from skyloom.cluster.start import WORKER_ENVIRONMENT
from skyloom.errors import ErrorKind, SpecError


class Reached(Exception):
    """Instead of starting anything."""


@pytest.fixture
def cuda(monkeypatch):
    """dask_cuda, as far as what it is asked for."""
    asked = {}

    class LocalCUDACluster:
        def __init__(self, **how):
            asked.update(how, environment=dask.config.get("distributed.nanny.pre-spawn-environ"))
            raise Reached

    monkeypatch.setitem(sys.modules, "dask_cuda", types.SimpleNamespace(LocalCUDACluster=LocalCUDACluster))
    return asked


def reached(spec):
    with pytest.raises(Reached), start(spec, gpus=True):
        pass


def test_every_gpu_gets_one_worker_of_one_thread_which_listens_here_alone(cuda):
    reached(ClusterSpec(memory_bytes=7))
    assert cuda["n_workers"] is None
    assert cuda["threads_per_worker"] == 1
    assert cuda["host"] == "127.0.0.1"
    assert cuda["memory_limit"] == 7
    assert cuda["environment"] == WORKER_ENVIRONMENT


def test_a_cluster_file_may_ask_for_fewer_gpus(cuda):
    reached(ClusterSpec(workers=2))
    assert cuda["n_workers"] == 2


def test_gpus_without_dask_cuda_are_refused_with_both_ways_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_cuda", None)  # an import of it fails
    refused = pytest.raises(SpecError, match=r"skyloom\[gpu\].*--cluster in-process")
    with refused as caught, start(ClusterSpec(), gpus=True):
        pass
    assert caught.value.kind == ErrorKind.BAD_PARAMETER


def test_this_process_needs_no_dask_cuda_for_its_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    with start(ClusterSpec(kind="in-process"), gpus=True) as running:
        assert running.client is None


@pytest.mark.cluster
def test_workers_start_with_the_allocator_and_the_threads_that_networks_need(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "16")  # as batch systems do
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")

    def found():
        return {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}

    with start(ClusterSpec(workers=1, dashboard="")) as running:
        seen = running.client.submit(found, pure=False).result(timeout=60)
    assert seen == {**WORKER_ENVIRONMENT, "MALLOC_ARENA_MAX": "2"}
    assert os.environ["OMP_NUM_THREADS"] == "16"
