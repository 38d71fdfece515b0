"""What a run does about workers that die, hang, vanish or fill the disk, and about Ctrl-C."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.cluster import ClusterSpec, start
from skyloom.engine import InProcessExecutor, Journal, Limits, on_dask, partition_file, run_plan
from skyloom.engine.dispatch import dispatch, grouped
from skyloom.engine.on_dask import DaskExecutor
from skyloom.engine.outcomes import Outcome
from skyloom.engine.stopping import Stop
from skyloom.engine.suspects import Group, Rates, Suspects
from skyloom.errors import ErrorKind, StoreFullError, TransientError
from skyloom.storage import LocalStore
from tests.engine import toy

TASKS = toy.plan(8).tasks


@contextmanager
def in_process():
    yield InProcessExecutor()


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "layers")


def outcome(task, wall_s=1.0, **values):
    return Outcome(task.key, task.rows, values.pop("status", "computed"), wall_s=wall_s, **values)


class TestRates:
    def test_the_deadline_is_long_until_the_pace_is_known(self):
        rates = Rates(30.0)
        assert rates.deadline_s(TASKS) == 300.0
        for task in TASKS:
            rates.add(outcome(task, wall_s=0.1))
        assert rates.deadline_s(TASKS) == 30.0

    def test_slow_work_gets_ten_times_its_pace(self):
        rates = Rates(30.0)
        for task in TASKS:
            rates.add(outcome(task, wall_s=20.0))
        assert rates.deadline_s(TASKS[:1]) == pytest.approx(200.0)

    def test_partitions_with_bad_rows_do_not_set_the_pace(self):
        rates = Rates(30.0)
        for task in TASKS:
            rates.add(outcome(task, wall_s=1e6, quarantined=1))
        assert rates.deadline_s(TASKS) == 300.0


class TestSuspects:
    def test_a_group_whose_worker_died_is_done_again_guarded_and_nobody_is_blamed(self):
        suspects = Suspects(Limits())
        again, given_up = suspects.after_death(Group(TASKS), RuntimeError("died"))
        assert [task for group in again for task in group.tasks] == list(TASKS)
        assert all(group.guarded for group in again)
        assert not given_up
        assert not suspects.guard

    def test_after_two_deaths_new_groups_are_guarded_from_the_start(self):
        suspects = Suspects(Limits())
        for _ in range(2):
            suspects.after_death(Group(TASKS[:1]), RuntimeError("died"))
        assert all(group.guarded for group in suspects.guarded(Group(TASKS)))

    def test_a_task_that_ends_workers_alone_and_guarded_is_given_up(self):
        suspects = Suspects(Limits())
        for _ in range(2):
            again, given_up = suspects.after_death(Group(TASKS[:1], guarded=True), RuntimeError("died"))
            assert (again, given_up) == ([Group(TASKS[:1], guarded=True)], [])
        again, (failed,) = suspects.after_death(Group(TASKS[:1], guarded=True), RuntimeError("died"))
        assert (again, failed.key) == ([], TASKS[0].key)
        assert "ended 3 workers" in failed.message

    def test_memory_that_runs_out_makes_a_suspect_of_a_task(self):
        suspects = Suspects(Limits())
        failed = Outcome.of_error(TASKS[0], MemoryError())
        assert suspects.again(TASKS[0], failed, guarded=False) == Group(TASKS[:1], guarded=True)
        assert suspects.again(TASKS[0], failed, guarded=True) is None


def test_the_first_group_of_each_slot_is_one_task():
    sizes = [len(group) for group in grouped(toy.plan(40).tasks, 2)]
    assert sizes[:2] == [1, 1]
    assert sum(sizes) == 40
    assert max(sizes) == 4


def test_groups_shrink_so_that_all_slots_end_together():
    sizes = [len(group) for group in grouped(toy.plan(400).tasks, 2)][2:]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 40
    assert sizes[-4:] == [1, 1, 1, 1]


class Scripted:
    """An executor whose groups end as told, one per call: `say(group) -> outcomes`."""

    slots = 2

    def __init__(self, say):
        self.say, self.groups = say, []

    def prepare(self, work):
        pass

    def submit(self, work_id, group):
        self.groups.append(group)

    def next_done(self, timeout_s):
        group = self.groups.pop(0)
        return group, self.say(group)

    def running_s(self):
        return {}


def test_a_full_store_lets_what_runs_end_and_pauses_the_run():
    full = StoreFullError("no room left to write x", kind=ErrorKind.STORE_FULL)

    def say(group):
        return [Outcome.of_error(t, full) if t is TASKS[1] else outcome(t) for t in group.tasks]

    executor, done = Scripted(say), []
    with pytest.raises(StoreFullError, match=r"paused at partition .*Npix=1: no room left.*make room") as caught:
        done.extend(iter_into(done, dispatch(toy.plan(8).work("/x"), TASKS, executor, group_tasks=1)))
    assert caught.value.kind == ErrorKind.STORE_FULL
    assert not executor.groups, "nothing is left running"
    assert TASKS[7].key not in {o.key for o in done}, "nothing new is started"
    assert {TASKS[0].key, TASKS[2].key, TASKS[3].key} <= {o.key for o in done}


def iter_into(done, outcomes):
    for one in outcomes:
        done.append(one)
    return ()


def test_a_stop_ends_the_run_after_what_is_running():
    stop, done = Stop(), []

    def say(group):
        stop.requested = True
        return [outcome(t) for t in group.tasks]

    with pytest.raises(TransientError, match="4 partitions left") as caught:
        iter_into(done, dispatch(toy.plan(8).work("/x"), TASKS, Scripted(say), group_tasks=1, stop=stop))
    assert caught.value.kind == ErrorKind.INTERRUPTED
    assert [o.key for o in done] == [t.key for t in TASKS[:4]]


SCRIPT = """
import sys
from contextlib import contextmanager
from skyloom.cluster import ClusterSpec, start
from skyloom.engine import run_plan
from skyloom.errors import SkyloomError
from skyloom.storage import LocalStore
from tests.engine import toy

if __name__ == "__main__":
    with start(ClusterSpec(workers=2, dashboard="")) as running:
        @contextmanager
        def executor():
            from skyloom.engine.on_dask import DaskExecutor
            yield DaskExecutor(running.client)
        say = lambda event: event.kind == "partition" and print("ended", flush=True)
        try:
            run_plan(toy.plan(40, wait_s=0.3), LocalStore(sys.argv[1]), executor, listener=say, group_tasks=2)
        except SkyloomError as error:
            print(error.kind, error.message, flush=True)
            sys.exit(130)
"""


@pytest.mark.cluster
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_once_drains_and_twice_stops_and_both_go_on_later(tmp_path, times):
    store = LocalStore(tmp_path / "layers")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(script), store.root],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ended\n"
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        time.sleep(0.2)
    out, trouble = process.stdout.read(), process.stderr.read()
    process.wait(60)
    plan = toy.plan(40, wait_s=0.3)
    journal = Journal(store, plan.layer, plan.job_id)
    data = sum(store.exists(journal.data(task.key)) for task in plan.tasks)
    committed = len(list(journal.records(plan.tasks)))
    assert 0 < committed < 40
    if times == 1:
        assert process.returncode == 130, trouble
        assert "interrupted stopped as asked" in out
        assert "Ctrl-C again stops at once" in trouble
        assert out.count("ended") + 1 == committed == data, "what ran was finished and told of"
    else:
        assert process.returncode not in {0, 130}
        assert "KeyboardInterrupt" in trouble
    summary = run_plan(toy.plan(40), store, in_process)
    assert summary.reused == committed
    assert len(summary.records) == 40


def test_a_run_outside_the_main_thread_leaves_signals_alone(store):
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run_plan, args=(toy.plan(3), store, in_process))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    assert run_plan(toy.plan(3), store, in_process).reused == 3


@pytest.fixture(scope="module")
def cluster():
    with start(ClusterSpec(workers=2, dashboard="")) as running:
        yield running


@pytest.fixture
def on_cluster(cluster):
    @contextmanager
    def executor():
        yield DaskExecutor(cluster.client)

    return executor


def checked(store, plan, poison, rows):
    """Check every row of a layer of `toy.poisoned`: value, or null and the right cause."""
    journal = Journal(store, plan.layer, plan.job_id)
    for i, task in enumerate(plan.tasks):
        data = store.read(journal.data(task.key))
        ids = range(i * rows, (i + 1) * rows)
        faults = {ids[row]: cause for row, cause, _, _ in partition_file.inspect(data, where="here").faults}
        assert faults == {n: toy.CAUSES[poison[n]] for n in ids if n in poison}
        table = pq.read_table(pa.BufferReader(data))
        assert table["id"].to_pylist() == list(ids)
        assert table["double"].to_pylist() == [None if n in poison else toy.math.sin(n) for n in ids]


@pytest.mark.cluster
def test_rows_that_kill_workers_are_found_and_innocents_are_not_blamed(store, on_cluster):
    poison = {33: "segfault", 34: "raise", 75: "exit", 139: "abort"}
    plan = toy.poisoned(16, poison, rows=10)
    summary = run_plan(plan, store, on_cluster)
    assert (len(summary.records), summary.quarantined) == (16, 4)
    checked(store, plan, poison, 10)


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["hang", "gil"])
def test_a_hung_worker_is_killed_at_the_deadline_and_its_row_found(store, on_cluster, kind):
    plan = toy.poisoned(16, {133: kind}, rows=10, limits=Limits(deadline_s=1.0))
    started = time.monotonic()
    summary = run_plan(plan, store, on_cluster, group_tasks=2)
    assert summary.quarantined == 1
    checked(store, plan, {133: kind}, 10)
    assert time.monotonic() - started < 200  # the pace, and so the deadline, is that of a machine that others use


@pytest.mark.cluster
def test_a_run_uses_workers_that_come_and_survives_those_that_go(tmp_path):
    store = LocalStore(tmp_path / "layers")
    noted = tmp_path / "noted"
    noted.mkdir()
    plan = toy.plan(60, journal=str(noted), wait_s=0.1)
    ended = []
    with start(ClusterSpec(workers=1, dashboard="")) as running:
        executors = []

        @contextmanager
        def executor():
            executors.append(DaskExecutor(running.client))
            yield executors[0]

        def resize(event):
            if event.kind == "partition":
                ended.append(executors[0].slots)
                if len(ended) == 5:
                    running.client.cluster.scale(3)
                if len(ended) == 40:
                    running.client.cluster.scale(1)

        run_plan(plan, store, executor, listener=resize, group_tasks=1)
    assert max(ended) == 3
    assert ended[0] == ended[-1] == 1
    assert len([path for path in noted.iterdir() if path.name.isdigit()]) >= 3
    assert {task.key for task in plan.tasks} == set(toy.executions(noted))


@pytest.mark.cluster
def test_a_cluster_without_workers_is_given_up_after_a_while(store, monkeypatch):
    monkeypatch.setattr(on_dask, "NO_WORKERS_S", 2.0)
    with start(ClusterSpec(workers=1, dashboard="")) as running:
        running.client.cluster.scale(0)

        @contextmanager
        def executor():
            yield DaskExecutor(running.client)

        with pytest.raises(TransientError, match="has had no worker for") as caught:
            run_plan(toy.plan(4), store, executor)
    assert caught.value.kind == ErrorKind.CLUSTER_LOST


@pytest.mark.slow
@pytest.mark.cluster
def test_one_percent_of_poison_rows_takes_less_than_twice_the_time(tmp_path, on_cluster, capsys):
    rows, kinds = 100, ("raise", "hang", "null-pointer", "memory")
    bad = random.Random(3).sample(range(200 * rows), 2 * rows)
    poison = {row: kinds[i % 4] for i, row in enumerate(bad)}
    limits = Limits(memory_bytes=1_000_000_000, deadline_s=2.0)
    wall_s = []
    for left_out, poisoned in ((bad, {}), ((), poison)):
        plan = toy.poisoned(200, poisoned, rows=rows, row_s=0.002, left_out=left_out, limits=limits)
        store = LocalStore(Path(tmp_path, str(len(wall_s))))
        summary = run_plan(plan, store, on_cluster)
        wall_s.append(summary.wall_s)
    assert summary.quarantined == len(bad)
    checked(store, plan, poison, rows)
    ratio = wall_s[1] / wall_s[0]
    with capsys.disabled():
        print(f"\n1 % poison rows: {wall_s[1]:.1f} s, without them {wall_s[0]:.1f} s, ratio {ratio:.2f}")
    assert ratio < 2
