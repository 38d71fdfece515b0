"""What the engine costs per partition where there is nothing to compute, and what a finished run costs again.

``python -m tests.benchmarks.recovery [--partitions 10000] [--commits 1000] [--profile]``

``commit``
    CPU milliseconds per partition of a run of partitions of ten rows whose processor does next
    to nothing: plan, dispatch, digests, Parquet, fsync, record, log, in this process.
``nothing to do``
    The same command again, over a finished run: the engine's check of every record; then, of a
    published job through `skyloom.jobs.run_planned`'s shortcut, the head of the layer alone.
``footers``
    CPU milliseconds per partition of planning: the footer of every file of a catalog is read.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.partition import partition_key
from skyloom.catalog.value import Catalog
from skyloom.engine import (
    Computed,
    Executor,
    InProcessExecutor,
    Journal,
    Plan,
    Task,
    history,
    publish,
    published,
    rows_digest,
    run_plan,
    seal,
)
from skyloom.storage import LocalStore
from skyloom.storage.files import Files
from tests.benchmarks.interleaved import Taken, clocked, say

__all__ = ["Nothing", "again", "finish", "head_only", "make_files", "plan_of", "scan"]

ROWS = 10
SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("y", pa.float32()), pa.field("flag", pa.uint32())])


class Nothing:
    """Ten rows, the same numbers in each."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        del settings
        columns = {"id": np.arange(ROWS), "y": np.zeros(ROWS, "f4"), "flag": np.zeros(ROWS, "u4")}
        self.table = pa.table(columns, schema=SCHEMA)

    def process(self, task: Task) -> Computed:
        """Return the ten rows."""
        del task
        return Computed(self.table, rows_digest(self.table, ["id"]), flag_column="flag")


def plan_of(partitions: int) -> Plan:
    """Return a plan of tiny partitions, in directories of 10,000 as a catalog has them."""
    tasks = tuple(Task(partition_key(8, i), ROWS, 1000, f"sha256:{i:064d}") for i in range(partitions))
    return Plan(
        layer="nothing",
        identity={"partitions": partitions},
        schema=SCHEMA,
        row_keys=("id",),
        tasks=tasks,
        entry="tests.benchmarks.recovery:Nothing",
        settings={},
    )


@contextmanager
def in_process() -> Iterator[Executor]:
    """Yield an executor in this process."""
    yield InProcessExecutor()


def finish(plan: Plan, store: LocalStore) -> None:
    """Run, seal and publish."""
    records = run_plan(plan, store, in_process).records
    journal = Journal(store, plan.layer, plan.job_id)
    publish(journal, seal(journal, plan, records, face={}, provenance={}), agreed=0)


def again(plan: Plan, store: LocalStore) -> None:
    """Run a finished plan again: every record is read, nothing is computed."""

    def never() -> Any:
        msg = "nothing should have been left to compute"
        raise AssertionError(msg)

    summary = run_plan(plan, store, never)
    assert summary.reused == len(plan.tasks)


def head_only(plan: Plan, store: LocalStore) -> None:
    """Do what a job does that finds itself published: read the chain of references and the manifest."""
    assert history(store, plan.layer)[-1].job_id == plan.job_id
    assert len(published(store, plan.layer).files) == len(plan.tasks)


def make_files(root: Path, files: int, *, columns: int = 16) -> None:
    """Write small Parquet files of many columns, as a catalog has them."""
    table = pa.table({f"c{i}": np.arange(ROWS, dtype="f4") for i in range(columns)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    for number in range(files):
        path = root / "dataset" / f"{partition_key(8, number)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sink.getvalue())


def scan(root: Path, files: int) -> int:
    """Read the footers of all files, as planning does; return their rows."""
    catalog = Catalog(
        name="bench",
        root=str(root),
        schema=pa.schema([]),
        rows=None,
        ra_column="",
        dec_column="",
        id_column=None,
        healpix_column="",
        healpix_order=29,
        pixels=tuple((8, number) for number in range(files)),
        npix_suffix=".parquet",
    )
    return sum(partition.rows for partition in catalog.partitions())


def profiled(work: Callable[[], object], lines: int = 25) -> None:
    """Print where the CPU time of `work` goes."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(work)
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(lines)


def main() -> None:
    """Print seconds of recovery, and CPU milliseconds per partition of a commit and of planning."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--commits", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as folder:
        _commits(Path(folder), options)
        _recovery(Path(folder), options)
        _footers(Path(folder), options)


def _commits(folder: Path, options: argparse.Namespace) -> None:
    plan, n = plan_of(options.commits), options.commits
    finish(plan_of(10), LocalStore(folder / "warm"))
    stores = [LocalStore(folder / f"run{number}") for number in range(options.rounds)]
    taken = [clocked(lambda store=store: run_plan(plan, store, in_process)) for store in stores]
    sys.stdout.write(f"run of {n:,} partitions of {ROWS} rows, in this process\n")
    _per_partition(taken, n)
    if options.profile:
        profiled(lambda: run_plan(plan, LocalStore(folder / "profiled"), in_process))


def _recovery(folder: Path, options: argparse.Namespace) -> None:
    plan, store = plan_of(options.partitions), LocalStore(folder / "finished")
    with patch.object(Files, "sync", lambda _, file: file.flush()), patch.object(Files, "sync_directory"):
        finish(plan, store)  # only to have it: the disk need not be waited for
    sys.stdout.write(f"finished run of {len(plan.tasks):,} partitions\n")
    for label, work in (("run again, every record read", again), ("published head and manifest", head_only)):
        taken = [clocked(lambda work=work: work(plan, store)) for _ in range(options.rounds)]
        say(f"{label}, wall", [t.wall_s for t in taken], unit=" s")
        say(f"{label}, CPU", [t.cpu_s for t in taken], unit=" s")
        if options.profile:
            profiled(lambda work=work: work(plan, store))


def _footers(folder: Path, options: argparse.Namespace) -> None:
    make_files(folder / "catalog", options.partitions)
    taken = [clocked(lambda: scan(folder / "catalog", options.partitions)) for _ in range(options.rounds)]
    sys.stdout.write(f"footers of {options.partitions:,} files of 16 columns\n")
    _per_partition(taken, options.partitions)
    if options.profile:
        profiled(lambda: scan(folder / "catalog", options.partitions))


def _per_partition(taken: list[Taken], n: int) -> None:
    say("CPU per partition", [1e3 * t.cpu_s / n for t in taken], unit=" ms")
    say("wall per partition", [1e3 * t.wall_s / n for t in taken], unit=" ms")


if __name__ == "__main__":
    main()
