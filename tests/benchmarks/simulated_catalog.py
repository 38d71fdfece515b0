"""Simulated light curves, as many as wanted, as a HATS catalog: what a job at scale runs over.

``python -m tests.benchmarks.simulated_catalog FOLDER --simulator skyloom.simulators.variables:variables
--rows 100000 [--seed 0] [--partition-rows 1000] [--set points=60]``

Partitions are drawn and written one by one, so memory does not grow with the number of rows. Row k has
number k of the simulator's stars, whatever the partitions are.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.simulators.transients import transients
from skyloom.timeseries.lightcurves import LightCurves
from tests.tiny_catalogs import write_face

__all__ = ["Simulator", "load", "make", "transients_with_hosts"]

Simulator = Callable[..., Any]
"""``simulator(n, seed=..., start=..., **settings)`` draws stars `start` to ``start + n - 1``: a table of
columns, or `LightCurves`, or what has these as ``curves``."""


def load(name: str) -> Simulator:
    """Return the function called ``module:function``."""
    module, function = name.split(":")
    simulator: Simulator = getattr(importlib.import_module(module), function)
    return simulator


def make(
    folder: Path,
    simulator: Simulator,
    *,
    rows: int,
    seed: int = 0,
    partition_rows: int = 1000,
    unit: str = "mag",
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a catalog, and return its folder, which must not exist.

    Parameters
    ----------
    folder : path
    simulator : Simulator
    rows : int
    seed : int
        Of stars and positions.
    partition_rows : int
        Rows of each partition but the last, and most that are in memory.
    unit : str
        Of the brightness of `LightCurves`.
    settings : mapping, optional
        Further ones of the simulator.
    """
    parts = -(-rows // partition_rows)
    order = 0
    while 12 << (2 * order) < parts:
        order += 1
    pixels, schema = [], None
    folder.mkdir(parents=True)
    for part in range(parts):
        start = part * partition_rows
        n = min(partition_rows, rows - start)
        npix = part * (12 << (2 * order)) // parts
        drawn = columns_of(simulator(n, seed=seed, start=start, **(settings or {})), unit=unit)
        table = _placed(drawn, np.random.default_rng([seed, part]), order=order, npix=npix, first=start)
        place = folder / "dataset" / f"Norder={order}" / f"Dir={npix // 10_000 * 10_000}" / f"Npix={npix}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, place, compression="zstd")
        pixels.append((order, npix))
        schema = table.schema
    if schema is None:
        msg = f"a catalog needs rows, got rows={rows}"
        raise ValueError(msg)
    write_face(folder, schema, pixels, rows=rows, most=min(rows, partition_rows))
    return folder


def columns_of(drawn: Any, *, unit: str) -> pa.Table:
    """Return what a simulator drew as columns."""
    if isinstance(drawn, pa.Table):
        return drawn
    curves: LightCurves = drawn if isinstance(drawn, LightCurves) else drawn.curves
    offsets = pa.array(curves.offsets, pa.int32())
    labels = pa.DictionaryArray.from_arrays(pa.array(curves.band), pa.array(curves.bands))
    points = {
        "mjd": (pa.array(curves.mjd), {"unit": "d"}),
        "flux": (pa.array(curves.flux.astype(np.float32)), {"unit": unit}),
        "flux_err": (pa.array(curves.flux_err.astype(np.float32)), {"unit": unit}),
        "band": (labels.cast(pa.string()), {}),
    }
    lists = [pa.ListArray.from_arrays(offsets, values) for values, _ in points.values()]
    fields = [
        pa.field(name, column.type, metadata=meta)
        for (name, (_, meta)), column in zip(points.items(), lists, strict=True)
    ]
    return pa.table({"lc": pa.StructArray.from_arrays(lists, fields=fields)})


def transients_with_hosts(n: int, *, seed: int, start: int) -> pa.Table:
    """Return simulated transients `start` to ``start + n - 1``, with the redshifts and extinctions of their hosts.

    Their redshifts are the true ones, under the name of a photometric one.
    """
    drawn = transients(n, seed=seed, start=start)
    table = columns_of(drawn, unit="nJy")
    for field, values in (
        (pa.field("hostgal_photoz", pa.float32()), drawn.redshift),
        (pa.field("mwebv", pa.float32(), metadata={"unit": "mag"}), drawn.mwebv),
    ):
        table = table.append_column(field, [pa.array(values.astype(np.float32))])
    return table


def _placed(drawn: pa.Table, rng: np.random.Generator, *, order: int, npix: int, first: int) -> pa.Table:
    """Put rows at random places in a pixel, in the order of a catalog."""
    import cdshealpix

    below = 2 * (29 - order)
    index = np.sort((npix << below) + rng.integers(0, 1 << below, drawn.num_rows))
    lon, lat = cdshealpix.healpix_to_lonlat(index.astype(np.uint64), 29)
    degrees = {"unit": "deg"}
    keys = {
        pa.field("_healpix_29", pa.int64()): index,
        pa.field("object_id", pa.int64(), metadata={"ucd": "meta.id;meta.main"}): first + np.arange(len(index)),
        pa.field("ra", pa.float64(), metadata={**degrees, "ucd": "pos.eq.ra;meta.main"}): lon.deg,
        pa.field("dec", pa.float64(), metadata={**degrees, "ucd": "pos.eq.dec;meta.main"}): lat.deg,
    }
    columns = [*keys.values(), *drawn.columns]
    return pa.table(columns, schema=pa.schema([*keys, *drawn.schema]))


def main() -> None:
    """Write one from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--simulator", default="skyloom.simulators.variables:variables", help="module:function")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--partition-rows", type=int, default=1000)
    parser.add_argument("--unit", default="mag", help="of the brightness")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=INT", help="of the simulator")
    options = parser.parse_args()
    settings = {name: int(value) for name, value in (each.split("=") for each in options.set)}
    made = make(
        options.folder,
        load(options.simulator),
        rows=options.rows,
        seed=options.seed,
        partition_rows=options.partition_rows,
        unit=options.unit,
        settings=settings,
    )
    sys.stdout.write(f"{options.rows:,} simulated light curves in {made}\n")


if __name__ == "__main__":
    main()
