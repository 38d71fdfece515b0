"""Executor: where groups of tasks run. This process is the simplest one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Work
from skyloom.engine.suspects import Group
from skyloom.engine.worker import register, run_group

__all__ = ["Executor", "InProcessExecutor"]


class Executor(Protocol):
    """Where groups of tasks run."""

    @property
    def slots(self) -> int:
        """Groups that run at once, now; at least one."""
        ...

    def prepare(self, work: Work) -> None:
        """Tell every worker, present and future, how the tasks are done."""
        ...

    def submit(self, work_id: str, group: Group) -> None:
        """Start a group."""
        ...

    def next_done(self, timeout_s: float) -> tuple[Group, list[Outcome] | BaseException] | None:
        """Wait for a group; None if that takes longer.

        With the group come its outcomes, a `TransientError` if they were lost on their way,
        or another error if its worker died of it.
        """
        ...

    def running_s(self) -> Mapping[Group, float]:
        """Return for how long each group has been at its present task."""
        ...

    def kill(self, group: Group) -> None:
        """Kill the worker that works on a group; `next_done` then tells of its death."""
        ...


class InProcessExecutor:
    """Run groups in this process, one after the other: the cheapest start there is."""

    slots = 1

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Group]] = deque()

    def prepare(self, work: Work) -> None:
        """Tell this process how the tasks are done."""
        register(work.work_id, work.to_json())

    def submit(self, work_id: str, group: Group) -> None:
        """Queue a group."""
        self._waiting.append((work_id, group))

    def next_done(self, timeout_s: float) -> tuple[Group, list[Outcome] | BaseException] | None:
        """Run the group that has waited longest, however long it takes."""
        work_id, group = self._waiting.popleft()
        return group, run_group(work_id, group.tasks, guarded=group.guarded)

    def running_s(self) -> Mapping[Group, float]:
        """Return nothing: while a group runs, nobody asks."""
        return {}

    def kill(self, group: Group) -> None:
        """Do nothing: see `running_s`."""
