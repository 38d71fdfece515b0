"""The same laws on real Dask worker processes."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import KilledWorker
from distributed.comm import CommClosedError
from distributed.core import Status
from distributed.scheduler import WorkerState

import skyloom
from skyloom.cluster import ClusterSpec, start
from skyloom.engine import InProcessExecutor, Journal, Limits, run_plan
from skyloom.engine.on_dask import DaskExecutor, _Sent
from skyloom.engine.suspects import Group, Suspects
from skyloom.errors import ErrorKind, TransientError
from skyloom.storage import LocalStore
from tests.engine import toy

pytestmark = pytest.mark.cluster
cluster_start = import_module("skyloom.cluster.start")
on_dask_module = import_module("skyloom.engine.on_dask")


@pytest.fixture(scope="module")
def cluster():
    with start(ClusterSpec(workers=2, dashboard="")) as running:
        yield running


@pytest.fixture
def on_dask(cluster):
    @contextmanager
    def executor():
        yield DaskExecutor(cluster.client)

    return executor


@pytest.fixture
def noted(tmp_path):
    folder = tmp_path / "noted"
    folder.mkdir()
    return folder


@contextmanager
def in_process():
    yield InProcessExecutor()


def contents(store, plan):
    journal = Journal(store, plan.layer, plan.job_id)
    return {task.key: store.read(journal.data(task.key)) for task in plan.tasks}


def test_workers_write_the_same_bytes_as_one_process(tmp_path, on_dask, noted):
    plan = toy.plan(40)
    here, there = LocalStore(tmp_path / "here"), LocalStore(tmp_path / "there")
    run_plan(plan, here, in_process)
    run_plan(toy.plan(40, journal=str(noted), wait_s=0.02), there, on_dask)
    assert contents(here, plan) == contents(there, plan)
    assert len([path for path in noted.iterdir() if path.name.isdigit()]) == 2, "both workers took part"


def test_each_partition_is_computed_once(tmp_path, on_dask, noted):
    plan = toy.plan(40, journal=str(noted))
    run_plan(plan, LocalStore(tmp_path / "layers"), on_dask)
    assert sorted(toy.executions(noted)) == sorted(task.key for task in plan.tasks)


def test_a_partition_that_kills_its_worker_is_named_and_the_others_are_committed(tmp_path, on_dask, noted):
    store = LocalStore(tmp_path / "layers")
    plan = toy.plan(12, journal=str(noted), kill=[5])
    with pytest.raises(TransientError, match=r"1 of 12 partitions failed(.|\n)*Npix=5 alone ended") as caught:
        run_plan(plan, store, on_dask)
    assert caught.value.kind == ErrorKind.INCOMPLETE
    summary = run_plan(toy.plan(12, journal=str(noted)), store, on_dask)
    assert (summary.reused, summary.computed) == (11, 1)


def test_a_lost_scheduler_is_said_and_committed_work_is_kept(tmp_path, noted):
    store = LocalStore(tmp_path / "layers")
    plan = toy.plan(30, journal=str(noted), wait_s=0.2)

    with start(ClusterSpec(workers=1, dashboard="")) as running:

        @contextmanager
        def executor():
            yield DaskExecutor(running.client)

        def close_after_some(event):
            if event.kind == "partition":
                running.client.loop.add_callback(running.client.scheduler.close_rpc)
                running.client.cluster.close()

        with pytest.raises(TransientError) as caught:
            run_plan(plan, store, executor, listener=close_after_some, group_tasks=1)
    assert caught.value.kind == ErrorKind.CLUSTER_LOST
    summary = run_plan(plan, store, in_process)
    assert summary.reused >= 1


def test_no_arrow_thread_holds_python_memory_when_a_run_ends():
    # `pyarrow.parquet.read_table` releases what it read on threads of its own. Where that is memory of
    # Python's and the interpreter is exiting, the process aborted: in 3 of 32 runs of a small job.
    package = Path(skyloom.__file__).parent
    sources = [path for floor in ("engine", "jobs") for path in (package / floor).rglob("*.py")]
    assert sources
    assert [path.name for path in sources if "read_table(" in path.read_text()] == []


class _Ready(list):
    """What `as_completed` holds when futures are ready."""

    thread_condition = threading.Condition()

    def has_ready(self):
        return bool(self)

    def __next__(self):
        return self.pop()


class _Ended:
    """A future whose worker died after it had ended, as did the worker that did it again."""

    key, status = "k", "finished"

    def result(self, timeout):
        worker = WorkerState(
            address="tcp://127.0.0.1:1", status=Status.running, pid=1, name="w", nthreads=1, memory_limit=1,
            local_directory="", nanny="", server_id="s", services={}, versions={}, extra={}, scheduler=None,
        )  # fmt: skip
        raise KilledWorker("k", worker, 0)

    def release(self):
        pass


def test_a_group_whose_result_died_with_two_workers_is_done_again_and_ends_nothing(cluster, monkeypatch):
    executor, group, future = DaskExecutor(cluster.client), Group(toy.plan(2).tasks), _Ended()
    monkeypatch.setattr(executor, "_completed", _Ready([future]))
    executor._sent["k"] = _Sent(group, future)
    done, result = executor.next_done(1.0)
    assert done is group
    assert isinstance(result, KilledWorker)
    again, given_up = Suspects(Limits()).after_death(group, result)
    assert {task.key for each in again for task in each.tasks} == {task.key for task in group.tasks}
    assert given_up == []


def test_a_scheduler_that_dies_when_asked_for_its_dashboard_has_none():
    class Client:
        @property
        def dashboard_link(self):
            raise CommClosedError("ConnectionPool.identity")

    assert cluster_start._dashboard(Client()) is None


def test_a_group_of_quick_tasks_tells_of_the_first_and_then_twice_a_second(monkeypatch):
    told, clock = [], iter([10.0, 10.1, 10.2, 10.6, 10.7, 11.3])

    def run_group(work_id, tasks, *, guarded, beat):
        for _ in range(6):
            beat()
        return []

    worker = SimpleNamespace(log_event=lambda topic, key: told.append(key))
    monkeypatch.setattr(on_dask_module, "get_worker", lambda: worker)
    monkeypatch.setattr(on_dask_module, "run_group", run_group)
    monkeypatch.setattr(on_dask_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert on_dask_module._run_group("work", (), False, "key") == []
    assert told == ["key"] * 3
