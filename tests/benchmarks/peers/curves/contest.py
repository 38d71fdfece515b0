"""Light curves to fifteen statistics: who does it, on what, and what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tests.benchmarks.peers.curves.data import make
from tests.benchmarks.peers.plain import partitions_of
from tests.benchmarks.peers.race import HAND, MEMORY, OURS, Contestant, Job, files_of

__all__ = ["JOB"]

_HERE = "tests.benchmarks.peers.curves"


def _compare(out: Path, catalog: Path) -> None:
    """Hold what was written against the library on the catalog: every row of the first and the last partition."""
    from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one

    paths = partitions_of(catalog)
    table = ds.dataset(files_of(out)).to_table(["object_id", *WRITTEN]).sort_by("object_id")
    ids = table["object_id"].to_numpy()
    assert len(ids) == len(np.unique(ids)) == sum(pq.read_metadata(path).num_rows for path in paths)
    for path in (paths[0], paths[-1]):
        part = pq.ParquetFile(path).read(["object_id", "lc"])
        rows = np.searchsorted(ids, part["object_id"].to_numpy())
        for name, values in zip(WRITTEN, Extractor()(one(part.column("lc"))), strict=True):
            np.testing.assert_array_equal(table[name].to_numpy()[rows], values)


JOB = Job(
    title="Light curves: variable lengths, fifteen statistics of the light-curve library each",
    unit="light curves",
    rows={"small": 500_000, "large": 5_000_000},
    make=make,
    compare=_compare,
    contestants={
        MEMORY: Contestant(f"{_HERE}.in_memory", compared=False),
        HAND: Contestant(f"{_HERE}.by_hand"),
        "hand-written, plain": Contestant(f"{_HERE}.by_hand", ("plain",)),
        OURS: Contestant(f"{_HERE}.by_skyloom"),
        "dask.dataframe": Contestant(f"{_HERE}.by_dask"),
        "LSDB": Contestant(f"{_HERE}.by_lsdb"),
        "Ray Data": Contestant(f"{_HERE}.by_ray", peer=True),
        "Daft": Contestant(f"{_HERE}.by_daft", peer=True),
    },
)
