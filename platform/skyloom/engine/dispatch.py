"""Dispatch: tasks to workers as a bounded stream, never as one graph.

Only a few groups per worker are with the scheduler at any time, results are released as
they come, and nothing the driver keeps grows with the number of rows. What Dask believes
about a task decides nothing: records do.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task, Work
from skyloom.engine.worker import register, run_group
from skyloom.errors import (
    ConflictError,
    ErrorKind,
    PartitionError,
    SkyloomError,
    SpecError,
    StoreFullError,
)

__all__ = ["Executor", "InProcessExecutor", "Outcome", "dispatch", "grouped"]

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a task that fails for a reason of the moment is tried in one run."""
DEATHS = 2
"""How often a task may take its worker with it before it is given up in this run."""
WINDOW = 2
"""Groups per worker that are with the scheduler: one running, one waiting."""
GROUP_BYTES = 64 << 20
GROUP_TASKS = 64


class Executor(Protocol):
    """Where groups of tasks run."""

    @property
    def slots(self) -> int:
        """Groups that run at once."""
        ...

    def prepare(self, work: Work) -> None:
        """Tell every worker, present and future, how the tasks are done."""
        ...

    def submit(self, work_id: str, tasks: Sequence[Task]) -> None:
        """Start a group."""
        ...

    def next_done(self) -> tuple[Sequence[Task], list[Outcome] | BaseException]:
        """Wait for a group; what it returned, or why its worker returned nothing."""
        ...


class InProcessExecutor:
    """Run groups in this process, one after the other: the cheapest start there is."""

    slots = 1

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Sequence[Task]]] = deque()

    def prepare(self, work: Work) -> None:
        """Tell this process how the tasks are done."""
        register(work.work_id, work.to_json())

    def submit(self, work_id: str, tasks: Sequence[Task]) -> None:
        """Queue a group."""
        self._waiting.append((work_id, tasks))

    def next_done(self) -> tuple[Sequence[Task], list[Outcome] | BaseException]:
        """Run the group that has waited longest."""
        work_id, tasks = self._waiting.popleft()
        return tasks, run_group(work_id, tasks)


@dataclass
class _Trouble:
    """What has gone wrong with tasks so far, by key."""

    attempts: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)

    def count(self, counts: dict[str, int], key: str) -> int:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


def grouped(tasks: Sequence[Task], slots: int, *, group_tasks: int | None = None) -> Iterator[tuple[Task, ...]]:
    """Yield groups of tasks that are worth their scheduling and still keep all slots busy.

    Parameters
    ----------
    tasks : sequence of Task
    slots : int
        Groups that run at once.
    group_tasks : int, optional
        Tasks per group; by default as many as 64 MiB of input hold, at most 64, and few
        enough that every slot gets at least four groups.
    """
    most = group_tasks or max(1, min(GROUP_TASKS, len(tasks) // (4 * slots)))
    group: list[Task] = []
    size = 0
    for task in tasks:
        if group and (len(group) >= most or (group_tasks is None and size + task.size_bytes > GROUP_BYTES)):
            yield tuple(group)
            group, size = [], 0
        group.append(task)
        size += task.size_bytes
    if group:
        yield tuple(group)


def dispatch(
    work: Work, tasks: Sequence[Task], executor: Executor, *, group_tasks: int | None = None
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

    Yields
    ------
    Outcome
        One per task. A failure is yielded once no further attempt is made.

    Raises
    ------
    StoreFullError, ConflictError, SpecError
        If a task failed for a reason that all others share (`Outcome.fatal`).
    TransientError
        If the cluster is lost. Committed partitions stay committed in every case.
    """
    executor.prepare(work)
    waiting: deque[tuple[Task, ...]] = deque(grouped(tasks, executor.slots, group_tasks=group_tasks))
    trouble = _Trouble()
    running = 0
    while waiting or running:
        while waiting and running < WINDOW * executor.slots:
            executor.submit(work.work_id, waiting.popleft())
            running += 1
        group, result = executor.next_done()
        running -= 1
        if isinstance(result, BaseException):
            yield from _after_death(group, result, waiting, trouble)
            continue
        by_key = {task.key: task for task in group}
        for outcome in result:
            if outcome.fatal:
                raise _fatal(outcome)
            if outcome.retry and trouble.count(trouble.attempts, outcome.key) < ATTEMPTS:
                logger.warning("partition %s is tried again after: %s", outcome.key, outcome.message)
                waiting.append((by_key[outcome.key],))
            else:
                yield outcome


def _after_death(
    group: Sequence[Task], error: BaseException, waiting: deque[tuple[Task, ...]], trouble: _Trouble
) -> Iterable[Outcome]:
    """Decide about a group whose worker died: apart first, given up when it dies alone."""
    if len(group) > 1:
        waiting.extendleft((task,) for task in reversed(group))
        return
    task = group[0]
    deaths = trouble.count(trouble.deaths, task.key)
    if deaths < DEATHS:
        waiting.append((task,))
        return
    msg = f"partition {task.key} ended {deaths} workers, the last time with: {error}"
    yield Outcome.of_error(task, PartitionError(msg, kind=ErrorKind.BAD_PARTITION, key=task.key))


def _fatal(outcome: Outcome) -> SkyloomError:
    """Return the error of an outcome that every other task would share."""
    kind = ErrorKind(outcome.kind)
    classes: dict[ErrorKind, type[SkyloomError]] = {
        ErrorKind.STORE_FULL: StoreFullError,
        ErrorKind.SNAPSHOT_CHANGED: ConflictError,
    }
    msg = f"stopped at partition {outcome.key}: {outcome.message}"
    return classes.get(kind, SpecError)(msg, kind=kind, key=outcome.key)


def describe_failures(failures: Sequence[Outcome], shown: int = 5) -> str:
    """Return the first failures as lines of text."""
    lines: list[Any] = [f"  {failure.key}: {failure.message}" for failure in failures[:shown]]
    if len(failures) > shown:
        lines.append(f"  and {len(failures) - shown} more")
    return "\n".join(lines)
