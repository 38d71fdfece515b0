"""Groups of tasks on a Dask cluster, through one client.

Tasks carry a work's id, not the work: a worker plugin brings the description to every
worker, also to those that come later, and each process loads its model once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed import KilledWorker, WorkerPlugin, as_completed, get_worker

from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task, Work
from skyloom.engine.suspects import Group
from skyloom.engine.worker import register, run_group
from skyloom.errors import ErrorKind, TransientError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["DaskExecutor"]

NO_WORKERS_S = 600.0
"""How long a cluster may be without any worker."""
GATHER_S = 5.0
"""How long outcomes, a kilobyte each, may take to come from a worker, which may be hung in its next group."""


BEATS = "skyloom-beats"
"""Topic of Dask events: the key of a group, when one of its tasks has ended."""
BEAT_S = 0.5
"""Of tasks that end sooner after one another, not each is told of: a message costs more than a tiny partition."""


def _run_group(work_id: str, tasks: tuple[Task, ...], guarded: bool, key: str) -> list[Outcome]:
    worker, last = get_worker(), 0.0

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > BEAT_S:
            last = now
            worker.log_event(BEATS, key)

    return run_group(work_id, tasks, guarded=guarded, beat=beat)


class _Describe(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Tell a worker process how the tasks of a work are done."""

    def __init__(self, work_id: str, description: str) -> None:
        self.name = f"skyloom-{work_id}"
        self.work_id = work_id
        self.description = description

    def setup(self, worker: Any) -> None:
        """Run on every worker when it starts, or when the plugin is registered."""
        register(self.work_id, self.description, worker.memory_manager.memory_limit)


@dataclass
class _Sent:
    group: Group
    future: Future
    seen: float | None = None
    """When it was first found with a worker, or last heard of."""


class DaskExecutor:
    """Run groups on the workers of a client.

    Parameters
    ----------
    client : distributed.Client
        Connected; stays open.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sent: dict[str, _Sent] = {}
        self._completed = as_completed([], loop=client.loop, with_results=False, raise_errors=False)
        self._had_workers = time.monotonic()

    @property
    def slots(self) -> int:
        """Worker threads there are now; at least one, for a cluster that is still growing.

        Raises
        ------
        TransientError
            If the scheduler is gone, or there has been no worker for ten minutes.
        """
        self._check_alive()
        with _reached():
            threads: dict[str, int] = self._client.nthreads()
        if threads:
            self._had_workers = time.monotonic()
        return max(1, sum(threads.values()))

    def prepare(self, work: Work) -> None:
        """Tell every worker, present and future, how the tasks are done."""
        with _reached():
            self._client.register_plugin(_Describe(work.work_id, work.to_json()))
            self._client.subscribe_topic(BEATS, self._heard)

    def submit(self, work_id: str, group: Group) -> None:
        """Send a group; its key is new, so that no result of an earlier attempt is taken for it."""
        self._check_alive()
        key = f"skyloom-{uuid.uuid4().hex}"
        future = self._client.submit(
            _run_group, work_id, group.tasks, group.guarded, key, key=key, pure=False, retries=0
        )
        self._sent[key] = _Sent(group, future)
        self._completed.add(future)

    def next_done(self, timeout_s: float) -> tuple[Group, list[Outcome] | BaseException] | None:
        """Wait for any group; None if there is none after `timeout_s`.

        Raises
        ------
        TransientError
            If the scheduler is gone, there has been no worker for ten minutes, or workers
            cannot run groups at all.
        """
        with self._completed.thread_condition:
            if not self._completed.has_ready():
                self._completed.thread_condition.wait(timeout_s)
        if not self._completed.has_ready():
            _ = self.slots
            return None
        sent = self._sent.pop(next(self._completed).key)
        try:
            if sent.future.status == "finished":
                return sent.group, sent.future.result(timeout=GATHER_S)
            if sent.future.status == "error":
                return sent.group, _death(sent.future.exception())
            self._check_alive()
            return sent.group, _lost(str(sent.future.status))
        except (OSError, CancelledError):
            # Its worker went before the result was fetched, and Dask does the group again unasked; or
            # the scheduler went, which the next call finds out.
            return sent.group, _lost("result")
        except KilledWorker as error:
            # The same, and the worker that then did the group again died too.
            return sent.group, error
        finally:
            sent.future.release()

    def running_s(self) -> Mapping[Group, float]:
        """Return for how long each group has been at its present task, as far as it was asked for."""
        now = time.monotonic()
        with _reached():
            with_workers = {key for keys in self._client.processing().values() for key in keys}
        for key, sent in list(self._sent.items()):
            if key not in with_workers:
                sent.seen = None
            elif sent.seen is None:
                sent.seen = now
        return {sent.group: now - sent.seen for sent in self._sent.values() if sent.seen is not None}

    def _heard(self, event: tuple[float, str]) -> None:
        """Note that a group has ended one of its tasks; called by the client's event loop."""
        sent = self._sent.get(event[1])
        if sent is not None:
            sent.seen = time.monotonic()

    def kill(self, group: Group) -> None:
        """Kill the process of the worker that has a group, from its nanny: it may hold its GIL for ever.

        Does not wait: a nanny on a machine that stands still never answers, and then it is the
        scheduler that gives the worker up. The group gets its time once more before it is asked again.
        """
        keys = {key for key, sent in self._sent.items() if sent.group is group}
        with _reached():
            at_work = self._client.processing()
        for key in keys:
            self._sent[key].seen = time.monotonic()
        for address, processing in at_work.items():
            if keys.intersection(processing):
                threading.Thread(target=self._kill, args=(address,), name="skyloom-kill", daemon=True).start()

    def _kill(self, address: str) -> None:
        try:
            self._client.run(_kill_worker, workers=[address], nanny=True)
        except Exception:  # no nanny: whoever started the worker has to replace it
            with suppress(Exception):  # the end of a thread: the run, and so the client, may be over
                self._client.restart_workers([address], raise_for_error=False)

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise _lost(str(self._client.status))
        lonely_s = time.monotonic() - self._had_workers
        if lonely_s > NO_WORKERS_S:
            msg = (
                f"the cluster has had no worker for {lonely_s / 60:.0f} minutes; committed partitions are safe: "
                "start workers, then run the same command again"
            )
            raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST)


@contextmanager
def _reached() -> Iterator[None]:
    """Say that the scheduler is gone if it does not answer: its client may notice only later."""
    try:
        yield
    except (OSError, CancelledError) as error:
        raise _lost(f"{type(error).__name__}: {error}") from error


def _kill_worker(dask_worker: Any) -> None:
    """Kill the worker process of a nanny, which starts another one."""
    os.kill(dask_worker.process.pid, signal.SIGKILL)


def _lost(status: str) -> TransientError:
    msg = "the Dask scheduler is gone; committed partitions are safe, run the same command again"
    return TransientError(msg, kind=ErrorKind.CLUSTER_LOST, status=status)


def _death(error: BaseException) -> BaseException:
    """Return `error` if a worker died of a task; a group never raises by itself.

    Raises
    ------
    TransientError
        If the workers cannot run groups at all.
    """
    died: bool = isinstance(error, KilledWorker)
    if died:
        return error
    msg = (
        f"the cluster's workers cannot run skyloom's tasks: {type(error).__name__}: {error}. "
        "They need the same versions of skyloom and Python as here"
    )
    raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST) from error
