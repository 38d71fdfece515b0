"""A run ends with every row once, whatever is done to it on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from skyloom.engine import InProcessExecutor, Journal, history, publish, published, run_plan, seal
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, SkyloomError, TransientError
from skyloom.storage import LocalStore
from tests.engine import toy


@contextmanager
def in_process():
    yield InProcessExecutor()


def never():
    raise AssertionError("no executor is needed when nothing is left to do")


def finish(plan, store, *, agreed=0):
    summary = run_plan(plan, store, in_process)
    journal = Journal(store, plan.layer, plan.job_id)
    manifest = seal(journal, plan, summary.records, face={}, provenance={})
    return publish(journal, manifest, agreed=agreed)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "layers")


@pytest.fixture
def noted(tmp_path):
    folder = tmp_path / "noted"
    folder.mkdir()
    return folder


def rows(store, layer="toy"):
    version = published(store, layer)
    tables = [pq.read_table(store.location(version.journal.data(f.key))) for f in version.files]
    return [value for table in tables for value in table["id"].to_pylist()]


def test_a_run_publishes_every_row_once_in_order(store):
    finish(toy.plan(6), store)
    assert rows(store) == list(range(60))


def test_a_second_run_does_no_work(store):
    plan = toy.plan(6)
    finish(plan, store)
    summary = run_plan(plan, store, never)
    assert (summary.reused, summary.computed) == (6, 0)


def test_other_settings_are_another_job_and_the_next_version(store):
    finish(toy.plan(2), store)
    finish(toy.plan(2, identity={"model": "newer"}), store, agreed=1)
    versions = history(store, "toy")
    assert [v.version for v in versions] == [1, 2]
    assert versions[0].job_id != versions[1].job_id


def test_paths_and_batch_sizes_are_not_identity():
    assert toy.plan(2, wait_s=1).job_id == toy.plan(2, wait_s=0).job_id


def test_an_unfinished_layer_is_not_visible(store):
    plan = toy.plan(4, **{"raise": [2]})
    with pytest.raises(TransientError, match="Npix=2") as caught:
        run_plan(plan, store, in_process)
    assert caught.value.kind == ErrorKind.INCOMPLETE
    with pytest.raises(NotFoundError, match="no run of it has finished"):
        published(store, "toy")


def test_a_failed_partition_does_not_stop_the_others(store, noted):
    with pytest.raises(TransientError):
        run_plan(toy.plan(6, journal=str(noted), **{"raise": [0]}), store, in_process)
    run_plan(toy.plan(6, journal=str(noted)), store, in_process)
    done = toy.executions(noted)
    assert sorted(done) == sorted([t.key for t in toy.plan(6).tasks] + ["Norder=1/Dir=0/Npix=0"])


def test_a_fault_of_the_moment_is_tried_again(store, noted):
    summary = run_plan(toy.plan(3, journal=str(noted), flaky=[1]), store, in_process)
    assert summary.computed == 3


@pytest.mark.parametrize(
    ("misdeed", "kind"),
    [("drop", ErrorKind.ROW_COUNT), ("shuffle", ErrorKind.ROW_ORDER), ("narrow", ErrorKind.MODEL_OUTPUT)],
)
def test_dropped_moved_or_retyped_rows_are_refused(store, misdeed, kind):
    with pytest.raises(TransientError, match="Npix=1"):
        run_plan(toy.plan(2, **{misdeed: [1]}), store, in_process)
    assert str(kind) in "".join(path.read_text() for path in (store.path("toy")).rglob("*.jsonl"))
    assert not store.exists(Journal(store, "toy", toy.plan(2).job_id).data("Norder=1/Dir=0/Npix=1"))


def test_quarantined_rows_stay_in_the_layer_with_their_reason(store):
    plan = toy.plan(2, faulty=[1])
    finish(plan, store)
    version = published(store, "toy")
    assert (version.manifest.rows, version.manifest.quarantined, version.manifest.flagged) == (20, 1, 1)
    metadata = pq.read_metadata(store.location(version.journal.data("Norder=1/Dir=0/Npix=1"))).metadata
    assert b"no such star" in metadata[b"skyloom.quarantine"]


def test_bad_rows_fail_the_partition_when_the_job_says_so(store):
    with pytest.raises(TransientError, match="on_bad_row"):
        run_plan(toy.plan(2, faulty=[1], fail_on_bad_row=True), store, in_process)


def test_a_data_file_without_record_is_not_computed_again(store, noted):
    plan = toy.plan(3, journal=str(noted))
    run_plan(plan, store, in_process)
    store.path(Journal(store, "toy", plan.job_id).record("Norder=1/Dir=0/Npix=1")).unlink()
    summary = run_plan(plan, store, in_process)
    assert (summary.computed, len(toy.executions(noted))) == (0, 3)


def test_a_file_of_another_job_under_our_name_is_refused(store):
    other = toy.plan(2, identity={"model": "other"})
    run_plan(other, store, in_process)
    plan = toy.plan(2)
    journal, theirs = Journal(store, "toy", plan.job_id), Journal(store, "toy", other.job_id)
    journal.begin(plan)
    key = "Norder=1/Dir=0/Npix=0"
    store.put_if_absent(journal.data(key), store.read(theirs.data(key)))
    with pytest.raises(TransientError, match="says job_id"):
        run_plan(plan, store, in_process)


@pytest.mark.parametrize("change", ["flip", "truncate", "remove"])
def test_a_file_changed_after_its_commit_is_not_published(store, change):
    plan = toy.plan(3)
    summary = run_plan(plan, store, in_process)
    journal = Journal(store, "toy", plan.job_id)
    path = store.path(journal.data("Norder=1/Dir=0/Npix=2"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if change != "remove":
        path.write_bytes(bytes(data if change == "flip" else data[:-9]))
    with pytest.raises(SkyloomError, match="Npix=2") as caught:
        seal(journal, plan, summary.records, face={}, provenance={})
    assert isinstance(caught.value, DataError | NotFoundError)


def test_a_job_published_by_somebody_else_meanwhile_is_a_conflict(store):
    finish(toy.plan(2), store)
    late = toy.plan(2, identity={"model": "late"})
    with pytest.raises(ConflictError, match="run it again to publish"):
        finish(late, store, agreed=0)
    assert finish(late, store, agreed=1).version == 2


def test_publishing_one_job_twice_gives_one_version(store):
    plan = toy.plan(2)
    assert finish(plan, store).version == 1
    assert finish(plan, store).version == 1
    assert len(history(store, "toy")) == 1


def test_an_older_job_run_again_becomes_the_newest_version(store):
    old, new = toy.plan(2), toy.plan(2, identity={"model": "newer"})
    finish(old, store)
    finish(new, store, agreed=1)
    assert finish(old, store, agreed=2).version == 3
    assert published(store, "toy").manifest.job_id == old.job_id


@pytest.mark.parametrize("name", ["manifest.json", "manifest.parquet"])
def test_a_tampered_manifest_is_refused(store, name):
    finish(toy.plan(2), store)
    path = store.path(published(store, "toy").journal.name(name))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match="has changed"):
        published(store, "toy")


def test_a_missing_version_is_noticed(store):
    finish(toy.plan(2), store)
    finish(toy.plan(2, identity={"model": "newer"}), store, agreed=1)
    store.path("toy/refs/v00000001.json").unlink()
    with pytest.raises(DataError, match="version 1 of layer toy is missing"):
        history(store, "toy")


FAILPOINTS = ["before-sync", "before-link", "after-link", "after-directory-sync", "before-record"]


@pytest.mark.parametrize("point", FAILPOINTS)
@pytest.mark.parametrize("passage", [1, 4])
def test_a_run_killed_anywhere_ends_like_an_undisturbed_one(tmp_path, point, passage):
    plan = toy.plan(4)
    calm, killed = LocalStore(tmp_path / "calm"), LocalStore(tmp_path / "killed")
    finish(plan, calm)
    script = (
        "from tests.engine.test_run import finish; from tests.engine import toy; "
        f"from skyloom.storage import LocalStore; finish(toy.plan(4), LocalStore({killed.root!r}))"
    )
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "SKYLOOM_FAILPOINT": f"{point}:{passage}", "PYTHONPATH": paths}
    died = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert died.returncode == -9
    with pytest.raises(NotFoundError):
        published(killed, "toy")
    assert finish(plan, killed).manifest_sha256 == history(calm, "toy")[0].manifest_sha256
    assert rows(killed) == list(range(40))
