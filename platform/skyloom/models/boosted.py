"""Boosted trees as plain arrays: exact, deterministic, and without the library that grew them.

Trees of at most eight leaves are evaluated by bit masks (QuickScorer [1]_): every split of a
tree is tested, each test that fails strikes out the leaves to its left, and the first leaf
left is where the row ends. All of it is element-wise over (trees, rows), so that a row's
result does not depend on its neighbours.

References
----------
.. [1] Lucchese et al. 2015, SIGIR '15, 73 (doi:10.1145/2766462.2767733).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind

__all__ = ["MAX_LEAVES", "BoostedTrees"]

MAX_LEAVES = 8
_SPLITS = MAX_LEAVES - 1
_ROWS_AT_ONCE = 64

_FIRST_BIT = np.array([8, *((k & -k).bit_length() - 1 for k in range(1, 256))], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """M boosted ensembles of I rounds with one tree per class K and round.

    Attributes
    ----------
    feature : ndarray of int32, shape (M * I * K, 7)
        Column tested by each split: f, or F + f where a missing value goes right.
    threshold : ndarray of float32, shape (M * I * K, 7)
        A value up to it goes left.
    struck : ndarray of uint8, shape (M * I * K, 7)
        Bits of the leaves that stay possible when the test fails.
    leaf : ndarray of float64, shape (M * I * K, 8)
    base : ndarray of float64, shape (M, K)
        Score before the first round.
    n_features : int
        F.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    struck: NDArray[np.uint8]
    leaf: NDArray[np.float64]
    base: NDArray[np.float64]
    n_features: int

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_features: int) -> BoostedTrees:
        """Take the arrays of a stored ensemble and check that they fit each other.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if an array is missing or of another shape, or points outside.
        """
        trees = len(arrays["trees.feature"]) if "trees.feature" in arrays else 0
        expected = {
            "trees.feature": ((trees, _SPLITS), np.int32),
            "trees.threshold": ((trees, _SPLITS), np.float32),
            "trees.struck": ((trees, _SPLITS), np.uint8),
            "trees.leaf": ((trees, MAX_LEAVES), np.float64),
        }
        for name, (shape, dtype) in expected.items():
            found = arrays.get(name)
            if found is None or found.shape != shape or found.dtype != dtype:
                msg = f"weights: {name} must be {np.dtype(dtype)}{shape}, found {getattr(found, 'shape', None)}"
                raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
        base = arrays["trees.base"]
        feature = arrays["trees.feature"]
        inside = feature.size and feature.min() >= 0 and feature.max() < 2 * n_features
        if not inside or base.ndim != 2 or trees % base.size:
            msg = f"weights: trees do not fit {n_features} features and scores of shape {base.shape}"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS)
        return cls(
            feature, arrays["trees.threshold"], arrays["trees.struck"], arrays["trees.leaf"], base, n_features
        )

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the raw score of each ensemble and class.

        Parameters
        ----------
        features : ndarray of float32, shape (N, F)
            NaN is missing.

        Returns
        -------
        ndarray of float64, shape (N, M, K)
        """
        out = np.empty((len(features), *self.base.shape))
        for start in range(0, len(features), _ROWS_AT_ONCE):
            out[start : start + _ROWS_AT_ONCE] = self._block(features[start : start + _ROWS_AT_ONCE])
        return out

    def _block(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        missing = np.isnan(features.T)
        columns = np.concatenate(
            [
                np.where(missing, np.float32(-np.inf), features.T),  # missing goes left
                np.where(missing, np.float32(np.inf), features.T),  # missing goes right
            ]
        )
        alive = np.full((len(self.feature), len(features)), 255, dtype=np.uint8)
        for k in range(_SPLITS):
            right = columns[self.feature[:, k]] > self.threshold[:, k, None]
            # 255 where the test holds, else the leaves to the right of the split.
            alive &= (right.view(np.uint8) - np.uint8(1)) | self.struck[:, k, None]
        at = _FIRST_BIT[alive] + (np.arange(len(self.leaf)) * MAX_LEAVES)[:, None]
        values = self.leaf.ravel()[at].reshape(len(self.base), -1, self.base.shape[1], len(features))
        total = np.repeat(self.base[:, :, None], len(features), axis=2)
        for each in range(values.shape[1]):  # in this order whatever the number of rows
            total += values[:, each]
        return total.transpose(2, 0, 1)
