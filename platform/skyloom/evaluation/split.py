"""Split by object: which objects train, which calibrate, which are held out.

An object's part is a hash of its id, so it is the same in every catalog that has the object,
whatever the order, the partitioning or the other objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRACTIONS", "SEED", "Parts", "hashed_uniform", "parts_of"]

SEED = 20190117
FRACTIONS = (0.60, 0.15, 0.25)
"""Of training, calibration and held-out objects, on average."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Three masks of shape (N,); each row is in exactly one."""

    train: NDArray[np.bool_]
    calibration: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


def parts_of(object_id: NDArray[np.integer], *, seed: int = SEED) -> Parts:
    """Return the part of each object.

    Parameters
    ----------
    object_id : ndarray of integers, shape (N,)
    seed : int
        Another seed, another split.

    Examples
    --------
    >>> parts_of(np.array([615, 713, 730, 745])).train.tolist()
    [False, True, True, False]
    """
    u = hashed_uniform(np.asarray(object_id).astype(np.uint64), seed)
    train = u < FRACTIONS[0]
    held_out = u >= FRACTIONS[0] + FRACTIONS[1]
    return Parts(train, ~train & ~held_out, held_out)


def hashed_uniform(key: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Hash 64-bit keys to [0, 1): splitmix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195)."""
    x = key + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)) / float(1 << 53)
