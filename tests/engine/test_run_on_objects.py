"""A run on an object store ends as on a disk, whatever is done to it on the way."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

import skyloom.storage.objects
from skyloom.engine import Journal, history, plan_expiry, published, repair, replay, run_plan, seal, verify
from skyloom.errors import (
    ConflictError,
    DataError,
    ErrorKind,
    NotFoundError,
    SkyloomError,
    SpecError,
    TransientError,
)
from skyloom.storage import LocalStore, open_store, read_log
from skyloom.storage.requests import RequestFailedError
from tests import seaweed
from tests.engine import toy
from tests.engine.finished import face, finish
from tests.engine.test_run import in_process, never


@pytest.fixture
def s3(monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in seaweed.server().environment().items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}/layers")


@pytest.fixture(params=["memory", "s3"])
def store(request):
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return open_store(f"memory://{uuid.uuid4().hex}/layers")


def rows(store, layer="toy"):
    version = published(store, layer)
    values = []
    for entry in version.files:
        with store.open(version.journal.data(entry.key)) as file:
            values += pq.read_table(file)["id"].to_pylist()
    return values


def test_a_run_publishes_every_row_once_in_order_and_again_does_nothing(store):
    plan = toy.plan(6)
    first = finish(plan, store)
    assert rows(store) == list(range(60))
    summary = run_plan(plan, store, never)
    assert (summary.reused, summary.computed) == (6, 0)
    assert finish(plan, store) == first


def test_the_manifest_is_that_of_a_run_on_a_disk(store, tmp_path):
    local = LocalStore(tmp_path)
    assert finish(toy.plan(4), store) == finish(toy.plan(4), local)


def test_a_failed_partition_is_computed_by_the_next_run_alone(store, tmp_path):
    with pytest.raises(TransientError, match="Npix=2"):
        run_plan(toy.plan(4, journal=str(tmp_path), **{"raise": [2]}), store, in_process)
    with pytest.raises(NotFoundError, match="no run of it has finished"):
        published(store, "toy")
    finish(toy.plan(4, journal=str(tmp_path)), store)
    assert len(toy.executions(tmp_path)) == 5
    assert rows(store) == list(range(40))


def test_versions_are_numbered_and_a_publication_meanwhile_is_a_conflict(store):
    finish(toy.plan(2), store)
    late = toy.plan(2, identity={"model": "late"})
    with pytest.raises(ConflictError, match="run it again to publish"):
        finish(late, store, agreed=0)
    assert finish(late, store, agreed=1).version == 2
    assert [v.job_id for v in history(store, "toy")] == [toy.plan(2).job_id, late.job_id]


def test_a_data_file_without_record_is_not_computed_again(store, tmp_path):
    plan = toy.plan(3, journal=str(tmp_path))
    run_plan(plan, store, in_process)
    journal = Journal(store, "toy", plan.job_id)
    store.requests.delete(store.key(journal.record("Norder=1/Dir=0/Npix=1")))
    assert run_plan(plan, store, in_process).computed == 0
    assert len(toy.executions(tmp_path)) == 3


def test_a_file_changed_after_its_commit_is_not_published(store):
    plan = toy.plan(3)
    summary = run_plan(plan, store, in_process)
    journal = Journal(store, "toy", plan.job_id)
    name = journal.data("Norder=1/Dir=0/Npix=2")
    data = bytearray(store.read(name))
    data[len(data) // 2] ^= 1
    store.requests.delete(store.key(name))
    store.put_if_absent(name, bytes(data))
    with pytest.raises(DataError, match="Npix=2"):
        seal(journal, plan, summary.records, face={}, provenance={})


def test_the_log_tells_what_happened(store):
    plan = toy.plan(3, **{"raise": [1]})
    with pytest.raises(TransientError):
        run_plan(plan, store, in_process)
    folder = Journal(store, "toy", plan.job_id).name("log")
    events = [json.loads(line)["event"] for line in read_log(store, folder)]
    assert events == ["planned", "partition", "failed", "partition", "stopped"]
    assert len(store.names(folder)) == 1


@pytest.mark.cluster
def test_workers_find_their_keys_themselves_and_survive_being_killed(s3, tmp_path):
    from skyloom.cluster import ClusterSpec, start
    from skyloom.engine.on_dask import DaskExecutor

    plan = toy.plan(12)
    calm = finish(plan, LocalStore(tmp_path))
    with start(ClusterSpec(workers=2, dashboard="")) as running:

        @contextmanager
        def on_dask():
            yield DaskExecutor(running.client)

        with pytest.raises(TransientError, match="Npix=7"):
            run_plan(toy.plan(12, kill=[7]), s3, on_dask)
        summary = run_plan(plan, s3, on_dask)
    assert (summary.reused, summary.computed) == (11, 1)
    assert finish(plan, s3).manifest_sha256 == calm.manifest_sha256


@pytest.mark.parametrize("point", ["before-put", "after-put", "before-record"])
@pytest.mark.parametrize("passage", [1, 4])
def test_a_run_killed_anywhere_ends_like_an_undisturbed_one(s3, tmp_path, point, passage):
    plan = toy.plan(4)
    script = (
        "from tests.engine.test_run_on_objects import finish; from tests.engine import toy; "
        f"from skyloom.storage import open_store; finish(toy.plan(4), open_store({s3.root!r}))"
    )
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "SKYLOOM_FAILPOINT": f"{point}:{passage}", "PYTHONPATH": paths}
    died = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert died.returncode == -9
    with pytest.raises(NotFoundError):
        published(s3, "toy")
    calm = finish(plan, LocalStore(tmp_path))
    assert finish(plan, s3).manifest_sha256 == calm.manifest_sha256
    assert rows(s3) == list(range(40))


class Nth:
    """Requests of which the n-th write fails, as told."""

    def __init__(self, inner, n, when, status, code):
        self.inner, self.left, self.when, self.status, self.code = inner, n, when, status, code

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def create(self, key, data, attempt):
        self.left -= 1
        if self.left == 0 and self.when == "before":
            raise RequestFailedError(self.status, self.code)
        self.inner.create(key, data, attempt)
        if self.left == 0:
            raise RequestFailedError(self.status, self.code)


WRITES = 3 + 3 + 1 + 1 + 3 + 1
"""Of a run of three partitions: data, records, job, log, seal (two files and the manifest), reference."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("status", "code"), [(409, ""), (412, ""), (503, "SlowDown"), (0, "Timeout"), (507, ""), (403, "AccessDenied")]
)
def test_whichever_write_fails_the_next_run_ends_like_an_undisturbed_one(
    monkeypatch, tmp_path, when, status, code
):
    monkeypatch.setattr(skyloom.storage.objects.time, "sleep", lambda _: None)
    made = skyloom.storage.objects._memory_requests
    plan = toy.plan(3)
    calm = finish(plan, LocalStore(tmp_path))
    stopped = 0
    for n in range(1, WRITES + 1):
        name = f"{when}-{status}-{n}-{uuid.uuid4().hex}"
        faulty = Nth(made(name), n, when, status, code)
        monkeypatch.setattr(skyloom.storage.objects, "_memory_requests", lambda _, requests=faulty: requests)
        store = open_store(f"memory://{name}/layers")
        try:
            finish(plan, store)
        except SkyloomError as error:
            stopped += 1
            assert error.kind in {ErrorKind.STORE_FULL, ErrorKind.STORE_DENIED, ErrorKind.INCOMPLETE}
        assert faulty.left <= 0, "fewer writes than thought: the last faults were not tried"
        assert finish(plan, store).manifest_sha256 == calm.manifest_sha256
        assert rows(store) == list(range(30))
        assert len(history(store, "toy")) == 1
    # A fault of the moment never ends a run; a full or closed store always does, but for the log's sake.
    assert stopped == (WRITES - 1 if status in {507, 403} else 0)


def test_no_secret_is_found_in_any_artefact_log_or_message(s3, monkeypatch, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    said = []
    with pytest.raises(TransientError) as caught:
        run_plan(toy.plan(3, **{"raise": [1]}), s3, in_process, listener=said.append)
    said += [repr(caught.value), repr(s3)]
    finish(toy.plan(3), s3)
    said.append(toy.plan(3).work(s3.root).to_json())
    held = b"".join(files_of(s3, ""))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{seaweed.SECRET_KEY}-id")
    with pytest.raises(SpecError) as caught:
        run_plan(toy.plan(3), open_store(s3.root), in_process)
    said += [repr(caught.value), repr(caught.value.context), caplog.text]
    assert b"Npix=1" in held
    assert seaweed.SECRET_KEY.encode() not in held
    assert seaweed.SECRET_KEY not in "".join(map(str, said))


def files_of(store, prefix):
    for name in store.names(prefix):
        full = f"{prefix}/{name}" if prefix else name
        try:
            yield store.read(full)
        except NotFoundError:
            yield from files_of(store, full)


DAMAGED = {
    "flip": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "truncate": lambda data: data[:-9],
    "remove": None,
}


def damage(store, name, change):
    data = store.read(name)
    store.delete(name)
    if change is not None:
        store.put_if_absent(name, change(data))
    return data


@pytest.mark.parametrize("how", DAMAGED)
def test_damage_is_found_and_repaired_to_the_same_bytes_and_kept_aside(store, how):
    plan = toy.plan(4)
    finish(plan, store)
    journal = Journal(store, "toy", plan.job_id)
    names = [journal.data(plan.tasks[2].key), journal.record(plan.tasks[1].key), journal.name("provenance.json")]
    whole = {name: damage(store, name, DAMAGED[how]) for name in names}
    damaged = {store.read(name) for name in names} if how != "remove" else set()
    assert {difference.file for difference in verify(store, "toy").differences} & set(names)
    done = repair(store, "toy", plan, in_process, face=face)
    assert done.after.ok
    assert done.partitions == [plan.tasks[2].key]
    assert all(store.read(name) == data for name, data in whole.items() if "/records/" not in name)
    assert {store.read(name) for name in done.aside} >= damaged
    assert rows(store) == list(range(40))


def test_a_replay_agrees_and_leaves_nothing(store):
    plan = toy.plan(4)
    finish(plan, store)
    before = sorted(name for name, _ in store.walk(""))
    found = replay(published(store, "toy"), plan, in_process, partitions=2, seed=1)
    assert (len(found.keys), found.different) == (2, ())
    assert sorted(name for name, _ in store.walk("")) == before


def test_expiring_on_an_object_store_is_refused_with_the_reason(store):
    finish(toy.plan(2), store)
    finish(toy.plan(2, identity={"model": "newer"}), store, agreed=1)
    with pytest.raises(SpecError, match="is not on a file system: no version or job is removed"):
        plan_expiry(store, "toy", keep=1)
    assert [version.version for version in history(store, "toy")] == [1, 2]
