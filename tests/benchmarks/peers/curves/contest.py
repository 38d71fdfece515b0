"""Light curves to fifteen statistics: who does it, on what, and what is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.benchmarks.peers.curves.data import make
from tests.benchmarks.peers.race import HAND, MEMORY, OURS, Contestant, Job
from tests.benchmarks.peers.written import written

__all__ = ["JOB"]

_HERE = "tests.benchmarks.peers.curves"


def _compare(out: Path, catalog: Path) -> None:
    """Hold what was written against the library on the catalog: every row of the first and the last partition."""
    from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one

    extract = Extractor()
    for part, found in written(out, catalog, ("lc",), WRITTEN):
        for name, values in zip(WRITTEN, extract(one(part.column("lc"))), strict=True):
            np.testing.assert_array_equal(found[name].to_numpy(), values)


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
