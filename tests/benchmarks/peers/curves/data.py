"""The input of the job on light curves: seeded, of 10 to several hundred points, written part by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.benchmarks.simulated_catalog import make as write

__all__ = ["curves", "make"]

PARTITION_ROWS = 10_000
LEAST_POINTS = 10


def curves(n: int, *, seed: int, start: int) -> pa.Table:
    """Return `n` light curves in time order: sines with noise, as column ``lc``."""
    rng = np.random.default_rng([seed, start])
    lengths = LEAST_POINTS + rng.lognormal(4, 0.8, n).astype(np.int64).clip(max=1000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    owner = np.repeat(np.arange(n), lengths)
    mjd = rng.uniform(58_000, 60_000, len(owner))
    mjd = mjd[np.lexsort((mjd, owner))]
    period, height = rng.lognormal(1, 1, n)[owner], rng.lognormal(3, 0.5, n)[owner]
    flux_err = rng.uniform(1, 5, len(owner))
    flux = 1000 + height * np.sin(2 * np.pi * mjd / period) + rng.normal(0, flux_err)
    lists = {
        "mjd": (pa.array(mjd), {"unit": "d"}),
        "flux": (pa.array(flux.astype(np.float32)), {"unit": "nJy"}),
        "flux_err": (pa.array(flux_err.astype(np.float32)), {"unit": "nJy"}),
    }
    arrays = [pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values) for values, _ in lists.values()]
    fields = [pa.field(k, a.type, metadata=m) for (k, (_, m)), a in zip(lists.items(), arrays, strict=True)]
    return pa.table({"lc": pa.StructArray.from_arrays(arrays, fields=fields)})


def make(folder: Path, rows: int) -> Path:
    """Write the catalog unless it is there, and return its root."""
    root = folder / "catalog"
    if not root.exists():
        write(root, curves, rows=rows, partition_rows=min(PARTITION_ROWS, max(1, rows // 8)))
    return root
