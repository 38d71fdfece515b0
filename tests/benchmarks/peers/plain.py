"""What every contestant is made of, ours and theirs: arguments, and the line that says what was done.

Imports nothing but the standard library: peers have an environment of their own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

__all__ = ["CORES", "KEYS", "arguments", "finish", "on_every_core", "partitions_of", "read_ahead"]

Item = TypeVar("Item")
Made = TypeVar("Made")

CORES = len(os.sched_getaffinity(0))
KEYS = ("_healpix_29", "object_id", "ra", "dec")
"""Columns of a catalog that everybody writes again beside what was computed, so that it is one, too."""
AHEAD = 2

_STARTED = time.perf_counter()


def arguments() -> tuple[Path, Path]:
    """Return the input and the output folder that the command line names."""
    given, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    return given, out


def finish(rows: int, ready: float, done: float | None = None) -> None:
    """Print rows, and seconds from the first import to the first work and to the end (`done`; default: now)."""
    end = time.perf_counter() if done is None else done
    sys.stdout.write(f"\nDONE {rows} {ready - _STARTED:.3f} {end - _STARTED:.3f}\n")


def partitions_of(catalog: Path) -> list[Path]:
    """Return the files of a HATS catalog, in order."""
    return sorted((catalog / "dataset").rglob("Npix=*.parquet"))


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Made], pool: ThreadPoolExecutor | None
) -> Iterator[tuple[Item, Made]]:
    """Yield items in order with what `read` makes of them, ahead in the pool where there is one."""
    waiting: list[tuple[Item, Future[Made]]] = []
    for item in items:
        if pool is None:
            yield item, read(item)
            continue
        waiting.append((item, pool.submit(read, item)))
        if len(waiting) > AHEAD:
            first, future = waiting.pop(0)
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def on_every_core(work: Callable[[int], object]) -> None:
    """Call `work` with 0 to the number of cores less one, each in a process of its own, and wait for all."""
    children = []
    for core in range(1, CORES):
        pid = os.fork()
        if pid == 0:
            work(core)
            os._exit(0)
        children.append(pid)
    work(0)
    for pid in children:
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError("a child failed")
