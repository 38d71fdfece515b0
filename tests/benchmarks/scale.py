"""What partitions cost where there is next to nothing to compute: ``make bench-scale``.

``python -m tests.benchmarks.scale [--most 100000] [--dask 10000] [--rounds 3]``

``growth``
    Plan, dispatch and commit, seal and resume of 10^3, 10^4, … partitions of ten rows in one process: CPU
    milliseconds per partition, bytes that the job says of each in its own files, and the most memory; then what
    memory grows by per partition.
``dask``
    The same on a cluster of two workers that has started: CPU of driver and scheduler, which are one process, and
    of the workers; memory of the former.
``writers``
    A small network over tiny partitions of a catalog, by a durable job and by LSDB's `map_partitions`
    and `write_catalog`: CPU of all processes, start-up left out by taking the difference of two sizes.
``plan``
    `skyloom run --plan` over a catalog of many partitions, as a user starts it.
``start-up``
    `skyloom run` on a catalog of one partition beside a bare LocalCluster; the command line alone.

Each measurement is a process of its own, so that memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.partition import partition_key
from skyloom.storage import LocalStore
from tests.benchmarks.interleaved import clocked, say
from tests.benchmarks.peers.meter import Used, metered
from tests.benchmarks.peers.our_job import TILE
from tests.benchmarks.peers.race import ENVIRONMENT
from tests.benchmarks.peers.table.data import columns
from tests.benchmarks.recovery import again, in_process, plan_of
from tests.benchmarks.simulated_catalog import make
from tests.tiny_catalogs import write_face

__all__ = ["growth_of", "main", "many_partitions"]

ROOT = Path(__file__).resolve().parents[2]
KIB = 1024
TINY = (200, 1200)
"""Partitions of the two sizes whose difference is taken."""
TINY_TILE = "64"
"""Rows of our network's tile for them; theirs computes the ten rows that there are."""
CLUSTER = """
import os
from distributed import Client, LocalCluster
with LocalCluster(n_workers={cores}, threads_per_worker=1, dashboard_address=None) as c, Client(c) as client:
    client.submit(abs, -1).result()
"""
PLAN_ORDER = 7
WARM = 50
"""Partitions that workers do before anything is measured."""
OWN_FILES = ("job.json", "manifest.parquet")
"""Files of a job that have a line for each partition."""


def main() -> None:
    """Measure all of it, or, as a process of its own, one growth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=100_000, help="partitions of the largest run in one process")
    parser.add_argument("--dask", type=int, default=10_000, help="partitions of the largest run on workers")
    parser.add_argument("--planned", type=int, default=100_000, help="partitions of the catalog that is planned")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="growth,dask,writers,plan,start-up")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(growth_of(options.one, workers=options.workers)) + "\n")
        return
    asked = options.only.split(",")
    if "growth" in asked:
        _growth(options.most, workers=0)
    if "dask" in asked:
        _growth(options.dask, workers=2)
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as folder:
        if "writers" in asked:
            _writers(Path(folder), options.rounds)
        if "plan" in asked:
            _plan(Path(folder), options.planned, options.rounds)
        if "start-up" in asked:
            _start_up(Path(folder), options.rounds)


def growth_of(partitions: int, *, workers: int = 0) -> dict[str, float]:
    """Run and resume a plan of tiny partitions in this process; return what they took.

    Parameters
    ----------
    partitions : int
    workers : int
        Of a local cluster; 0: none, the work is done here.
    """
    from skyloom.cluster import ClusterSpec
    from skyloom.cluster.start import start
    from skyloom.engine import Journal, run_plan, seal
    from skyloom.engine.on_dask import DaskExecutor

    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as folder:
        store, taken = LocalStore(folder), {}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        plans = []
        taken["plan"] = clocked(lambda: plans.append(plan_of(partitions)))
        theirs_s = 0.0
        if workers:
            with start(ClusterSpec(workers=workers, dashboard="")) as cluster:
                executor = DaskExecutor(cluster.client)
                run_plan(plan_of(WARM), LocalStore(f"{folder}/warm"), lambda: nullcontext(executor))
                theirs_s = -_children_s()
                taken["run"] = clocked(lambda: run_plan(plans[0], store, lambda: nullcontext(executor)))
                theirs_s += _children_s()
        else:
            taken["run"] = clocked(lambda: run_plan(plans[0], store, in_process))
        journal = Journal(store, plans[0].layer, plans[0].job_id)
        records = tuple(journal.records(plans[0].tasks))
        taken["seal"] = clocked(lambda: seal(journal, plans[0], records, face={}, provenance={}))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        taken["resume"] = clocked(lambda: again(plans[0], store))
        sizes = {name: store.size(journal.name(name)) / partitions for name in OWN_FILES}
        log = sum(file.stat().st_size for file in store.path(journal.name("log")).iterdir()) / partitions
    spent = {f"{name}_ms": 1e3 * one.cpu_s / partitions for name, one in taken.items()}
    return {
        "partitions": partitions,
        **spent,
        "workers_ms": 1e3 * theirs_s / partitions,
        "wall_s": taken["run"].wall_s,
        "peak_kib": most,
        "base_kib": before,
        "own_bytes": sum(sizes.values()),
        "log_bytes": log,
        "record_bytes": len(records[0].to_json()),
    }


def _children_s() -> float:
    """Return the CPU seconds of the processes below this one."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def _growth(most: int, *, workers: int) -> None:
    where = f"{workers} workers" if workers else "one process"
    sys.stdout.write(f"partitions of ten rows, {where}: CPU ms per partition; most memory\n")

    def theirs(one: Mapping[str, float]) -> str:
        return f" and in workers {one['workers_ms']:.2f}" if workers else ""

    found = []
    size = 1000
    while size <= most:
        words = [sys.executable, "-m", "tests.benchmarks.scale", "--one", str(size), "--workers", str(workers)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
        one = json.loads(done.stdout.splitlines()[-1])
        found.append(one)
        sys.stdout.write(
            f"  {size:>9,}  plan {one['plan_ms']:.3f}  run {one['run_ms']:.2f}{theirs(one)}  "
            f"seal {one['seal_ms']:.3f}  resume {one['resume_ms']:.3f}  "
            f"{one['peak_kib'] / KIB:,.0f} MiB, {one['wall_s']:.0f} s\n"
        )
        sys.stdout.flush()
        size *= 10
    if len(found) > 1:
        first, last = found[0], found[-1]
        grown = (last["peak_kib"] - first["peak_kib"]) / (last["partitions"] - first["partitions"])
        sys.stdout.write(f"  memory of this process grows by {grown:.2f} KiB per partition\n")
        sys.stdout.write(
            f"  bytes per partition: record {last['record_bytes']:.0f}, job.json and manifest.parquet "
            f"{last['own_bytes']:.0f}, log {last['log_bytes']:.0f}\n"
        )


def _run(words: Sequence[str], more: Mapping[str, str] | None = None) -> Used:
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    environment = {**os.environ, **ENVIRONMENT, **(more or {}), "PYTHONPATH": path}
    return metered([sys.executable, *words], environment, timeout_s=3600.0)


def _writers(folder: Path, rounds: int) -> None:
    catalogs = {n: make(folder / f"tiny-{n}", columns, rows=10 * n, partition_rows=10) for n in TINY}
    each: dict[str, list[float]] = {"by_skyloom": [], "by_lsdb": []}
    few, many = TINY
    for number in range(rounds):
        for name in list(each)[:: 1 if number % 2 else -1]:
            module = f"tests.benchmarks.peers.table.{name}"
            spent = {
                n: _run(["-m", module, str(path), str(folder / f"{name}-{number}-{n}")], {TILE: TINY_TILE})
                for n, path in catalogs.items()
            }
            each[name].append(1e3 * (spent[many].cpu_s - spent[few].cpu_s) / (many - few))
    sys.stdout.write(
        f"a network (tile of {TINY_TILE} rows) over partitions of ten rows, {many} less {few} of them, "
        "two processes and a driver\n"
    )
    say("skyloom, CPU per partition", each["by_skyloom"], unit=" ms")
    say("LSDB, CPU per partition", each["by_lsdb"], unit=" ms")
    say("LSDB / skyloom", [a / b for a, b in zip(each["by_lsdb"], each["by_skyloom"], strict=True)], digits=1)


def many_partitions(folder: Path, partitions: int) -> Path:
    """Write a catalog of partitions that are all the same file under other names; return its root."""
    made = make(folder / "one", columns, rows=10, partition_rows=10)
    file = next(made.rglob("Npix=*.parquet"))
    data, schema = file.read_bytes(), pq.read_schema(file)
    root = folder / "many"
    pixels = [(PLAN_ORDER, number) for number in range(partitions)]
    for order, number in pixels:
        path = root / "dataset" / f"{partition_key(order, number)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    write_face(root, pa.schema(schema), pixels, rows=10 * partitions, most=10)
    return root


def _job(folder: Path, catalog: Path) -> Path:
    path = folder / f"{catalog.name}.toml"
    path.write_text(
        f"""job = "scale"
model = "colors"
layer = "colors"
[input]
catalog = "{catalog}"
[input.units]
x0 = "mag"
x1 = "mag"
[model_config]
magnitudes = ["x0", "x1"]
[output]
store = "{folder / "layers"}"
"""
    )
    return path


def _plan(folder: Path, partitions: int, rounds: int) -> None:
    job = _job(folder, many_partitions(folder, partitions))
    taken = [_run(["-m", "skyloom", "run", str(job), "--plan"]) for _ in range(rounds)]
    sys.stdout.write(f"skyloom run --plan, {partitions:,} partitions\n")
    say("wall", [one.wall_s for one in taken], unit=" s", digits=1)
    say("CPU", [one.cpu_s for one in taken], unit=" s", digits=1)
    say("most memory", [one.peak_bytes / 1e6 for one in taken], unit=" MB", digits=0)


def _start_up(folder: Path, rounds: int) -> None:
    from tests.benchmarks.peers.plain import CORES

    job = _job(folder, make(folder / "single", columns, rows=10, partition_rows=10))
    commands = {
        "skyloom run, one partition": ["-m", "skyloom", "run", str(job), "--store"],
        "a bare LocalCluster": ["-c", CLUSTER.format(cores=CORES)],
        "skyloom --help": ["-m", "skyloom", "--help"],
        "import skyloom": ["-c", "import skyloom"],
    }
    taken: dict[str, list[Used]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, words in commands.items():
            store = [str(folder / f"layers-{number}")] if words[-1] == "--store" else []
            taken[name].append(_run([*words, *store]))
    sys.stdout.write("start-up\n")
    for name, runs in taken.items():
        say(f"{name}, wall", [one.wall_s for one in runs], unit=" s", digits=2)
        say(f"{name}, CPU", [one.cpu_s for one in runs], unit=" s", digits=2)
    run, bare = (taken[name] for name in list(commands)[:2])
    say(
        "skyloom run / LocalCluster, wall", [a.wall_s / b.wall_s for a, b in zip(run, bare, strict=True)], digits=2
    )


if __name__ == "__main__":
    main()
