"""Leases say who runs a job; they stop nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from skyloom.engine import Journal, history, lease, run_plan
from skyloom.engine.lease import Holder, held, holders
from skyloom.storage import LocalStore, canonical_json
from tests.engine import toy
from tests.engine.finished import finish, in_process

PLAN = toy.plan(3)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "layers")


@pytest.fixture
def journal(store):
    journal = Journal(store, "toy", PLAN.job_id)
    journal.begin(PLAN)
    return journal


def test_a_lease_names_host_process_and_time_while_it_is_held(journal):
    with held(journal):
        (holder,) = holders(journal)
        assert holder.process == os.getpid()
        assert holder.since.endswith("Z")
    assert holders(journal) == ()


def test_a_second_driver_says_who_else_runs_and_goes_on(store, journal, caplog):
    with held(journal):
        assert run_plan(PLAN, store, in_process).computed == 3
    assert (
        f"another run of this job is active on {os.uname().nodename} (process {os.getpid()}) since" in caplog.text
    )


def test_a_run_leaves_no_lease_behind_and_a_lone_one_warns_of_nobody(store, journal, caplog):
    run_plan(PLAN, store, in_process)
    run_plan(PLAN, store, in_process)
    assert (holders(journal), caplog.text) == ((), "")


def lease_of(journal, holder, *, name="1", age_s=0.0):
    path = journal.store.path(journal.name("leases", name))
    path.write_bytes(canonical_json({"host": holder.host, "process": holder.process, "since": holder.since}))
    stamp = path.stat().st_mtime - age_s
    os.utime(path, (stamp, stamp))


ELSEWHERE = Holder("node-17", 4321, "2026-01-31T12:00:00Z")


def test_a_run_elsewhere_counts_until_its_heartbeat_stops(journal):
    lease_of(journal, ELSEWHERE)
    assert holders(journal) == (ELSEWHERE,)
    lease_of(journal, ELSEWHERE, age_s=lease.LEASE_S + 1)
    assert holders(journal) == ()


def test_a_process_that_is_gone_from_this_machine_does_not_count(journal):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lease_of(journal, replace(ELSEWHERE, host=os.uname().nodename, process=gone.pid))
    assert holders(journal) == ()


@pytest.mark.parametrize("text", [b"", b"[]", b'{"host": 1}', b"\xff"])
def test_a_damaged_lease_is_ignored(journal, text):
    journal.store.path(journal.name("leases", "1")).write_bytes(text)
    assert holders(journal) == ()


def test_the_heartbeat_refreshes_the_lease(journal, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    with held(journal):
        (path,) = journal.store.path(journal.name("leases")).iterdir()
        os.utime(path, (1, 1))
        for _ in range(200):
            if path.stat().st_mtime > 1:
                break
            lease.time.sleep(0.01)
        assert path.stat().st_mtime > 1


def test_two_drivers_of_one_job_publish_one_version(store, tmp_path):
    script = (
        "import sys; from tests.engine.finished import finish; from tests.engine import toy; "
        "from skyloom.storage import LocalStore; "
        f"print(finish(toy.plan(12, wait_s=0.05), LocalStore({store.root!r})).version)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    drivers = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [driver.communicate(timeout=60)[0].strip() for driver in drivers] == ["1", "1"]
    alone = finish(toy.plan(12), LocalStore(tmp_path / "alone"))
    assert [v.manifest_sha256 for v in history(store, "toy")] == [alone.manifest_sha256]
