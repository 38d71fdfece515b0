"""The input of the job on a table: a seeded HATS catalog of ten float32 columns, written part by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.benchmarks.peers.table.job import READ
from tests.benchmarks.simulated_catalog import make as write

__all__ = ["columns", "make"]

PARTITION_ROWS = 250_000


def columns(n: int, *, seed: int, start: int) -> pa.Table:
    """Return ten columns of normal numbers, rows `start` to `start + n - 1`."""
    rng = np.random.default_rng([seed, start])
    return pa.table({name: rng.normal(size=n).astype(np.float32) for name in READ})


def make(folder: Path, rows: int) -> Path:
    """Write the catalog unless it is there, and return its root."""
    root = folder / "catalog"
    if not root.exists():
        write(root, columns, rows=rows, partition_rows=min(PARTITION_ROWS, max(1, rows // 8)))
    return root
