"""Overlap: one task is read ahead and one is committed behind, while one is computed.

Reading, hashing, writing and waiting for the disk leave the interpreter free, so a core that
the model does not use does them. What is held is at most one task per step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task
from skyloom.engine.processor import Computed

__all__ = ["DECOMPRESSION", "Steps", "overlapped"]

DECOMPRESSION = 6
"""Bytes in memory per byte of Parquet: light curves were seen to take 2 to 4, plus the batch."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How a task is done."""

    prepare: Callable[[Task], Outcome | Callable[[], Computed]]
    """Reads; what it returns computes, unless the task was found to be done."""
    commit: Callable[[Task, Computed], Outcome]
    memory_bytes: int
    """A task is read ahead only if two of them are projected to fit into this."""


def overlapped(tasks: Sequence[Task], steps: Steps, beat: Callable[[], None] = lambda: None) -> Iterator[Outcome]:
    """Yield what became of each task, in order; an error of one is an outcome, not raised.

    Parameters
    ----------
    tasks : sequence of Task
    steps : Steps
        `prepare` and `commit` are each called by a thread of their own, in the order of the tasks.
    beat : callable
        Called by this thread after each task that is found to have ended.
    """
    with ThreadPoolExecutor(1, "skyloom-read") as reader, ThreadPoolExecutor(1, "skyloom-commit") as writer:
        behind: Future[Outcome] | None = None
        ahead: Future[Outcome | Callable[[], Computed]] | None = None
        for i, task in enumerate(tasks):
            started = time.perf_counter()
            here = ahead or reader.submit(steps.prepare, task)
            ahead = None
            if i + 1 < len(tasks) and _both_fit(task, tasks[i + 1], steps.memory_bytes):
                ahead = reader.submit(steps.prepare, tasks[i + 1])
            computed = _computed(task, here)
            del here
            if behind is not None:
                yield behind.result()
                beat()
            behind = writer.submit(_committed, steps, task, computed, started)
            del computed
        if behind is not None:
            yield behind.result()
            beat()


def _both_fit(task: Task, following: Task, memory_bytes: int) -> bool:
    return DECOMPRESSION * (task.size_bytes + following.size_bytes) <= memory_bytes


def _computed(task: Task, prepared: Future[Outcome | Callable[[], Computed]]) -> Outcome | Computed:
    try:
        found = prepared.result()
        return found if isinstance(found, Outcome) else found()
    except Exception as error:  # the end of a task: whatever it was, the driver decides
        return Outcome.of_error(task, error)


def _committed(steps: Steps, task: Task, computed: Outcome | Computed, started: float) -> Outcome:
    outcome = computed
    if isinstance(outcome, Computed):
        try:
            outcome = steps.commit(task, outcome)
        except Exception as error:  # the end of a task: whatever it was, the driver decides
            outcome = Outcome.of_error(task, error)
    return outcome.timed(wall_s=time.perf_counter() - started, process=os.getpid())
