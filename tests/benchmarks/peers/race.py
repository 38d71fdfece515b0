"""One job done by several contestants that take turns, each in processes of its own, start-up included."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.meter import Used, metered

__all__ = ["HAND", "MEMORY", "OURS", "Contestant", "Job", "Result", "files_of", "run", "table_of"]

MEMORY, HAND, OURS = "fed from memory", "hand-written, with threads", "skyloom"
"""Names of contestants that others are held against: they are in every job."""
TIMEOUT_S = 3600.0
LARGE = str(4 << 30)
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    # Everybody gets the allocator that suits networks; what a contestant sets itself wins.
    "MALLOC_TRIM_THRESHOLD_": LARGE,
    "MALLOC_MMAP_THRESHOLD_": LARGE,
}
"""Of every contestant; one that computes in a single process has a thread per core."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A module that does the job: ``python -m <module> INPUT OUTPUT <words>``."""

    module: str
    words: tuple[str, ...] = ()
    peer: bool = False
    """Whether it runs in the environment of others."""
    threads: int = 1
    """Of its libraries."""
    compared: bool = True
    """Whether it writes rows."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done, and who does it."""

    title: str
    unit: str
    """What a row is, in the plural."""
    rows: Mapping[str, int]
    """By size: ``"small"`` is about a minute of the hand-written loop on two cores, ``"large"`` ten."""
    make: Callable[[Path, int], Path]
    """Write the input of some rows below a folder; return what contestants are given."""
    compare: Callable[[Path, Path], None]
    """Hold what a contestant wrote (folder, input) against what is right; raises AssertionError."""
    contestants: Mapping[str, Contestant]


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one contestant."""

    rows: int
    used: Used
    ready_s: float
    """From its first import to its first work."""
    done_s: float
    """From its first import to its end."""

    @property
    def per_cpu_s(self) -> float:
        """Rows per CPU-second of all processes, start-up included."""
        return self.rows / self.used.cpu_s

    @property
    def per_s(self) -> float:
        """Rows per second, start-up included."""
        return self.rows / self.used.wall_s


def run(
    job: Job, rows: int, *, rounds: int, peers: str | None, only: Sequence[str] = (), keep: Path | None = None
) -> dict[str, list[Result]]:
    """Let every contestant do the job once a round, each round in the reverse order of the last.

    Parameters
    ----------
    job : Job
    rows : int
    rounds : int
    peers : str, optional
        Python of the environment of others; without it they are left out.
    only : sequence of str
        Names of contestants; default all.
    keep : Path, optional
        Folder in which the input is made, and kept for the next time.

    Raises
    ------
    AssertionError
        If rows that somebody wrote are not those of the others.
    RuntimeError
        If a contestant fails.
    """
    named = {n: c for n, c in job.contestants.items() if (not only or n in only) and (peers or not c.peer)}
    taken: dict[str, list[Result]] = {name: [] for name in named}
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as scratch:
        given = job.make(keep or Path(scratch), rows)
        for number in range(rounds):
            for name in list(named)[:: 1 if number % 2 else -1]:
                out = Path(scratch, "out")
                taken[name].append(_once(name, named[name], given, out, peers))
                if number == 0 and named[name].compared:
                    job.compare(out, given)
                shutil.rmtree(out)
    return taken


def _once(name: str, who: Contestant, given: Path, out: Path, peers: str | None) -> Result:
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root / "platform"), str(root)])
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
    if who.threads > 1:
        environment |= {"OMP_NUM_THREADS": str(who.threads), "OPENBLAS_NUM_THREADS": str(who.threads)}
    python = str(peers) if who.peer else sys.executable
    os.sync()
    used = metered([python, "-m", who.module, str(given), str(out), *who.words], environment, timeout_s=TIMEOUT_S)
    line = next(line for line in used.output.splitlines() if line.startswith("DONE "))
    _, rows, ready, done = line.split()
    sys.stdout.write(
        f"  {name}: {used.wall_s:.1f} s, {used.cpu_s:.1f} CPU-s, {int(rows) / used.wall_s:,.0f} rows/s\n"
    )
    sys.stdout.flush()
    return Result(int(rows), used, float(ready), float(done))


def files_of(out: Path) -> list[str]:
    """Return the Parquet files with the rows that a contestant wrote: those of the catalog, if it wrote one."""
    found = sorted(path for path in out.rglob("*.parquet") if "versions" not in path.parts)
    return [str(path) for path in ([p for p in found if p.name.startswith("Npix=")] or found)]


def table_of(taken: Mapping[str, Sequence[Result]]) -> list[tuple[str, ...]]:
    """Return what everybody took, medians with least and most; ratios are within rounds."""
    header = ("", "rows/s", "rows/CPU-s", "of the hand-written loop, per s", "per CPU-s", "start-up, s", "peak MB")
    lines: list[tuple[str, ...]] = [header]
    hand = taken.get(HAND, ())
    for name, runs in taken.items():
        lines.append(
            (
                name,
                _spread([r.per_s for r in runs], 0),
                _spread([r.per_cpu_s for r in runs], 0),
                _spread([a.per_s / b.per_s for a, b in zip(runs, hand, strict=False)], 2),
                _spread([a.per_cpu_s / b.per_cpu_s for a, b in zip(runs, hand, strict=False)], 2),
                f"{statistics.median(r.used.wall_s - (r.done_s - r.ready_s) for r in runs):.1f}",
                f"{max(r.used.peak_bytes for r in runs) / 1e6:,.0f}",
            )
        )
    return lines


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    middle, least, most = (f"{f(values):,.{digits}f}" for f in (statistics.median, min, max))
    return f"{middle} ({least} to {most})"
