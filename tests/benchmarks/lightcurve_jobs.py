"""Systems on light curves at scale: the durable job over a catalog, and the model alone on arrays in memory.

``python -m tests.benchmarks.lightcurve_jobs --system periodic-class [--rows N] [--rounds 3]``

A seeded catalog of simulated light curves is written first (`tests.benchmarks.simulated_catalog`). Both
contestants run in this process on one core and take turns; their ratio is the share of a core's
work that is the model's own.

``durable``
    The job as its file in ``jobs/`` has it: plan, read, compute, commit with checksums, seal, publish.
``bare``
    A loop over batches that lie in memory already: `inputs` and `predict` of the system, results thrown away.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from skyloom.catalog import open_catalog, read_partition
from skyloom.jobs import JobSpec, RunReport, run
from skyloom.jobs.models import LoadedModel, load_model
from skyloom.jobs.spec import parse_job
from tests.benchmarks.interleaved import say, take_turns
from tests.benchmarks.simulated_catalog import load, make

__all__ = ["CONTESTS", "Contest", "batches_of", "job_of", "run_bare", "run_durable"]

JOBS = Path(__file__).resolve().parents[2] / "jobs"


@dataclass(frozen=True, slots=True)
class Contest:
    """A system, and what it is run over."""

    job: str
    """File in ``jobs/``: its model, weights, settings and batches are used, its catalog is not."""
    simulator: str = "skyloom.simulators.variables:variables"
    """As `tests.benchmarks.simulated_catalog.load` takes it."""
    unit: str = "mag"
    """Of the brightness, where the simulator does not say it."""
    settings: Mapping[str, int] = field(default_factory=dict)
    """Further ones of the simulator."""
    rows: int = 100_000
    """Unless it is said."""


CONTESTS = {
    "lightcurve-features": Contest("lightcurve-features-eros1.toml"),
    "periodic-class": Contest("periodic-class.toml"),
    "flares": Contest("flares.toml", "tests.benchmarks.flaring_stars:flaring_stars", "", {"days": 2}),
    "vraenn": Contest("vraenn.toml", "tests.benchmarks.simulated_catalog:transients_with_hosts", "nJy", rows=6000),
}
"""Systems by the names that ``--system`` takes."""


def job_of(contest: Contest, catalog: Path, store: Path) -> JobSpec:
    """Return the job of a contest, over another catalog and into another store."""
    values = tomllib.loads((JOBS / contest.job).read_text(encoding="utf-8"))
    values |= {"input": {"catalog": str(catalog)}, "output": {"store": str(store)}}
    return parse_job(values, where=contest.job)


def run_durable(contest: Contest, catalog: Path, store: Path) -> RunReport:
    """Run the job to its published layer."""
    return run(job_of(contest, catalog, store), cluster="in-process", progress=False)


def batches_of(job: JobSpec, catalog: Path, *, rows: int) -> list[pa.RecordBatch]:
    """Return the batches of some partitions, evenly over the catalog, that have about `rows` rows together."""
    opened = open_catalog(catalog)
    partitions = opened.partitions()
    every = max(1, sum(part.rows for part in partitions) // rows)
    model = load_model(job.model, job.weights, job.model_settings)
    columns = sorted({column.parent for column in model.reads})
    batches = []
    for part in partitions[::every]:
        batch = read_partition(opened.root, part, columns, labels_as_codes=True).combine_chunks().to_batches()[0]
        batches += [
            batch.slice(start, job.run.batch_rows) for start in range(0, batch.num_rows, job.run.batch_rows)
        ]
    return batches


def run_bare(model: LoadedModel, estimator: object, batches: Sequence[pa.RecordBatch]) -> None:
    """Let the system score batches, and nothing else."""
    for batch in batches:
        made = model.system.inputs(model.config, batch)
        model.system.predict(estimator, made.arrays)


def contend(contest: Contest, catalog: Path, scratch: Path, *, bare_rows: int, rounds: int) -> None:
    """Print what each contestant does a CPU-second, and the ratio of each round."""
    job = job_of(contest, catalog, scratch)
    batches = batches_of(job, catalog, rows=bare_rows)
    model = load_model(job.model, job.weights, job.model_settings)
    estimator = model.build()
    run_bare(model, estimator, batches[:1])  # imports and caches
    of_bare, done = sum(batch.num_rows for batch in batches), list[int]()

    def durable(number: int) -> None:
        store = scratch / f"layers-{number}"
        done.append(run_durable(contest, catalog, store).rows)
        shutil.rmtree(store)

    taken = take_turns(
        {"durable": durable, "bare": lambda _: run_bare(model, estimator, batches)}, rounds, warm_up=False
    )
    speeds = {
        "durable": [done[0] / run.cpu_s for run in taken["durable"]],
        "bare": [of_bare / run.cpu_s for run in taken["bare"]],
    }
    sys.stdout.write(
        f"{job.model}: {done[0]:,} simulated light curves by the job, {of_bare:,} of them by the model alone, "
        f"{rounds} rounds, one core\n"
    )
    for name, speed in speeds.items():
        say(f"{name}, light curves per CPU-second", speed, digits=1)
    say("durable, light curves per second", [done[0] / run.wall_s for run in taken["durable"]], digits=1)
    say("durable / bare, per CPU-second", [a / b for a, b in zip(speeds["durable"], speeds["bare"], strict=True)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(f"  {'most memory of this process':<44} {peak:.2f} GiB\n")


def main() -> None:
    """Write the catalog, and let them take turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--system", choices=sorted(CONTESTS), required=True)
    parser.add_argument("--rows", type=int, help="light curves; by default as many as take minutes")
    parser.add_argument("--bare-rows", type=int, help="of them by the model alone; a fifth by default")
    parser.add_argument("--partition-rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where catalog and layers go; a temporary one by default")
    options = parser.parse_args()
    contest = CONTESTS[options.system]
    rows = options.rows or contest.rows
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-", dir=options.folder) as folder:
        catalog = make(
            Path(folder, "catalog"),
            load(contest.simulator),
            rows=rows,
            seed=options.seed,
            partition_rows=options.partition_rows,
            unit=contest.unit,
            settings=contest.settings,
        )
        bare_rows = options.bare_rows or max(1, rows // 5)
        contend(contest, catalog, Path(folder, "out"), bare_rows=bare_rows, rounds=options.rounds)


if __name__ == "__main__":
    main()
