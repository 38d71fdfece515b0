"""Start a cluster, or connect to one, with the settings that durable runs need."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from skyloom.cluster.forks import CAN_FORK, changed_since, fork_ahead
from skyloom.cluster.spec import ClusterSpec
from skyloom.errors import ErrorKind, SpecError, TransientError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["WORKER_ENVIRONMENT", "RunningCluster", "start", "worker_environment"]

CONNECT_TIMEOUT_S = 20

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""One worker per core, so one thread per worker: more, which many a batch system sets, would fight over the
cores, and two gave a network's tile other bits once in a few hundred calls."""
WORKER_ENVIRONMENT = {
    # distributed's own thresholds make glibc map and unmap every large array, which halves the speed of CNNs.
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    # In an arena of its own, a thread still maps what is larger than 64 MiB: with one for all, another sixth.
    "MALLOC_ARENA_MAX": "1",
    # Arrow's allocator gives freed pages back after 10 ms, and the kernel clears them for the next partition: a
    # sixth of what it costs to read light curves.
    "MIMALLOC_PURGE_DELAY": "-1",
    **THREADS,
}
"""What a worker process needs before it starts; whoever starts workers sets it for them."""


def worker_environment() -> dict[str, str]:
    """Return `WORKER_ENVIRONMENT`, but for what this process has set of the allocator itself."""
    return {**{name: os.environ.get(name, value) for name, value in WORKER_ENVIRONMENT.items()}, **THREADS}


# Measured with distributed 2026.7 under faults; each line is a way in which a run hung or
# blamed innocent partitions without it.
DASK_SETTINGS: dict[str, Any] = {
    # A worker that dies must cost its own task a death, not all that wait with it.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.worker-ttl": "120s",
    "distributed.scheduler.no-workers-timeout": "10 minutes",
    # By default a cluster that loses workers twice within 15 s closes them for good, and waits for ever.
    "distributed.deploy.lost-worker-timeout": "1d",
    # The driver holds a window of a few groups; nothing large ever passes the scheduler.
    "distributed.admin.system-monitor.gil.enabled": False,
    # Fifty times a second each loop asks itself whether it is late, and ten times how much memory is used: 7 % of
    # a core for two idle workers and their driver, 2 % like this. Loops that hang for 3 s are still warned of.
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "200ms",
    # It looks at the stack a hundred times a second: a tenth of a run of networks on all cores.
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
}
LOCAL_SETTINGS: dict[str, Any] = {
    # The page and the metrics of runs.
    "distributed.scheduler.preload": ["skyloom.cluster.when_asked"],
    **({"distributed.worker.multiprocessing-method": "forkserver"} if CAN_FORK else {}),
}
NO_DASHBOARD = {"dashboard": False}
"""Until somebody asks: see `skyloom.cluster.when_asked`."""
GPU_SETTINGS: dict[str, Any] = {"distributed.scheduler.preload": ["skyloom.cluster.preload"]}
"""Workers with a GPU each are processes of their own from the start, as dask-cuda makes them."""


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster that takes work."""

    client: Client | None
    """None when work is done in this process."""
    dashboard: str | None
    """Address of the Dask dashboard."""


@contextmanager
def start(spec: ClusterSpec, *, gpus: bool = False) -> Iterator[RunningCluster]:
    """Start or reach the cluster that `spec` describes, and leave it at the end.

    Local workers listen on the loopback address only.

    Parameters
    ----------
    spec : ClusterSpec
    gpus : bool
        Whether local workers get a GPU each, instead of a core each.

    Raises
    ------
    SpecError
        If the connection would not be safe (see `ClusterSpec.check`), or local workers shall have
        GPUs and dask-cuda is not installed.
    TransientError
        If no scheduler answers at the address, or it refuses our certificate.
    """
    spec.check()
    if spec.kind == "in-process":
        yield RunningCluster(None, None)
        return
    import dask
    import distributed  # noqa: F401  (its defaults must be there first: leaving the block would drop them)

    with dask.config.set({**DASK_SETTINGS, **(GPU_SETTINGS if gpus else LOCAL_SETTINGS)}):
        if spec.kind == "scheduler":
            with _connect(spec) as client:
                yield RunningCluster(client, _dashboard(client))
        else:
            with _local(spec, gpus=gpus) as client:
                yield RunningCluster(client, _dashboard(client) if spec.dashboard else None)


def _dashboard(client: Client) -> str | None:
    """Ask the scheduler for the address of its dashboard; one that dies just now has none."""
    try:
        link: str = client.dashboard_link
    except OSError:
        return None
    return link


@contextmanager
def _connect(spec: ClusterSpec) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(spec.address, timeout=CONNECT_TIMEOUT_S, set_as_default=False, security=_security(spec))
    except OSError as error:
        why = "; do its certificate and ours come from one `skyloom cluster certs`?" if spec.tls_cert else ""
        msg = f"no Dask scheduler answers at {spec.address} within {CONNECT_TIMEOUT_S} s: {error}{why}"
        raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST, address=spec.address) from error
    with client:
        yield client


def _security(spec: ClusterSpec) -> Any:
    """Return what Dask needs to talk TLS, or None."""
    from distributed.security import Security

    if not spec.tls_cert:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=spec.tls_ca,
        tls_client_cert=spec.tls_cert,
        tls_client_key=spec.tls_key,
    )


@contextmanager
def _local(spec: ClusterSpec, *, gpus: bool) -> Iterator[Client]:
    from distributed import Client, LocalCluster

    if not gpus:
        fork_ahead((), worker_environment())
    with _explained(), _unset(*THREADS):
        make = (
            _one_per_gpu() if gpus else partial(LocalCluster, scheduler_kwargs=NO_DASHBOARD, env=changed_since())
        )
        cluster = make(
            # A number that the file states; else one per core, or one per GPU, which only dask-cuda can count.
            n_workers=None if gpus and "workers" not in spec.model_fields_set else spec.workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=_free(spec.dashboard),
            memory_limit=spec.memory_bytes or "auto",
            silence_logs=logging.CRITICAL,
        )
    with cluster, ExitStack() as stack:
        try:
            client = stack.enter_context(Client(cluster, set_as_default=False))
            client.register_plugin(_ignoring_interrupts())
        except OSError as error:
            msg = f"the local scheduler ended while it started ({error}); run the same command again"
            raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST) from error
        yield client


def _one_per_gpu() -> Any:
    """Return dask-cuda's cluster: each of its workers sees one GPU."""
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError as error:
        msg = (
            f"networks shall compute on GPUs here, and their workers need dask-cuda ({error}): install "
            "skyloom[gpu]. Without it, --cluster in-process uses one GPU, and --device cpu none"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, device="cuda") from error
    return LocalCUDACluster


@contextmanager
def _unset(*names: str) -> Iterator[None]:
    """Hide variables of this process: Dask prefers them to what it was told for its workers."""
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def _explained() -> Iterator[None]:
    """Say why local workers did not start; the usual reason is a script without a main guard."""
    try:
        yield
    except RuntimeError as error:
        if "failed to start" not in str(error):
            raise
        msg = (
            "the local worker processes did not start. In a script, put the call under "
            "`if __name__ == '__main__':`, since each worker imports the script; or use cluster='in-process'"
        )
        raise SpecError(msg, kind=ErrorKind.CLUSTER_LOST) from error


def _ignoring_interrupts() -> Any:
    """Return a plugin: Ctrl-C in a terminal reaches every process of it, and is meant for the driver."""
    from distributed import WorkerPlugin

    class _IgnoreInterrupts(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
        name = "skyloom-ignore-interrupts"

        def setup(self, worker: Any) -> None:
            with suppress(ValueError):  # not in the main thread, so no signal comes here
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    return _IgnoreInterrupts()


def _free(address: str) -> str:
    """Return `address` if its port is free here, else one with any free port."""
    host, _, port = address.rpartition(":")
    host = host or "127.0.0.1"
    with socket.socket() as probe:
        try:
            probe.bind((host, int(port or 0)))
        except OSError:
            return f"{host}:0"
    return f"{host}:{port or 0}"
