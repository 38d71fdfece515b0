"""Suspects: our own counts of what went wrong with a task, and how long a task may take.

Dask blames every task that a dead worker had, and knows no deadline. Here a group whose
worker died, or that is overdue, is taken apart, and each of its tasks is done again
guarded: in child processes, which find the rows that did it. A guarded task that is
innocent loses some milliseconds and is not blamed for anything.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from skyloom.engine.limits import Limits
from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task
from skyloom.errors import ErrorKind, PartitionError

__all__ = ["Group", "Rates", "Suspects"]

ATTEMPTS = 3
"""How often a task that fails for a reason of the moment is tried in one run."""
DEATHS = 3
"""How often a task may lose its worker before it is given up in this run."""
GUARD_AFTER = 2
"""Workers that a run may lose to its tasks before all further ones are guarded from the start."""
GUARDED_TASKS = 8
"""Tasks of a guarded group: some, so that one that waits for a hung row does not keep its worker idle."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that go to a worker together."""

    tasks: tuple[Task, ...]
    guarded: bool = False


class Rates:
    """The pace of a run, and the deadline that follows from it."""

    KEPT = 256
    ENOUGH = 2
    """Tasks before the pace counts as known."""
    TIMES = 10.0
    """A task is overdue after so many times the 95th percentile of the pace."""

    def __init__(self, floor_s: float) -> None:
        self.floor_s = floor_s
        self._row_s: deque[float] = deque(maxlen=self.KEPT)
        self._p95: float | None = None

    def add(self, outcome: Outcome) -> None:
        """Note the pace of a task that was computed and had no trouble."""
        if outcome.status == "computed" and not outcome.quarantined and outcome.rows:
            self._row_s.append(outcome.wall_s / outcome.rows)
            self._p95 = None

    def deadline_s(self, tasks: Sequence[Task]) -> float:
        """Return the time after which a group that has been at one of its tasks is overdue."""
        if len(self._row_s) < self.ENOUGH:
            return self.TIMES * self.floor_s
        if self._p95 is None:
            self._p95 = sorted(self._row_s)[int(0.95 * (len(self._row_s) - 1))]
        return max(self.floor_s, self.TIMES * self._p95 * max(task.rows for task in tasks))


@dataclass
class Suspects:
    """What has gone wrong so far, and what is done about it."""

    limits: Limits
    guard: bool = False
    """Whether new groups are guarded from the start."""
    lost_workers: int = 0
    _attempts: Counter[str] = field(default_factory=Counter)
    _deaths: Counter[str] = field(default_factory=Counter)

    def after_death(self, group: Group, error: BaseException) -> tuple[list[Group], list[Outcome]]:
        """Return what to do again, guarded, and what is given up, of a group whose worker died."""
        self.lost_workers += 1
        self.guard = self.guard or self.lost_workers >= GUARD_AFTER
        if len(group.tasks) > 1:
            # A death among others says nothing of a task; a guarded group has lost its worker to no row.
            size = 1 if group.guarded else GUARDED_TASKS
            return _cut(group, size), []
        task = group.tasks[0]
        self._deaths[task.key] += group.guarded
        if self._deaths[task.key] < DEATHS:
            return _cut(group, 1), []
        msg = f"partition {task.key}, computed alone in a process of its own, ended {DEATHS} workers: {error}"
        return [], [Outcome.of_error(task, PartitionError(msg, kind=ErrorKind.BAD_PARTITION, key=task.key))]

    def again(self, task: Task, outcome: Outcome, *, guarded: bool) -> Group | None:
        """Return how a failed task is done again; None if it has failed for good."""
        if outcome.kind == "MemoryError":
            return None if guarded else Group((task,), guarded=True)
        self._attempts[task.key] += 1
        return Group((task,), guarded) if outcome.retry and self._attempts[task.key] < ATTEMPTS else None

    def guarded(self, group: Group) -> Iterable[Group]:
        """Return `group` as small guarded ones, if new groups are guarded."""
        return [group] if group.guarded or not self.guard else _cut(group, GUARDED_TASKS)


def _cut(group: Group, size: int) -> list[Group]:
    return [Group(group.tasks[i : i + size], guarded=True) for i in range(0, len(group.tasks), size)]
