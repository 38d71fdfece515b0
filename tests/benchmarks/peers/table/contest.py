"""A table through a small network: who does it, on what, and what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.benchmarks.peers.race import HAND, MEMORY, OURS, Contestant, Job
from tests.benchmarks.peers.table.data import make
from tests.benchmarks.peers.table.job import READ, WRITTEN
from tests.benchmarks.peers.written import written

__all__ = ["JOB"]

_HERE = "tests.benchmarks.peers.table"


def _compare(out: Path, catalog: Path) -> None:
    """Hold what was written against the network on the catalog: every row of the first and the last partition."""
    from tests.benchmarks.peers.table.network import Predictor

    predict = Predictor()
    for part, found in written(out, catalog, READ, WRITTEN):
        wanted = predict([part.column(name).to_numpy() for name in READ])
        for name, values in zip(WRITTEN, wanted, strict=True):
            np.testing.assert_allclose(found[name].to_numpy(), values, rtol=1e-4, atol=1e-5)


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
