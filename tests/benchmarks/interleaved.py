"""Contestants that take turns, and the ratios within each round: all that a busy machine lets one claim."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import psutil

__all__ = ["Taken", "clocked", "ratios", "say", "take_turns"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took."""

    wall_s: float
    cpu_s: float
    """Of this process, all below it that are alive at the end and its children that ended meanwhile."""


def clocked(work: Callable[[], object]) -> Taken:
    """Return what `work` takes, after the disk has written what others left it."""
    os.sync()
    before, started = _cpu_s(), time.perf_counter()
    work()
    wall_s = time.perf_counter() - started
    after = _cpu_s()
    return Taken(wall_s, sum(after.values()) - sum(before.get(pid, 0.0) for pid in after))


def _cpu_s() -> dict[int, float]:
    this = psutil.Process()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the others the kernel tells hundredths; no process has the number 0.
    seconds = {this.pid: time.process_time(), 0: ended.ru_utime + ended.ru_stime}
    for process in this.children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds[process.pid] = times.user + times.system
    return seconds


def take_turns(
    contestants: Mapping[str, Callable[[int], object]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[Taken]]:
    """Run every contestant once a round, each round in the reverse order of the last.

    Parameters
    ----------
    contestants : mapping of name to callable
        Called with the number of the round.
    rounds : int
        Rounds that count.
    warm_up : bool
        Whether one round before them warms caches and imports.
    """
    taken: dict[str, list[Taken]] = {name: [] for name in contestants}
    for number in range(0 if warm_up else 1, rounds + 1):
        names = list(contestants)[:: 1 if number % 2 else -1]
        for name in names:
            one = clocked(partial(contestants[name], number))
            if number:
                taken[name].append(one)
    return taken


def ratios(above: Sequence[Taken], below: Sequence[Taken], what: str) -> list[float]:
    """Return the ratio of each round, of ``"wall_s"`` or ``"cpu_s"``."""
    return [getattr(a, what) / getattr(b, what) for a, b in zip(above, below, strict=True)]


def say(label: str, values: Sequence[float], *, unit: str = "", digits: int = 3) -> None:
    """Print the median of `values`, and their range."""
    middle, least, most = (f"{f(values):.{digits}f}" for f in (statistics.median, min, max))
    sys.stdout.write(f"  {label:<44} {middle}{unit} ({least} to {most})\n")
    sys.stdout.flush()
