"""What `status` says is what the files say: while a run is on, after it ended, after it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyloom.cli import main
from skyloom.engine import Journal, abort, publish, run_plan, seal
from skyloom.errors import NotFoundError, TransientError
from skyloom.jobs.status import Watch, layer_status
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.test_run import finish, in_process

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "layers")


def started(folder: Path, n_tasks: int, wait_s: float) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, which waits in each partition."""
    code = (
        "from skyloom.storage import LocalStore\n"
        "from tests.engine import toy\n"
        "from tests.engine.test_run import finish\n"
        f"finish(toy.plan({n_tasks}, wait_s={wait_s}), LocalStore({str(folder)!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT)


def wait_for(watch_of, wanted, limit_s: float = 60.0):
    """Look until a status is as wanted; return it."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            found = watch_of()
        except NotFoundError:
            found = None
        if found is not None and wanted(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen within {limit_s} s; last: {found}")


def test_a_published_layer_says_so_with_all_its_rows(store):
    finish(toy.plan(6, faulty=[1, 4]), store)
    found = layer_status("toy", store.root)
    assert (found.state, found.version) == ("published", 1)
    assert (found.rows_done, found.rows, found.partitions_done, found.partitions) == (60, 60, 6, 6)
    assert (found.flagged, found.quarantined) == (2, 2)
    assert (found.runner, found.reason, found.seconds_left) == ("", "", None)
    assert sum(worker.rows for worker in found.workers) == 60
    assert sum(worker.partitions for worker in found.workers) == 6


def test_a_run_in_another_process_is_watched_then_taken_for_dead_once_it_is_killed(store):
    process = started(Path(store.root), 200, 0.1)
    try:
        found = wait_for(lambda: layer_status("toy", store.root), lambda s: s.partitions_done >= 2)
        assert found.state == "running"
        assert f"process {process.pid}" in found.runner
        assert found.rows_done == 10 * found.partitions_done
        assert found.rows_per_s > 0
        assert found.seconds_left == pytest.approx((2000 - found.rows_done) / found.rows_per_s, rel=0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    dead = layer_status("toy", store.root)
    assert (dead.state, dead.runner, dead.seconds_left) == ("died", "", None)
    assert found.rows_done <= dead.rows_done < 2000


def test_a_run_that_goes_on_counts_what_was_committed_before_it(store):
    with pytest.raises(TransientError):
        run_plan(toy.plan(4, **{"raise": [2]}), store, in_process)
    stopped = layer_status("toy", store.root)
    assert (stopped.state, stopped.partitions_done, stopped.partitions_failed) == ("stopped", 3, 1)
    assert "Npix=2" in stopped.reason
    finish(toy.plan(4), store)
    mended = layer_status("toy", store.root)
    assert (mended.state, mended.partitions_done, mended.partitions_failed, mended.reason) == (
        "published",
        4,
        0,
        "",
    )
    assert sum(worker.partitions for worker in mended.workers) == 1


def test_all_partitions_done_and_nothing_published_is_neither_finished_nor_dead(store):
    plan = toy.plan(3)
    summary = run_plan(plan, store, in_process)
    assert layer_status("toy", store.root).state == "computed"
    journal = Journal(store, "toy", plan.job_id)
    manifest = seal(journal, plan, summary.records, face={}, provenance={})
    assert layer_status("toy", store.root).state == "computed"
    publish(journal, manifest, agreed=0)
    assert layer_status("toy", store.root).state == "published"


def test_an_aborted_job_says_so(store):
    plan = toy.plan(4, **{"raise": [2]})
    with pytest.raises(TransientError):
        run_plan(plan, store, in_process)
    abort(Journal(store, "toy", plan.job_id))
    assert layer_status("toy", store.root).state == "aborted"


def test_the_newest_run_is_shown_whichever_job_it_is_of(store):
    finish(toy.plan(2), store)
    newer = toy.plan(5, identity={"model": "newer"})
    finish(newer, store, agreed=1)
    found = layer_status("toy", store.root)
    assert (found.job_id, found.version, found.partitions) == (newer.job_id, 2, 5)


def test_looking_again_reads_on_and_agrees_with_a_first_look(store):
    process = started(Path(store.root), 60, 0.02)
    watch = None
    looks = []
    while process.poll() is None:
        if watch is None:
            try:
                watch = Watch("toy", store.root)
            except NotFoundError:
                time.sleep(0.02)
                continue
        looks.append(watch.look().partitions_done)
        time.sleep(0.05)
    assert process.returncode == 0
    assert looks == sorted(looks)
    assert len(set(looks)) > 2
    assert watch.look() == layer_status("toy", store.root)


def test_half_a_line_at_the_end_of_a_log_is_left_for_the_next_look(store):
    finish(toy.plan(3), store)
    before = layer_status("toy", store.root)
    folder = Path(store.root, "toy", "jobs", before.job_id, "log")
    log = next(folder.iterdir())
    whole = log.read_text()
    log.write_text(whole[:-20])
    watch = Watch("toy", store.root)
    assert watch.look().partitions_done == 2
    log.write_text(whole)
    assert watch.look() == before


def test_a_layer_that_nobody_began_is_refused_with_the_close_names(store):
    finish(toy.plan(1, layer="flares"), store)
    with pytest.raises(NotFoundError, match="flares"):
        layer_status("flare", store.root)


def test_the_command_prints_and_its_exit_code_tells_whether_all_is_well(store, capsys):
    with pytest.raises(TransientError):
        run_plan(toy.plan(4, **{"raise": [2]}), store, in_process)
    assert main(["status", "toy", "--store", store.root]) == 1
    out = capsys.readouterr().out
    assert "stopped" in out
    assert "run the same command again" in out
    finish(toy.plan(4), store)
    assert main(["status", "toy", "--store", store.root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_done"] == 40


def test_following_ends_with_the_run(store, capsys):
    process = started(Path(store.root), 30, 0.05)
    wait_for(lambda: layer_status("toy", store.root), lambda s: s.partitions_done >= 1)
    code = main(["status", "toy", "--store", store.root, "--follow", "--every", "0.1", "--json"])
    process.wait()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["state"] == "running"
    assert lines[-1]["rows_done"] == 300
    assert (code, lines[-1]["state"]) in {(0, "published"), (1, "computed")}
