"""Memory of a process that does many partitions."""

from __future__ import annotations

import os
import tempfile
from multiprocessing.connection import Connection

import psutil

from skyloom.engine import run_plan
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.finished import in_process
from tests.faults.children import CONTEXT

__all__ = ["memory_growth"]


def memory_growth(n_tasks: int) -> float:
    """Return by which part the memory of a worker grows from a quarter of `n_tasks` partitions to all."""
    ours, theirs = CONTEXT.Pipe()
    child = CONTEXT.Process(target=_measured, args=(n_tasks, theirs))
    child.start()
    theirs.close()
    first, last = ours.recv()
    child.join()
    return float(last / first - 1)


def _measured(n_tasks: int, answer: Connection) -> None:
    process, seen = psutil.Process(), []

    def look(event: object) -> None:
        seen.append(process.memory_info().rss)

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where fsync costs nothing
    with tempfile.TemporaryDirectory(prefix="skyloom-soak-", dir=memory) as folder:
        run_plan(toy.plan(n_tasks), LocalStore(folder), in_process, listener=look)
    answer.send((seen[len(seen) // 4], seen[-1]))
