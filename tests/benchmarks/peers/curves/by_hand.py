"""The hand-written loop: the statistics on every core."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one
from tests.benchmarks.peers.partitions import Work, by_hand


def describer() -> Work:
    """Return the extractor as a function of a partition."""
    extract = Extractor()

    def describe(table: pa.Table) -> np.ndarray:
        return extract(one(table.column("lc")))

    return describe


if __name__ == "__main__":
    by_hand(("lc",), WRITTEN, describer)
