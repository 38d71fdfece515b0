"""The hand-written loop: the network on every core."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tests.benchmarks.peers.partitions import Work, by_hand
from tests.benchmarks.peers.table.job import READ, WRITTEN
from tests.benchmarks.peers.table.network import Predictor


def scorer() -> Work:
    """Return the network as a function of a partition."""
    predict = Predictor()

    def score(table: pa.Table) -> np.ndarray:
        return predict([table.column(name).to_numpy() for name in READ])

    return score


if __name__ == "__main__":
    by_hand(READ, WRITTEN, scorer)
