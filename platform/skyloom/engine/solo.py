"""One task, one process: for plans whose start would otherwise take longer than their work.

What workers of a cluster give a task, it has here too: a process that it may kill, a time after
which it counts as hung, a memory limit. Only, there is no scheduler, no dashboard and no second process.
"""

from __future__ import annotations

from collections.abc import Mapping

from skyloom.engine.executors import InProcessExecutor
from skyloom.engine.guarded import Host
from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Work
from skyloom.engine.suspects import Group, Rates
from skyloom.engine.worker import register, run_group

__all__ = ["SoloExecutor"]


class SoloExecutor(InProcessExecutor):
    """Run groups in one process beside this one, one after the other.

    Parameters
    ----------
    environment : mapping of str to str
        Variables that the process gets beside those of this one.
    memory_bytes : int, optional
        Memory that it may take.
    """

    def __init__(self, environment: Mapping[str, str], *, memory_bytes: int | None = None) -> None:
        super().__init__()
        self._environment = environment
        self._memory_bytes = memory_bytes
        self._work: Work | None = None
        self._host: Host | None = None

    def prepare(self, work: Work) -> None:
        """Start the process; it imports what it needs meanwhile."""
        self._work = work
        register(work.work_id, work.to_json(), self._memory_bytes)
        self._start(work)

    def _start(self, work: Work) -> Host:
        self._host = Host(work.to_json(), self._memory_bytes, isolated=False, environment=self._environment)
        return self._host

    def next_done(self, timeout_s: float) -> tuple[Group, list[Outcome] | BaseException] | None:
        """Run the group that has waited longest; a task that kills its process, or hangs, ends it.

        Suspects are guarded as on any worker.
        """
        (_, group), work = self._waiting.popleft(), self._work
        assert work is not None
        if group.guarded:
            self.close()
            return group, run_group(work.work_id, group.tasks, guarded=True)
        outcomes = []
        for task in group.tasks:
            host = self._host or self._start(work)
            found = host.run(task, Rates(work.limits.deadline_s).deadline_s([task]))
            if not isinstance(found, Outcome):
                self._host = None
                return group, RuntimeError(f"the process that had partition {task.key} {found}")
            outcomes.append(found)
        return group, outcomes

    def close(self) -> None:
        """End the process."""
        if self._host is not None:
            self._host.close()
            self._host = None
