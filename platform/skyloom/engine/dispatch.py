"""Dispatch: tasks to workers as a bounded stream, never as one graph.

Only a few groups per worker are with the scheduler at any time, results are released as
they come, and nothing the driver keeps grows with the number of rows. What Dask believes
about a task decides nothing: records do.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence

from skyloom.engine.executors import Executor, InProcessExecutor
from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task, Work
from skyloom.engine.stopping import Stop
from skyloom.engine.suspects import Group, Rates, Suspects
from skyloom.errors import (
    ConflictError,
    ErrorKind,
    SkyloomError,
    SpecError,
    StoreFullError,
    TransientError,
)

__all__ = ["Executor", "InProcessExecutor", "Outcome", "describe_failures", "dispatch", "grouped"]

logger = logging.getLogger(__name__)

WINDOW = 2
"""Groups per worker that are with the scheduler: one running, one waiting."""
GROUP_BYTES = 64 << 20
GROUP_TASKS = 64
TICK_S = 1.0
"""How often deadlines are looked at."""
NOTHING_ENDS_S = 1800.0
"""A run in which no group ends for so long, and longer than any deadline, has lost its workers."""


def grouped(tasks: Sequence[Task], slots: int, *, group_tasks: int | None = None) -> Iterator[tuple[Task, ...]]:
    """Yield groups of tasks that are worth their scheduling and still keep all slots busy.

    Parameters
    ----------
    tasks : sequence of Task
    slots : int
        Groups that run at once.
    group_tasks : int, optional
        Tasks per group; by default as many as 64 MiB of input hold, at most 64, and at most
        a quarter of each slot's share of what is left, so that all slots end together. Then
        the first group of each slot is one task: it tells the pace, and costs little if the
        model kills its process.
    """
    alone = 0 if group_tasks else slots
    group: list[Task] = []
    size = 0
    for i, task in enumerate(tasks):
        left = len(tasks) - i + len(group)
        most = group_tasks or max(1, min(GROUP_TASKS, left // (4 * slots)))
        full = len(group) >= most or (group_tasks is None and size + task.size_bytes > GROUP_BYTES)
        if group and (full or i <= alone):
            yield tuple(group)
            group, size = [], 0
        group.append(task)
        size += task.size_bytes
    if group:
        yield tuple(group)


def dispatch(
    work: Work,
    tasks: Sequence[Task],
    executor: Executor,
    *,
    group_tasks: int | None = None,
    stop: Stop | None = None,
) -> Iterator[Outcome]:
    """Run `tasks` and yield what became of each, in the order in which they end.

    Parameters
    ----------
    work : Work
        How each is done.
    tasks : sequence of Task
    executor : Executor
    group_tasks : int, optional
        See `grouped`.
    stop : Stop, optional
        When it is requested, what runs is finished and nothing else is started.

    Yields
    ------
    Outcome
        One per task. A failure is yielded once no further attempt is made.

    Raises
    ------
    StoreFullError
        If the store is full; what ran beside was finished first.
    ConflictError, SpecError
        If a task failed for a reason that all others share (`Outcome.fatal`).
    TransientError
        If the cluster is lost, or `stop` was requested. Committed partitions stay committed
        in every case.
    """
    executor.prepare(work)
    waiting = (Group(group) for group in grouped(tasks, executor.slots, group_tasks=group_tasks))
    yield from _Dispatch(work, waiting, executor, stop or Stop()).outcomes()


class _Dispatch:
    def __init__(self, work: Work, waiting: Iterator[Group], executor: Executor, stop: Stop) -> None:
        self.work_id = work.work_id
        self.executor = executor
        self.stop = stop
        self.waiting = deque(waiting)
        self.running = 0
        self.rates = Rates(work.limits.deadline_s)
        self.suspects = Suspects(work.limits)
        self.full: Outcome | None = None
        self.last_end = time.monotonic()
        self.longest_s = 0.0

    def outcomes(self) -> Iterator[Outcome]:
        while self.running or (self.waiting and not self.draining):
            self.submit()
            done = self.executor.next_done(TICK_S)
            if done is None:
                self.watch()
                continue
            self.running -= 1
            self.last_end = time.monotonic()
            yield from self.ended(*done)
        if self.full is not None:
            raise _fatal(self.full)
        if self.waiting:
            raise self.interrupted()

    @property
    def draining(self) -> bool:
        return self.stop.requested or self.full is not None

    def submit(self) -> None:
        slots = self.executor.slots if self.waiting else 0
        while self.waiting and self.running < WINDOW * slots and not self.draining:
            first, *rest = self.suspects.guarded(self.waiting.popleft())
            self.waiting.extendleft(reversed(rest))
            self.executor.submit(self.work_id, first)
            self.running += 1

    def ended(self, group: Group, result: list[Outcome] | BaseException) -> Iterator[Outcome]:
        if isinstance(result, TransientError):
            # A worker left with the result: what was done is recorded, and nobody is suspected.
            self.waiting.appendleft(group)
            return
        if isinstance(result, BaseException):
            again, given_up = self.suspects.after_death(group, result)
            logger.warning("a worker died of one of %s: %s", [task.key for task in group.tasks], result)
            self.waiting.extendleft(reversed(again))
            yield from given_up
            return
        by_key = {task.key: task for task in group.tasks}
        for outcome in result:
            yield from self.one(by_key[outcome.key], outcome, guarded=group.guarded)

    def one(self, task: Task, outcome: Outcome, *, guarded: bool) -> Iterator[Outcome]:
        if outcome.kind == ErrorKind.STORE_FULL:
            self.full = outcome
            self.waiting.append(Group((task,), guarded))
            return
        if outcome.fatal:
            raise _fatal(outcome)
        again = self.suspects.again(task, outcome, guarded=guarded) if outcome.status == "failed" else None
        if again is None:
            self.rates.add(outcome)
            yield outcome
            return
        logger.warning("partition %s is tried again after: %s", outcome.key, outcome.message)
        self.waiting.append(again)

    def watch(self) -> None:
        """Kill workers whose group is overdue. Guarded groups end by themselves."""
        for group, running_s in self.executor.running_s().items():
            deadline_s = self.rates.deadline_s(group.tasks)
            self.longest_s = max(self.longest_s, deadline_s)
            if not group.guarded and running_s > deadline_s:
                logger.warning("%s is overdue after %.0f s", group.tasks[0].key, running_s)
                self.executor.kill(group)
        silent_s = time.monotonic() - self.last_end
        if silent_s > max(NOTHING_ENDS_S, 2 * self.longest_s):
            msg = (
                f"no partition ended for {silent_s / 60:.0f} minutes with {self.running} groups at the workers: "
                "they are paused or unreachable (see the Dask dashboard; a full scratch disk or too little memory "
                "pauses workers). Committed partitions are safe, run the same command again"
            )
            raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST)

    def interrupted(self) -> TransientError:
        left = sum(len(group.tasks) for group in self.waiting)
        msg = f"stopped as asked with {left} partitions left; the others are committed, the same command goes on"
        return TransientError(msg, kind=ErrorKind.INTERRUPTED, left=left)


def _fatal(outcome: Outcome) -> SkyloomError:
    """Return the error of an outcome that every other task would share."""
    kind = ErrorKind(outcome.kind)
    if kind == ErrorKind.STORE_FULL:
        msg = (
            f"paused at partition {outcome.key}: {outcome.message}. Committed partitions are safe; "
            "make room, then the same command goes on"
        )
        return StoreFullError(msg, kind=kind, key=outcome.key)
    msg = f"stopped at partition {outcome.key}: {outcome.message}"
    found = ConflictError if kind in {ErrorKind.SNAPSHOT_CHANGED, ErrorKind.DIGEST_MISMATCH} else SpecError
    return found(msg, kind=kind, key=outcome.key)


def describe_failures(failures: Sequence[Outcome], shown: int = 5) -> str:
    """Return the first failures as lines of text."""
    lines = [f"  {failure.key}: {failure.message}" for failure in failures[:shown]]
    if len(failures) > shown:
        lines.append(f"  and {len(failures) - shown} more")
    return "\n".join(lines)
