"""How well `skyloom run --plan --calibrate` foretells a run: ``make bench-plan``.

``python -m tests.benchmarks.predicted [--jobs table,curves,images] [--size small] [--partitions 3] [--keep DIR]``

Jobs of `tests.benchmarks.peers`: each is priced by a few of its partitions for one worker per core, then run, and
both are printed side by side. The catalogs are simulated; what they cost is not. With ``--for-rows`` nothing is
run: what ``skyloom run --plan --calibrate`` prints for a catalog of so many rows like these is printed instead.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyloom.cli.costs import Scale, show_cost
from skyloom.jobs.calibrate import cost_of
from skyloom.jobs.cost import Cost
from skyloom.jobs.plan import JobPlan
from tests.benchmarks.peers.meter import Used, metered
from tests.benchmarks.peers.our_job import planned_job
from tests.benchmarks.peers.plain import CORES
from tests.benchmarks.peers.race import ENVIRONMENT, TIMEOUT_S

__all__ = ["JOBS", "compared", "main"]

ROOT = Path(__file__).resolve().parents[2]


def _table(place: Path) -> dict[str, Any]:
    return {"catalog": str(place)}


def _images(place: Path) -> dict[str, Any]:
    return {"catalog": str(place.parent / "catalog"), "tensors": {"cutout": str(place)}}


@dataclass(frozen=True, slots=True)
class _Asked:
    batch_rows: int
    given: Callable[[Path], Mapping[str, Any]]


JOBS = {"table": _Asked(65_536, _table), "curves": _Asked(8192, _table), "images": _Asked(256, _images)}


def main() -> None:
    """Price and run each job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--size", default="small", choices=["small", "large"])
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--rows", type=int, help="instead of the size's own")
    parser.add_argument("--keep", type=Path, help="folder in which inputs are made, and kept")
    parser.add_argument("--for-rows", type=int)
    parser.add_argument("--partition-rows", type=int)
    parser.add_argument("--for-workers", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--model-rows-per-s", type=float, help="of one worker: of a GPU")
    parser.add_argument("--store-bytes-per-s", type=float)
    options = parser.parse_args()
    for name in options.jobs.split(","):
        job = importlib.import_module(f"tests.benchmarks.peers.{name}.contest").JOB
        with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as scratch:
            rows = options.rows or job.rows[options.size]
            place = job.make(options.keep / f"{name}-{rows}" if options.keep else Path(scratch), rows)
            out = Path(scratch) / "out"
            if options.for_rows:
                cost = cost_of(_planned(name, place, out), partitions=options.partitions)
                show_cost(_scale(options).applied(cost), options.for_workers)
                continue
            cost, used, written = compared(name, place, out, partitions=options.partitions)
        _say(f"{job.title}, {cost.rows:,} rows in {cost.partitions} partitions", cost, used, written)


def _scale(options: argparse.Namespace) -> Scale:
    return Scale(
        for_rows=options.for_rows,
        partition_rows=options.partition_rows,
        model_rows_per_s=options.model_rows_per_s,
        store_bytes_per_s=options.store_bytes_per_s,
    )


def _planned(name: str, place: Path, out: Path) -> JobPlan:
    asked = JOBS[name]
    return planned_job(f"bench-{name}", out, asked.given(place), batch_rows=asked.batch_rows)


def compared(name: str, place: Path, out: Path, *, partitions: int) -> tuple[Cost, Used, int]:
    """Return what a job was said to cost, what it took, and the bytes of its data files and records.

    Parameters
    ----------
    name : str
        One of `JOBS`.
    place : path
        Its input.
    out : path
        Where its layer goes.
    partitions : int
        That price it.
    """
    planned = _planned(name, place, out)
    cost = cost_of(planned, partitions=partitions)
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    words = [sys.executable, "-m", f"tests.benchmarks.peers.{name}.by_skyloom", str(place), str(out)]
    used = metered(words, {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}, timeout_s=TIMEOUT_S)
    journal = out / f"bench-{name}" / "jobs" / planned.job_id
    files = [file for kind in ("dataset", "records") for file in (journal / kind).rglob("*=*.*")]
    return cost, used, sum(file.stat().st_size for file in files)


def _say(title: str, cost: Cost, used: Used, written: int) -> None:
    said = cost.on(CORES)
    low, high = (value if value is not None else said.wall_s for value in (said.low_s, said.high_s))
    lines = (
        ("seconds by the clock", said.wall_s, used.wall_s, f"{low:,.1f} to {high:,.1f}"),
        ("CPU-seconds", 3600 * said.cpu_hours, used.cpu_s, ""),
        ("MB written", cost.written_bytes / 1e6, written / 1e6, ""),
        ("MB of the largest process", cost.worker_bytes / 1e6, used.largest_bytes / 1e6, ""),
    )
    sys.stdout.write(f"{title}; {CORES} workers, bound by {said.bound_by}\n")
    sys.stdout.write(f"  {'':<26} {'predicted':>10} {'measured':>10} {'ratio':>6}  range\n")
    for what, predicted, measured, between in lines:
        sys.stdout.write(
            f"  {what:<26} {predicted:>10,.1f} {measured:>10,.1f} {predicted / measured:>6.2f}  {between}\n"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
