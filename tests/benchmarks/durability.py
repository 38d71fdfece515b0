"""What the commit protocol costs: the tabular job with it, and the same run writing plain files.

``python -m tests.benchmarks.durability [--rounds 5] [--partitions 40] [--rows 250000] [--dask]``

Ten float32 columns of seeded Parquet partitions go through a small network in torch (one
thread) and give four float32 columns. All contestants have the same processor, dispatch,
executor, threads that read ahead and write behind, and Parquet options, and write the same rows.

``durable``
    `run_plan`, `seal` and `publish`: as a job runs.
``checked``
    The same bytes in the same files, so also the check that no row is lost, moved or retyped
    and the digests in the footer; but no fsync, link, digest of the file, record, log, seal.
``plain``
    ``pq.write_table`` to a path, and nothing else.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.engine import (
    Computed,
    InProcessExecutor,
    Journal,
    Outcome,
    Piece,
    Plan,
    Task,
    dispatch,
    partition_file,
    publish,
    rows_digest,
    run_plan,
    seal,
)
from skyloom.engine.dispatch import Executor
from skyloom.engine.overlap import Steps, overlapped
from skyloom.engine.processor import begin
from skyloom.engine.worker import _footer, check_computed, load
from skyloom.storage import LocalStore
from tests.benchmarks.interleaved import ratios, say, take_turns

__all__ = ["CONTESTANTS", "Tabular", "in_process", "make_catalog", "on_two_workers", "plan_of"]

READ = [f"x{i}" for i in range(10)]
WRITTEN = [f"y{i}" for i in range(4)]
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        *(pa.field(name, pa.float32()) for name in WRITTEN),
        pa.field("tabular_flag", pa.uint32()),
    ]
)
WIDTH = 64
BATCH_ROWS = 8192
WORKERS = 2

ExecutorSource = Callable[[], AbstractContextManager[Executor]]


def make_catalog(folder: Path, *, partitions: int, rows: int) -> None:
    """Write seeded partitions, each with its own stars."""
    for number in range(partitions):
        rng = np.random.default_rng(number)
        columns = {"id": np.sort(rng.integers(0, 12 << 58, rows))}
        columns |= {name: rng.normal(size=rows).astype("f4") for name in READ}
        path = folder / f"{_key(number)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, use_dictionary=False, compression="zstd")


def _key(number: int) -> str:
    return f"Norder=5/Dir=0/Npix={number}"


def plan_of(catalog: Path, *, partitions: int, rows: int) -> Plan:
    """Return the plan of the tabular job."""
    tasks = []
    for number in range(partitions):
        file = f"{_key(number)}.parquet"
        size = (catalog / file).stat().st_size
        tasks.append(Task(_key(number), rows, size, f"sha256:{number:064d}", (file,)))
    return Plan(
        layer="tabular",
        identity={"model": "mlp", "partitions": partitions, "rows": rows},
        schema=SCHEMA,
        row_keys=("id",),
        tasks=tuple(tasks),
        entry="tests.benchmarks.durability:Tabular",
        settings={"catalog": str(catalog)},
    )


class Tabular:
    """Ten columns to four, through a network of seeded weights."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.catalog = Path(settings["catalog"])
        sizes = [len(READ), WIDTH, WIDTH, len(WRITTEN)]
        layers = [m for a, b in pairwise(sizes) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        self.network = torch.nn.Sequential(*layers[:-1]).eval()

    def split(self, task: Task) -> TabularRows:
        """Read one partition, and digest its row keys."""
        table = self.read(task)
        return TabularRows(self, table, rows_digest(table, ["id"]))

    def read(self, task: Task) -> pa.Table:
        """Read the rows of one partition."""
        return pq.read_table(self.catalog / task.inputs[0], partitioning=None)

    def compute(self, table: pa.Table) -> pa.Table:
        """Return the layer's rows."""
        import torch

        found = np.column_stack([table.column(name).to_numpy() for name in READ])
        out = np.empty((len(WRITTEN), len(found)), np.float32)
        with torch.inference_mode():
            for start in range(0, len(found), BATCH_ROWS):
                batch = self.network(torch.from_numpy(found[start : start + BATCH_ROWS]))
                out[:, start : start + BATCH_ROWS] = batch.numpy().T
        flags = np.zeros(len(found), np.uint32)
        return pa.table([table.column("id"), *map(pa.array, out), pa.array(flags)], schema=SCHEMA)


class TabularRows:
    """The rows of one partition."""

    flag_column = "tabular_flag"

    def __init__(self, tabular: Tabular, table: pa.Table, row_keys: str) -> None:
        self.tabular, self.table, self.row_keys = tabular, table, row_keys

    def compute(self, start: int, stop: int) -> Piece:
        """Compute rows `start` to `stop`."""
        return Piece(self.tabular.compute(self.table.slice(start, stop - start)))


def run_durable(plan: Plan, out: Path, executor: ExecutorSource) -> None:
    """Run the job as it is run, to its published version."""
    store = LocalStore(out)
    summary = run_plan(plan, store, executor)
    journal = Journal(store, plan.layer, plan.job_id)
    manifest = seal(journal, plan, summary.records, face={}, provenance={"model": "mlp"})
    publish(journal, manifest, agreed=0)


def run_plain(plan: Plan, out: Path, executor: ExecutorSource) -> None:
    """Run the same tasks, each by ``pq.write_table``."""
    _run_groups(plan, out, executor, plain_group, plain_group_on_dask)


def run_checked(plan: Plan, out: Path, executor: ExecutorSource) -> None:
    """Run the same tasks, to the same bytes, without what makes them durable."""
    _run_groups(plan, out, executor, checked_group, checked_group_on_dask)


def _run_groups(
    plan: Plan, out: Path, executor: ExecutorSource, group: Callable[..., Any], on_dask: Callable[..., Any]
) -> None:
    """Run a plan through the engine's dispatch and executor, with other work per group."""
    for folder in {(out / task.key).parent for task in plan.tasks}:
        folder.mkdir(parents=True, exist_ok=True)
    with (
        patch("skyloom.engine.executors.run_group", group),
        patch("skyloom.engine.on_dask._run_group", on_dask),
        executor() as workers,
    ):
        for outcome in dispatch(plan.work(str(out)), plan.tasks, workers):
            if outcome.status == "failed":
                raise RuntimeError(outcome.message)


def plain_group(work_id: str, tasks: Sequence[Task], *, guarded: bool = False) -> list[Outcome]:
    """Do some tasks as a run without a protocol does."""
    del guarded
    processor: Any
    work, processor = load(work_id)

    def prepare(task: Task) -> Callable[[], Computed]:
        table = processor.read(task)
        return lambda: Computed(processor.compute(table), row_keys="")

    def write(task: Task, computed: Computed) -> Outcome:
        table = computed.table
        pq.write_table(table, f"{work.store}/{task.key}.parquet", **partition_file.options(table.schema))
        return Outcome(task.key, task.rows, "computed")

    return list(overlapped(tasks, Steps(prepare, write, work.limits.memory_bytes)))


def checked_group(work_id: str, tasks: Sequence[Task], *, guarded: bool = False) -> list[Outcome]:
    """Do some tasks as the engine does, up to the bytes."""
    del guarded
    work, processor = load(work_id)

    def write(task: Task, computed: Computed) -> Outcome:
        footer = _footer(work, task, computed, columns=check_computed(work, task, computed))
        metadata = {f"{partition_file.FOOTER_PREFIX}{key}": value for key, value in footer.items()}
        table = computed.table.replace_schema_metadata(metadata)
        pq.write_table(table, f"{work.store}/{task.key}.parquet", **partition_file.options(table.schema))
        return Outcome(task.key, task.rows, "computed")

    return list(overlapped(tasks, Steps(partial(begin, processor), write, work.limits.memory_bytes)))


def plain_group_on_dask(work_id: str, tasks: Sequence[Task], guarded: bool, key: str) -> list[Outcome]:
    """Do the same on a worker of a cluster."""
    del key
    return plain_group(work_id, tasks, guarded=guarded)


def checked_group_on_dask(work_id: str, tasks: Sequence[Task], guarded: bool, key: str) -> list[Outcome]:
    """Do the same on a worker of a cluster."""
    del key
    return checked_group(work_id, tasks, guarded=guarded)


@contextmanager
def in_process() -> Iterator[Executor]:
    """Yield an executor in this process."""
    yield InProcessExecutor()


@contextmanager
def on_two_workers() -> Iterator[ExecutorSource]:
    """Start two workers of one thread, and yield where executors on them come from."""
    from skyloom.cluster import ClusterSpec, start
    from skyloom.engine.on_dask import DaskExecutor

    with start(ClusterSpec(workers=WORKERS, dashboard="")) as running:

        @contextmanager
        def executor() -> Iterator[Executor]:
            yield DaskExecutor(running.client)

        yield executor


CONTESTANTS = {"durable": run_durable, "checked": run_checked, "plain": run_plain}


def contest(plan: Plan, scratch: Path, executor: ExecutorSource, rounds: int, label: str) -> None:
    """Print what each took, and the ratios."""

    def once(name: str) -> Callable[[int], None]:
        return lambda number: CONTESTANTS[name](plan, scratch / f"{name}-{number}", executor)

    taken = take_turns({name: once(name) for name in CONTESTANTS}, rounds)
    shutil.rmtree(scratch)
    sys.stdout.write(f"{label}: {len(plan.tasks)} partitions, {plan.rows:,} rows, {rounds} rounds\n")
    for name, times in taken.items():
        say(f"{name}, rows per CPU-second", [plan.rows / t.cpu_s for t in times], digits=0)
        say(f"{name}, rows per second", [plan.rows / t.wall_s for t in times], digits=0)
    for above, below in (("durable", "plain"), ("durable", "checked")):
        for what in ("cpu", "wall"):
            say(f"{above} / {below}, {what}", ratios(taken[above], taken[below], f"{what}_s"))


def main() -> None:
    """Print the ratios, in this process and on two workers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=40)
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--only", choices=["in-process", "dask"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as folder:
        catalog, scratch = Path(folder, "catalog"), Path(folder, "out")
        sizes = {"partitions": options.partitions, "rows": options.rows}
        make_catalog(catalog, **sizes)
        plan = plan_of(catalog, **sizes)
        if options.only != "dask":
            contest(plan, scratch, in_process, options.rounds, "in process")
        if options.only != "in-process":
            with on_two_workers() as executor:
                contest(plan, scratch, executor, options.rounds, f"on {WORKERS} Dask workers")


if __name__ == "__main__":
    main()
