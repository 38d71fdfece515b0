"""The light-curve feature job against the bare library, and against LSDB.

Run it by hand: ``python -m tests.benchmarks.lightcurve_features CATALOG [--rounds 5]``.
All contestants compute the same numbers of the same light curves; rounds are interleaved,
and only ratios within a round are compared, since machines are noisy.

``model``
    What a worker does between reading and writing: rows to features, one core.
``library``
    `light_curve.Extractor.many` called directly on the same arrays, one core, with the library's
    own split by passband: the bar for ``model``.
``split``
    The library on light curves that somebody has cleaned and split by passband already: what
    is left when everything but the library's own arithmetic is free.
``skyloom``
    The job end to end: plan, start workers, read, compute, commit with checksums, publish.
``lsdb``
    The same work with `lsdb.open_catalog`, `map_partitions` and `write_catalog`.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

BANDS = ("u", "g", "r", "i", "z", "y")
WORKERS = 2


def read_rows(catalog: Path) -> pa.RecordBatch:
    """Return the light curves of a whole catalog as the model gets them."""
    from skyloom.catalog import open_catalog, read_partition

    opened = open_catalog(catalog)
    columns = ["lc.mjd", "lc.flux", "lc.flux_err", "lc.band"]
    table = pa.concat_tables([read_partition(opened.root, p, columns) for p in opened.partitions()])
    return table.combine_chunks().to_batches()[0]


def run_model(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Score rows as a worker does."""
    from skyloom.models import lightcurve_features as system
    from skyloom.runtime.scoring import score

    config = system.Config(bands=BANDS)
    scored, _ = score(system, system.build(config, None), config, rows, layer="l", batch_rows=8192)
    return scored


def prepare_library(rows: pa.RecordBatch) -> pa.Array:
    """Return the light curves as the library reads them from Arrow: one list of points per object."""
    curves = rows.column("lc")
    types = {"mjd": pa.float64(), "flux": pa.float64(), "flux_err": pa.float64(), "band": pa.string()}
    values = [curves.field(name).values.cast(dtype) for name, dtype in types.items()]
    return pa.ListArray.from_arrays(
        curves.field("mjd").offsets, pa.StructArray.from_arrays(values, names=list(types))
    )


def run_library(prepared: pa.Array) -> np.ndarray:
    """Call the library directly."""
    import light_curve

    from skyloom.features.lightcurve import EXTRACTORS

    each = (getattr(light_curve, e.cls)(*e.args, bands=list(BANDS)) for e in EXTRACTORS)
    fields = {"t": "mjd", "m": "flux", "sigma": "flux_err", "band": "band"}
    return light_curve.Extractor(*each).many(
        prepared, arrow_fields=fields, fill_value=np.nan, sorted=True, check=False, n_jobs=1
    )


def prepare_split(rows: pa.RecordBatch) -> list[pa.Array]:
    """Return light curves split by passband: one array per batch of the model."""
    from skyloom.features.lightcurve import _as_lists
    from skyloom.models import lightcurve_features as system

    config = system.Config(bands=BANDS)
    batches = [rows.slice(start, 8192) for start in range(0, rows.num_rows, 8192)]
    return [_as_lists(system.inputs(config, batch).arrays["curves"]) for batch in batches]


def run_split(prepared: list[pa.Array]) -> None:
    """Call the library on light curves that are split already."""
    from skyloom.features.lightcurve import _MANY, _extractor

    for lists in prepared:
        _extractor().many(lists, **_MANY)


def run_skyloom(catalog: Path, out: Path) -> Path:
    """Run the durable job end to end; return the directory of its layer."""
    from skyloom.cluster import ClusterSpec
    from skyloom.jobs import run
    from skyloom.jobs.spec import parse_job

    job = parse_job(
        {
            "job": "bench",
            "model": "lightcurve-features",
            "layer": "features",
            "input": {"catalog": str(catalog)},
            "output": {"store": str(out)},
        },
        where="benchmark",
    )
    return Path(run(job, cluster=ClusterSpec(workers=WORKERS, dashboard=""), progress=False).layer_path)


def features_of_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute the features of an LSDB partition, as its user would: row by row to the library."""
    import light_curve

    from skyloom.features.lightcurve import EXTRACTORS

    extractor = light_curve.Extractor(*(getattr(light_curve, e.cls)(*e.args) for e in EXTRACTORS))
    names = [feature.name for e in EXTRACTORS for feature in e.returns]
    curves: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {band: [] for band in BANDS}
    # The quick way into nested-pandas: list columns, then one set of arrays per row.
    lists = frame["lc"].nest.to_lists()
    for row in zip(*(lists[name] for name in ("mjd", "flux", "flux_err", "band")), strict=True):
        mjd, flux, error = (np.asarray(values, dtype=np.float64) for values in row[:3])
        band = np.asarray(row[3])
        for name in BANDS:
            of_band = band == name
            curves[name].append((mjd[of_band], flux[of_band], error[of_band]))
    columns = {}
    for name in BANDS:
        values = _many(extractor, curves[name], len(names))
        columns.update({f"lcf_{n}_{name}": values[:, i].astype(np.float32) for i, n in enumerate(names)})
    kept = frame[["object_id", "ra", "dec"]]
    return kept.assign(**columns)


def _many(extractor: object, curves: list, n_features: int) -> np.ndarray:
    if not curves:
        return np.empty((0, n_features))
    return extractor.many(curves, fill_value=np.nan, sorted=True, check=False, n_jobs=1)


def run_lsdb(catalog: Path, out: Path) -> Path:
    """Do the same with LSDB alone: a lazy map over partitions, written as a HATS catalog."""
    import lsdb
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        frame = lsdb.open_catalog(catalog, columns=["object_id", "ra", "dec", "lc"])
        meta = features_of_frame(frame.meta)
        frame.map_partitions(features_of_frame, meta=meta).write_catalog(
            out / "features", catalog_name="features", progress_bar=False
        )
    return out / "features"


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of `work`, its child processes included."""
    wall, before = time.perf_counter(), _cpu_s()
    work()
    return time.perf_counter() - wall, _cpu_s() - before


def _cpu_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Print seconds per contestant and the ratios, round by round interleaved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = read_rows(options.catalog)
    direct, split = prepare_library(rows), prepare_split(rows)
    times: dict[str, list[tuple[float, float]]] = {}
    for number in range(options.rounds + 1):
        scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=options.catalog.parent))
        contestants: dict[str, Callable[[], object]] = {
            "library": lambda: run_library(direct),
            "split": lambda: run_split(split),
            "model": lambda: run_model(rows),
            "skyloom": lambda scratch=scratch: run_skyloom(options.catalog, scratch / "skyloom"),
            "lsdb": lambda scratch=scratch: run_lsdb(options.catalog, scratch / "lsdb"),
        }
        for name, work in contestants.items():
            taken = clocked(work)
            if number:  # the first round warms caches and imports
                times.setdefault(name, []).append(taken)
        shutil.rmtree(scratch)
    _print(times, rows.num_rows)


def _print(times: dict[str, list[tuple[float, float]]], n_rows: int) -> None:
    sys.stdout.write(f"{n_rows:,} light curves; medians of {len(times['model'])} rounds (min to max)\n")
    for name, taken in times.items():
        for label, column in (("wall", 0), ("CPU", 1)):
            values = [t[column] for t in taken]
            sys.stdout.write(
                f"  {name:8} {label:4} {statistics.median(values):7.2f} s ({min(values):.2f} to {max(values):.2f})  "
                f"{n_rows / statistics.median(values):9,.0f} rows/s\n"
            )
    for above, below in (("library", "model"), ("split", "model"), ("lsdb", "skyloom")):
        for label, column in (("wall", 0), ("CPU", 1)):
            ratios = [a[column] / b[column] for a, b in zip(times[above], times[below], strict=True)]
            sys.stdout.write(
                f"  {above} / {below}, {label}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n"
            )


if __name__ == "__main__":
    main()
