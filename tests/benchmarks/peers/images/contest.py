"""Images through a convolutional network, from Zarr: who does it, on what, and what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.dataset as ds

from tests.benchmarks.peers.images.data import make
from tests.benchmarks.peers.plain import CORES
from tests.benchmarks.peers.race import HAND, MEMORY, OURS, Contestant, Job, files_of

__all__ = ["JOB"]

_HERE = "tests.benchmarks.peers.images"
PARTITION_ROWS = 1000
"""At most: 82 MB."""


def _make(folder: Path, rows: int) -> Path:
    if not (folder / "store").exists():
        make(folder, rows=rows, threshold=min(PARTITION_ROWS, max(300, rows // 12)))
    return folder / "store"


def _compare(out: Path, store: Path) -> None:
    """Hold what was written against the network on the store: the first rows of every partition."""
    from tests.benchmarks.peers.images.job import Predictor, keys_of, open_partition

    table = ds.dataset(files_of(out)).to_table(["object_id", "c0"])
    found = dict(zip(table["object_id"].to_pylist(), table["c0"].to_pylist(), strict=True))
    predict = Predictor()
    total = 0
    for key in keys_of(store):
        ids, values = open_partition(store, key)
        total += len(ids)
        wanted = predict(np.asarray(values[:64]))[:, 0]
        np.testing.assert_allclose([found[i] for i in ids[:64].tolist()], wanted, rtol=1e-4)
    assert len(found) == total


JOB = Job(
    title="Images: 5 x 64 x 64 float32 cutouts in Zarr through a network of half a million parameters",
    unit="images",
    rows={"small": 36_000, "large": 360_000},
    make=_make,
    compare=_compare,
    contestants={
        MEMORY: Contestant(f"{_HERE}.in_memory", compared=False),
        HAND: Contestant(f"{_HERE}.by_hand"),
        "hand-written, plain": Contestant(f"{_HERE}.by_hand", ("plain",)),
        OURS: Contestant(f"{_HERE}.by_skyloom"),
        "dask.dataframe": Contestant(f"{_HERE}.by_dask"),
        "Ray Data": Contestant(f"{_HERE}.by_ray", peer=True),
        "Daft": Contestant(f"{_HERE}.by_daft", peer=True),
        "Hyrax": Contestant(f"{_HERE}.by_hyrax", peer=True, threads=CORES),
    },
)
