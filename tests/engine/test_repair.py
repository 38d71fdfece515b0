"""A damaged version is made again exactly, or left as it is."""

from __future__ import annotations

import pytest

from skyloom.engine import Journal, history, published, repair, replay, verify
from skyloom.errors import ConflictError, DataError, ErrorKind, SpecError
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.finished import DAMAGE, FACE, PROVENANCE, face, finish, flip, in_process, never, truncate

KEY = "Norder=1/Dir=0/Npix=2"
SMALL = ["manifest.json", "manifest.parquet", "provenance.json", "job.json", "partition_info.csv"]


@pytest.fixture
def noted(tmp_path):
    folder = tmp_path / "noted"
    folder.mkdir()
    return folder


@pytest.fixture
def plan(noted):
    return toy.plan(4, journal=str(noted))


@pytest.fixture
def store(tmp_path, plan, noted):
    store = LocalStore(tmp_path / "layers")
    finish(plan, store)
    for path in noted.iterdir():
        path.unlink()
    return store


@pytest.fixture
def journal(store, plan):
    return Journal(store, "toy", plan.job_id)


def contents(store, journal):
    names = [path.relative_to(store.root).as_posix() for path in store.path(journal.name()).rglob("*.*")]
    skipped = ("/log/", "/leases/", "/aside/", "/records/")
    return {name: store.read(name) for name in names if not any(part in name for part in skipped)}


def scratches(store):
    return [path.name for path in store.path("toy").parent.iterdir() if path.name.startswith(".scratch-")]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_partition_is_computed_again_alone_and_has_the_same_bytes(store, journal, plan, noted, damage):
    before = contents(store, journal)
    DAMAGE[damage](store.path(journal.data(KEY)))
    done = repair(store, "toy", plan, in_process, face=face)
    assert done.after.ok
    assert done.partitions == [KEY]
    assert toy.executions(noted) == [KEY]
    assert contents(store, journal) == before
    assert scratches(store) == []


def test_damaged_bytes_are_kept_aside(store, journal, plan):
    path = store.path(journal.data(KEY))
    flip(path)
    damaged = path.read_bytes()
    done = repair(store, "toy", plan, in_process, face=face)
    assert damaged in [store.read(name) for name in done.aside]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_written_again_without_computing(store, journal, plan, damage):
    DAMAGE[damage](store.path(journal.record(KEY)))
    done = repair(store, "toy", plan, never, face=face)
    assert done.after.ok
    assert (done.partitions, done.restored) == ([], [journal.record(KEY)])


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", SMALL)
def test_a_damaged_small_file_is_written_again_without_computing(store, journal, plan, damage, name):
    before = contents(store, journal)
    DAMAGE[damage](store.path(journal.name(name)))
    done = repair(store, "toy", plan, never, face=face)
    assert done.after.ok
    assert contents(store, journal) == before
    assert history(store, "toy")[0].manifest_sha256


def test_everything_but_the_reference_can_be_lost(store, journal, plan):
    before = contents(store, journal)
    for name in SMALL:
        flip(store.path(journal.name(name)))
    for task in plan.tasks:
        flip(store.path(journal.data(task.key)))
    store.path(journal.record(KEY)).unlink()
    assert repair(store, "toy", plan, in_process, face=face).after.ok
    assert contents(store, journal) == before
    assert published(store, "toy").manifest.rows == 40


def test_a_whole_version_is_left_alone(store, plan):
    done = repair(store, "toy", plan, never, face=face)
    assert (done.partitions, done.restored, done.aside) == ([], [], [])


def test_a_stray_file_is_set_aside(store, journal, plan):
    stray = journal.data("Norder=1/Dir=0/Npix=99")
    store.path(stray).write_bytes(b"not ours")
    done = repair(store, "toy", plan, never, face=face)
    assert done.after.ok
    assert [store.read(name) for name in done.aside] == [b"not ours"]


def test_another_job_cannot_repair_a_version(store, journal):
    flip(store.path(journal.data(KEY)))
    with pytest.raises(ConflictError, match="was made by job"):
        repair(store, "toy", toy.plan(4, identity={"model": "newer"}), in_process, face=face)


def test_what_comes_out_differently_today_changes_nothing(store, journal, noted):
    path = store.path(journal.data(KEY))
    flip(path)
    before = {file: file.read_bytes() for file in store.path("toy").rglob("*.*") if file.is_file()}
    drifted = toy.plan(4, journal=str(noted), faulty=[2])
    with pytest.raises(DataError, match="cannot be made again here") as caught:
        repair(store, "toy", drifted, in_process, face=face)
    assert caught.value.kind == ErrorKind.DIGEST_MISMATCH
    assert {file: file.read_bytes() for file in store.path("toy").rglob("*.*") if file.is_file()} == before
    assert scratches(store) == []


def test_small_files_that_cannot_be_made_again_are_not_replaced(store, journal, plan):
    flip(store.path(journal.name("provenance.json")))
    with pytest.raises(DataError, match="cannot be made again here"):
        repair(store, "toy", plan, never, face=lambda records: (FACE, {**PROVENANCE, "more": 1}))


def test_a_broken_reference_is_not_guessed(store, plan):
    truncate(store.path("toy/refs/v00000001.json"))
    with pytest.raises(DataError, match="only be restored from a copy"):
        repair(store, "toy", plan, never, face=face)


def test_a_repair_cut_short_is_finished_by_the_next(store, journal, plan, monkeypatch):
    flip(store.path(journal.data(KEY)))
    put = LocalStore.put_if_absent

    def dies(self, name, data):
        if name == journal.data(KEY):
            raise KeyboardInterrupt
        return put(self, name, data)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(LocalStore, "put_if_absent", dies)
        repair(store, "toy", plan, in_process, face=face)
    assert not store.exists(journal.data(KEY)), "readers see no file rather than a damaged one"
    assert repair(store, "toy", plan, in_process, face=face).after.ok


def test_a_replay_agrees_bit_for_bit_and_leaves_nothing(store, plan, noted):
    found = replay(published(store, "toy"), plan, in_process, partitions=2, seed=1)
    assert (len(found.keys), found.different) == (2, ())
    assert sorted(toy.executions(noted)) == sorted(found.keys)
    assert scratches(store) == []
    assert verify(store, "toy").ok


def test_the_seed_chooses_the_partitions_of_a_replay(store, plan):
    def keys(seed):
        return replay(published(store, "toy"), plan, in_process, partitions=2, seed=seed).keys

    assert keys(1) == keys(1)
    assert len({keys(seed) for seed in range(6)}) > 1


def test_a_replay_names_partitions_that_come_out_differently(store, noted):
    drifted = toy.plan(4, journal=str(noted), faulty=[2])
    found = replay(published(store, "toy"), drifted, in_process, partitions=9)
    assert (len(found.keys), found.different) == (4, (KEY,))


def test_a_replay_of_another_job_or_of_nothing_is_refused(store, plan):
    with pytest.raises(ConflictError):
        replay(published(store, "toy"), toy.plan(4, identity={"model": "newer"}), in_process, partitions=1)
    with pytest.raises(SpecError):
        replay(published(store, "toy"), plan, in_process, partitions=0)
