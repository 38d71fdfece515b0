"""Old versions lose their data, never their meaning; nothing that is kept is touched."""

from __future__ import annotations

import json
import os

import pytest

from skyloom.engine import (
    Journal,
    abort,
    collect,
    expire,
    history,
    holders,
    leftovers,
    plan_expiry,
    publish,
    published,
    run_plan,
    seal,
    verify,
)
from skyloom.engine.collect import remove_job
from skyloom.engine.expire import tombstone
from skyloom.engine.lease import held
from skyloom.errors import ConflictError, ErrorKind, NotFoundError, SpecError, TransientError
from skyloom.storage import LocalStore, Upkeep
from tests.engine import toy
from tests.engine.finished import FACE, PROVENANCE, finish, in_process, sealed

DAY_S = 86_400


def plan_of(n):
    return toy.plan(3, identity={"model": n})


@pytest.fixture
def store(tmp_path):
    """Three versions, of three jobs."""
    store = LocalStore(tmp_path / "layers")
    for n in range(3):
        finish(plan_of(n), store, agreed=n)
    return store


def jobs(store):
    return {path.name for path in store.path("toy/jobs").iterdir()}


def ids(*numbers):
    return {plan_of(n).job_id for n in numbers}


def age(store, prefix, seconds):
    """Make everything below a name look old."""
    for path in store.path(prefix).rglob("*"):
        stamp = path.stat().st_mtime - seconds
        os.utime(path, (stamp, stamp))


def test_a_plan_of_expiry_says_what_would_go_and_changes_nothing(store):
    before = sorted(store.path("toy").rglob("*"))
    expiry = plan_expiry(store, "toy", keep=1)
    assert (expiry.versions, expiry.kept) == ((1, 2), (3,))
    assert {job.job_id for job in expiry.jobs} == ids(0, 1)
    sizes = [p.stat().st_size for n in (0, 1) for p in store.path(f"toy/jobs/{plan_of(n).job_id}").rglob("*.*")]
    assert expiry.size_bytes >= sum(sizes)
    assert sorted(store.path("toy").rglob("*")) == before


def test_expired_versions_are_refused_with_the_way_out_and_kept_ones_are_whole(store):
    expire(store, plan_expiry(store, "toy", keep=1))
    assert jobs(store) == ids(2)
    assert verify(store, "toy").ok
    for version in (1, 2):
        with pytest.raises(NotFoundError, match=r"has expired.*Kept: version 3") as caught:
            published(store, "toy", version)
        assert caught.value.kind == ErrorKind.EXPIRED


def test_numbers_keep_their_meaning(store):
    before = history(store, "toy")
    expire(store, plan_expiry(store, "toy", before=3))
    assert history(store, "toy") == before
    kept = tombstone(store, "toy", 1)
    assert kept["job_id"] == plan_of(0).job_id
    assert (kept["provenance"], kept["manifest"]["rows"]) == (PROVENANCE, 30)


def test_a_job_that_a_kept_version_names_too_stays(store):
    finish(plan_of(0), store, agreed=3)
    expire(store, plan_expiry(store, "toy", keep=1))
    assert jobs(store) == ids(0)
    assert verify(store, "toy", 4).ok
    with pytest.raises(NotFoundError, match="has expired"):
        published(store, "toy", 1)


def test_an_expired_job_run_again_is_a_new_version(store):
    expire(store, plan_expiry(store, "toy", keep=1))
    assert finish(plan_of(0), store, agreed=3).version == 4
    assert verify(store, "toy").ok


def test_expiring_twice_changes_nothing_more(store):
    expire(store, plan_expiry(store, "toy", keep=2))
    first = sorted(store.path("toy").rglob("*"))
    again = plan_expiry(store, "toy", keep=2)
    assert (again.versions, again.jobs) == ((), ())
    expire(store, again)
    assert sorted(store.path("toy").rglob("*")) == first


def test_what_an_expiry_cut_short_left_is_found_by_the_next(store):
    expiry = plan_expiry(store, "toy", keep=1)
    name = "toy/refs/v00000001.expired.json"
    store.put_if_absent(name, b"{}")
    again = plan_expiry(store, "toy", keep=1)
    assert (again.versions, {job.job_id for job in again.jobs}) == ((2,), ids(0, 1))
    assert expiry.jobs == again.jobs


@pytest.mark.parametrize("how", [{}, {"keep": 0}, {"keep": 1, "before": 2}, {"before": 9}])
def test_the_newest_version_never_expires(store, how):
    with pytest.raises((SpecError, NotFoundError)):
        plan_expiry(store, "toy", **how)
    assert plan_expiry(store, "toy", keep=99).versions == ()
    assert plan_expiry(store, "toy", before=3).kept == (3,)


def test_a_job_that_is_run_again_right_now_stays_this_time(store):
    with held(Journal(store, "toy", plan_of(0).job_id)):
        expiry = plan_expiry(store, "toy", keep=1)
        assert {job.job_id for job in expiry.held} == ids(0)
        expire(store, expiry)
        assert jobs(store) == ids(0, 2)


@pytest.mark.parametrize("step", ["announced", "published"])
def test_a_job_published_again_while_it_is_removed_is_put_back(store, step):
    """The removal has decided; before its rename the driver announces, or even publishes."""
    expiry = plan_expiry(store, "toy", keep=1)
    journal, manifest = sealed(plan_of(0), store)
    if step == "announced":
        store.put_if_absent(journal.name("publishing-v00000004"), b"")
    else:
        publish(journal, manifest, agreed=3)
    removed = expire(store, expiry)
    assert {job.job_id for job in removed} == ids(1)
    assert publish(journal, manifest, agreed=3).version == 4
    assert verify(store, "toy", 4).ok


def test_a_driver_that_publishes_after_the_removal_is_told_to_run_again(store):
    journal, manifest = sealed(plan_of(0), store)
    expire(store, plan_expiry(store, "toy", keep=1))
    with pytest.raises(TransientError):
        publish(journal, manifest, agreed=3)
    assert len(history(store, "toy")) == 3


@pytest.mark.parametrize("kept", [False, True])
def test_a_removal_cut_short_after_the_rename_is_undone_or_finished(store, kept):
    journal, upkeep = Journal(store, "toy", plan_of(0).job_id), Upkeep(store)
    expiry = plan_expiry(store, "toy", keep=1)
    taken = upkeep.take_away(journal.name())
    if not kept:
        expire(store, expiry)
    assert taken in {leftover.name for leftover in leftovers(store, "toy")}
    collect(store, "toy")
    assert not store.exists(taken)
    assert store.exists(journal.name()) == kept
    assert verify(store, "toy", 1 if kept else 3).ok


def test_a_job_begun_anew_while_its_data_are_away_loses_nothing(store):
    journal, upkeep = Journal(store, "toy", plan_of(0).job_id), Upkeep(store)
    taken = upkeep.take_away(journal.name())
    journal.begin(plan_of(0))
    collect(store, "toy")
    assert store.exists(taken), "until the same is sealed again, this is all there is of version 1"
    sealed(plan_of(0), store)
    collect(store, "toy")
    assert not store.exists(taken)
    assert verify(store, "toy", 1).ok


# Left-overs of runs.


def test_temporary_files_go_at_any_age_and_nothing_published_goes(store):
    garbage = [store.path(f"toy/jobs/{plan_of(0).job_id}/dataset/.tmp-1"), store.path("toy/refs/.tmp-2")]
    for path in garbage:
        path.write_bytes(b"half")
    assert {leftover.size_bytes for leftover in leftovers(store, "toy")} == {4}
    collect(store, "toy", grace_s=0)
    assert not any(path.exists() for path in garbage)
    assert all(verify(store, "toy", version).ok for version in (1, 2, 3))


def test_an_unpublished_job_goes_only_after_its_grace(store):
    run_plan(plan_of("new"), store, in_process)
    assert leftovers(store, "toy") == ()
    age(store, f"toy/jobs/{plan_of('new').job_id}", 2 * DAY_S)
    assert [leftover.job_id for leftover in leftovers(store, "toy")] == list(ids("new"))
    collect(store, "toy")
    assert jobs(store) == ids(0, 1, 2)


def test_a_running_job_is_not_collected_however_old_its_files_are(store):
    plan = plan_of("new")
    run_plan(plan, store, in_process)
    journal = Journal(store, "toy", plan.job_id)
    age(store, journal.name(), 2 * DAY_S)
    with held(journal):
        assert len(holders(journal)) == 1
        collect(store, "toy")
        assert plan.job_id in jobs(store)
    assert holders(journal) == ()


def test_a_run_finishes_while_temporary_files_are_collected_in_a_loop(tmp_path):
    store, collected = LocalStore(tmp_path / "layers"), []
    plan = toy.plan(20)

    def collecting(event):
        collected.extend(collect(store, "toy", grace_s=0))

    stage = store.stage

    class Raced(LocalStore):
        """Its temporary files are collected right before they get their names, now and then."""

        def stage(self, name):
            staged = stage(name)
            if name.endswith(".parquet") and name not in raced:
                raced.add(name)
                staged.temporary.unlink()
            return staged

    raced: set[str] = set()
    from skyloom.engine import worker

    patched = pytest.MonkeyPatch()
    with patched.context() as patch:
        patch.setattr(worker, "open_store", Raced)
        summary = run_plan(plan, store, in_process, listener=collecting, group_tasks=1)
    assert (summary.computed, len(raced)) == (20, 20)
    manifest = seal(Journal(store, "toy", plan.job_id), plan, summary.records, face=FACE, provenance=PROVENANCE)
    assert manifest.rows == 200


def test_a_layer_that_does_not_exist_has_no_leftovers(store):
    assert leftovers(store, "nothing") == ()


# Abort.


def test_an_aborted_job_is_refused_by_runs_and_seal_and_then_collected(store):
    plan = plan_of("new")
    summary = run_plan(plan, store, in_process)
    journal = Journal(store, "toy", plan.job_id)
    assert abort(journal, reason="wrong catalog")
    assert not abort(journal)
    for again in (
        lambda: run_plan(plan, store, in_process),
        lambda: seal(journal, plan, summary.records, face=FACE, provenance=PROVENANCE),
    ):
        with pytest.raises(ConflictError, match="wrong catalog") as caught:
            again()
        assert caught.value.kind == ErrorKind.ABORTED
    assert json.loads(store.read(journal.name("ABORTED")))["aborted"]["job_id"] == plan.job_id
    assert [leftover.reason for leftover in collect(store, "toy")] == ["aborted job"]
    assert finish(plan, store, agreed=3).version == 4, "removed, it can be run anew"


def test_a_sealed_job_cannot_be_aborted(store):
    journal, _ = sealed(plan_of("new"), store)
    with pytest.raises(ConflictError, match="is sealed") as caught:
        abort(journal)
    assert caught.value.kind == ErrorKind.SEALED
    assert not store.exists(journal.name("ABORTED"))


def test_a_run_under_way_stops_when_its_job_is_aborted(store, monkeypatch):
    from skyloom.engine import lease

    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    plan = toy.plan(50, identity={"model": "new"}, wait_s=0.02)

    def aborting(event):
        if event.kind == "partition":
            abort(Journal(store, "toy", plan.job_id))

    with pytest.raises(ConflictError, match="was aborted"):
        run_plan(plan, store, in_process, listener=aborting, group_tasks=1)


def test_a_job_that_does_not_exist_cannot_be_aborted(store):
    with pytest.raises(NotFoundError):
        abort(Journal(store, "toy", "0" * 20))


def test_removing_what_is_gone_is_no_error(store):
    assert not remove_job(Upkeep(store), Journal(store, "toy", "0" * 20))
