"""A table through a small network: who does it, on what, and what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tests.benchmarks.peers.plain import partitions_of
from tests.benchmarks.peers.race import HAND, MEMORY, OURS, Contestant, Job, files_of
from tests.benchmarks.peers.table.data import make

__all__ = ["JOB"]

_HERE = "tests.benchmarks.peers.table"


def _compare(out: Path, catalog: Path) -> None:
    """Hold what was written against the network on the catalog: every row of the first and the last partition."""
    from tests.benchmarks.peers.table.job import READ, WRITTEN
    from tests.benchmarks.peers.table.network import Predictor

    paths = partitions_of(catalog)
    table = ds.dataset(files_of(out)).to_table(["object_id", *WRITTEN]).sort_by("object_id")
    ids = table["object_id"].to_numpy()
    assert len(ids) == len(np.unique(ids)) == sum(pq.read_metadata(path).num_rows for path in paths)
    for path in (paths[0], paths[-1]):
        part = pq.ParquetFile(path).read(["object_id", *READ])
        wanted = Predictor()([part.column(name).to_numpy() for name in READ])
        rows = np.searchsorted(ids, part["object_id"].to_numpy())
        for name, values in zip(WRITTEN, wanted, strict=True):
            np.testing.assert_allclose(table[name].to_numpy()[rows], values, rtol=1e-4, atol=1e-5)


JOB = Job(
    title="A table: ten float32 columns in Parquet through a network of five thousand parameters to four",
    unit="rows",
    rows={"small": 20_000_000, "large": 200_000_000},
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
