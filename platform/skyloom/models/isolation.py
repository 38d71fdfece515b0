"""Isolation forests as plain arrays, several of them side by side.

Trees as `coniferest` grows them [1]_: the right child lies next to the left one, a leaf holds
the path length that it stands for (its depth plus the mean depth of the points in it).

References
----------
.. [1] Kornilov et al. 2025, Astronomy and Computing 52, 100960; https://coniferest.snad.space
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind

__all__ = ["IsolationForests"]

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class IsolationForests:
    """K forests of T trees each; the nodes of all trees lie end to end.

    Attributes
    ----------
    feature : ndarray of int32, shape (nodes,)
        Column tested by a split; 0 in a leaf.
    left : ndarray of int32, shape (nodes,)
        Place of the left child in its tree; 0 marks a leaf.
    value : ndarray of float32, shape (nodes,)
        Threshold of a split (values up to it go left), path length of a leaf.
    root : ndarray of int64, shape (K * T,)
        Place of the first node of each tree.
    depth : int
        Deepest leaf.
    scale : ndarray of float64, shape (K,)
        Mean path length of the points that a tree of each forest was grown from.
    """

    feature: NDArray[np.int32]
    left: NDArray[np.int32]
    value: NDArray[np.float32]
    root: NDArray[np.int64]
    depth: int
    scale: NDArray[np.float64]

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_features: int) -> IsolationForests:
        """Take the arrays of stored forests and check that they fit each other.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if an array is missing or of another shape, or points outside.
        """
        names = ("forest.feature", "forest.left", "forest.value", "forest.nodes", "forest.scale", "forest.depth")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise DataError(f"weights lack {', '.join(missing)}", kind=ErrorKind.BAD_WEIGHTS)
        feature, left, value, nodes, scale, depth = (arrays[name] for name in names)
        fits = feature.shape == left.shape == value.shape == (int(nodes.sum()),) and nodes.min(initial=0) >= 0
        fits = fits and scale.ndim == 1 and len(nodes) > 0 and len(nodes) % len(scale) == 0
        fits = fits and feature.min() >= 0 and feature.max() < n_features and left.min() >= 0
        fits = fits and bool((np.where(left > 0, left + 1, 0) < np.repeat(nodes, nodes)).all())
        if not fits:
            msg = f"weights: the trees do not fit each other or {n_features} features"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS)
        root = np.concatenate(([0], np.cumsum(nodes)[:-1]))
        return cls(feature.astype(np.int32), left.astype(np.int32), value, root, int(depth[0]), scale)

    def paths(self, features: NDArray[np.float32], parts: int) -> NDArray[np.float64]:
        """Return the mean path length over each of `parts` equal parts of each forest.

        ``2 ** (-path / scale)`` is the usual score: 0 to 1, about 0.5 for a typical point.

        Parameters
        ----------
        features : ndarray of float32, shape (N, F)
            Finite.
        parts : int
            Divides T.

        Returns
        -------
        ndarray of float64, shape (N, parts, K)
        """
        n_forests = len(self.scale)
        out = np.empty((len(features), parts, n_forests))
        for start in range(0, len(features), _ROWS_AT_ONCE):
            leaf = self._leaves(np.ascontiguousarray(features[start : start + _ROWS_AT_ONCE]))
            each = leaf.reshape(n_forests, parts, -1, leaf.shape[1])
            total = np.zeros((n_forests, parts, leaf.shape[1]))
            for tree in range(each.shape[2]):  # in this order whatever the number of rows
                total += each[:, :, tree]
            out[start : start + _ROWS_AT_ONCE] = total.transpose(2, 1, 0) / each.shape[2]
        return out

    def _leaves(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Path length of the leaf in which each row ends, shape (trees, rows)."""
        root = self.root[:, None]
        row = np.arange(len(features), dtype=np.int64) * features.shape[1]
        flat = features.ravel()
        at = np.repeat(root, len(features), axis=1)
        for _ in range(self.depth):
            child = self.left[at]
            right = flat[row + self.feature[at]] > self.value[at]
            at = np.where(child > 0, root + child + right, at)
        return np.asarray(self.value[at])
