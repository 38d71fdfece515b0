"""A fair sample of rows in bounded memory, the same whatever the order and the parts in which rows come.

Each row has a random number that is a hash of its key; the sample is the rows of the smallest numbers. Samples of
parts are merged into that of the whole.

Source: bottom-k sampling (Cohen & Kaplan 2007, doi:10.1145/1281100.1281133).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.split import uniform

__all__ = ["RowSample"]

_SEED = 7


@dataclass(frozen=True, slots=True, eq=False)
class RowSample:
    """A sample of N rows.

    Attributes
    ----------
    n : int
        Rows that it stands for.
    rank : ndarray of float64, shape (K,)
        Random numbers of the rows kept, ascending.
    rows : ndarray of float32, shape (K, D)
    place : ndarray of int64, shape (K,)
        What the caller wants to know of a row, such as its cell.
    """

    n: int
    rank: NDArray[np.float64]
    rows: NDArray[np.float32]
    place: NDArray[np.int64]

    @classmethod
    def of(
        cls, key: NDArray[np.integer], rows: NDArray[np.floating], place: NDArray[np.int64], *, most: int
    ) -> RowSample:
        """Take at most `most` of rows (N, D) with keys (N,)."""
        rank = uniform(key.astype(np.uint64), _SEED)
        kept = np.argsort(rank, kind="stable")[:most]
        return cls(len(key), rank[kept], rows[kept].astype(np.float32), place[kept])

    def merged(self, other: RowSample, *, most: int) -> RowSample:
        """Return the sample of the rows of both."""
        rank = np.concatenate([self.rank, other.rank])
        kept = np.argsort(rank, kind="stable")[:most]
        return RowSample(
            self.n + other.n,
            rank[kept],
            np.concatenate([self.rows, other.rows])[kept],
            np.concatenate([self.place, other.place])[kept],
        )
