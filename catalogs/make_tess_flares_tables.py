"""Write the two-minute light curves of TESS as two tables, of objects and of points, that an import reads.

    python catalogs/make_tess_flares_tables.py $SKYLOOM_DATA $SKYLOOM_CATALOGS/tables/tess-flares

What to do with them: `catalogs/imports/tess-flares.toml`. The folder is made.

The light curves come without positions. A catalog needs some, so ``ra`` and ``dec`` are places of a Fibonacci
lattice, in the order of the stars' numbers: they spread the partitions and mean nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.evaluation.flare_stars import tess_rows

_GOLDEN_DEG = 180.0 * (3.0 - np.sqrt(5.0))


def tables_of(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return objects, one per star and sector, and points, from `skyloom.evaluation.flare_stars.tess_rows`."""
    _, star = np.unique(rows["tic"].to_numpy(), return_inverse=True)
    dec = np.degrees(np.arcsin(1.0 - (2.0 * star + 1.0) / (star.max() + 1)))
    objects = (
        rows.drop_columns(["lc"])
        .append_column("ra", pa.array((star * _GOLDEN_DEG) % 360.0))
        .append_column("dec", pa.array(dec))
    )
    curves = rows["lc"].combine_chunks()
    lists = dict(zip((field.name for field in curves.type), curves.flatten(), strict=True))
    place = pc.list_parent_indices(lists["mjd"])
    points = {name: values.flatten() for name, values in lists.items()}
    return objects, pa.table({"lightcurve_id": rows["lightcurve_id"].take(place), **points})


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("objects", "points"), tables_of(tess_rows(sys.argv[1])), strict=True):
        pq.write_table(table, folder / f"{name}.parquet")
