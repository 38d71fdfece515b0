"""The network of the job on a table: ten columns to four, the same for everybody. Imports torch and numpy only."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from tests.benchmarks.peers.table.job import BATCH_ROWS, READ, WRITTEN

__all__ = ["Predictor", "build"]

WIDTHS = (len(READ), 64, 64, len(WRITTEN))


def build() -> nn.Sequential:
    """Return the network with its seeded weights, ready to predict."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = [layer for a, b in pairwise(WIDTHS) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


class Predictor:
    """The network, on one thread, on batches of a fixed number of rows."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.network = build()

    def __call__(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return y, float32 (4, N), of ten columns (N,)."""
        rows = len(columns[0])
        out = np.empty((len(WRITTEN), rows), np.float32)
        with torch.inference_mode():
            for start in range(0, rows, BATCH_ROWS):
                part = np.stack([column[start : start + BATCH_ROWS] for column in columns], axis=1)
                out[:, start : start + BATCH_ROWS] = self.network(torch.from_numpy(part)).numpy().T
        return out
