"""The page of benchmarks: a section per job, replaced by the run that made it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.peers.race import Job

__all__ = ["write_section"]

OURS = ("torch", "numpy", "pyarrow", "zarr", "dask", "lsdb", "light-curve")
THEIRS = ("torch", "ray", "daft", "hyrax", "pyarrow", "light-curve")
HEAD = """# Benchmarks

Sections of this page are written by `make bench-peers` and `make bench-images`: nobody edits them by hand.
Each contestant is a process of its own that does the whole job, start-up included, and takes turns with the
others; a figure is the median of the rounds, with least and most. Ratios are taken within a round.
"""


def write_section(
    page: Path, name: str, job: Job, rows: int, rounds: int, lines: Sequence[tuple[str, ...]], *, peers: str | None
) -> None:
    """Put the table of a job into the page, in place of the one that was there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text() if page.exists() else HEAD
    said = [begin, f"## {job.title}", "", _how(job, rows, rounds, peers), "", *_markdown(lines), "", end]
    section = "\n".join(said)
    before, found, rest = text.partition(begin)
    text = before + section + rest.partition(end)[2] if found else f"{text.rstrip()}\n\n{section}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)


def _markdown(lines: Sequence[tuple[str, ...]]) -> list[str]:
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return [rows[0], "|" + " --- |" * len(lines[0]), *rows[1:]]


def _how(job: Job, rows: int, rounds: int, peers: str | None) -> str:
    cores, memory = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in OURS)
    text = (
        f"{rows:,} {job.unit}, {rounds} {'round' if rounds == 1 else 'rounds'}; "
        f"{cores} cores ({_processor()}), {memory:.0f} GiB; "
        f"Python {platform.python_version()}, {versions}."
    )
    return f"{text} Peers: {_versions(peers)}." if peers else f"{text} Ray Data, Daft and Hyrax took no part."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def _versions(python: str) -> str:
    code = f"import importlib.metadata as m\nprint(', '.join(f'{{n}} {{m.version(n)}}' for n in {THEIRS!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
