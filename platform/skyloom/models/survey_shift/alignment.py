"""A mixture in two surveys at once: each component has a map of its own from one survey's features to the other's.

Source rows are ``sum_k w_k N(m_k, V_k)``. A target row is such a row seen through
``T_k(x) = R_k (s_k * x) + t_k``, a scaling along the axes, a rotation and a shift, so the target is
``sum_k v_k N(T_k m_k, R_k s_k V_k s_k R_k^T)``. Each component belongs to one
class, which is known for source rows.

Sums run over features one after the other: a row gives the same bits in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind

__all__ = ["Alignment"]

_NAMES = ("weight", "target_weight", "mean", "covariance", "rotation", "scale", "shift", "owner")


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """K components in D standardised features.

    Attributes
    ----------
    weight, target_weight : ndarray of float64, shape (K,)
        Shares of the components in the source and in the target; each adds to 1.
    mean : ndarray of float64, shape (K, D)
    covariance : ndarray of float64, shape (K, D, D)
        Of the source.
    rotation : ndarray of float64, shape (K, D, D)
        Orthogonal, determinant 1.
    scale : ndarray of float64, shape (K, D)
        Positive.
    shift : ndarray of float64, shape (K, D)
    owner : ndarray of int64, shape (K,)
        Class that each component is part of.
    """

    weight: NDArray[np.float64]
    target_weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    owner: NDArray[np.int64]

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Alignment:
        """Take the stored arrays.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if one is missing, they do not fit each other, or are no such mixture.
        """
        missing = [name for name in _NAMES if f"align.{name}" not in arrays]
        if missing:
            raise DataError(f"weights lack align.{missing[0]}", kind=ErrorKind.BAD_WEIGHTS)
        self = cls(*(arrays[f"align.{name}"] for name in _NAMES))
        if self.mean.ndim != 2:
            raise DataError("weights: align.mean has not two axes", kind=ErrorKind.BAD_WEIGHTS)
        k, d = self.mean.shape
        shapes = {"weight": (k,), "target_weight": (k,), "covariance": (k, d, d), "rotation": (k, d, d),
                  "scale": (k, d), "shift": (k, d), "owner": (k,)}  # fmt: skip
        odd = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        if odd or not (self.scale > 0.0).all() or (np.linalg.eigvalsh(self.covariance) <= 0.0).any():
            what = f"align.{odd[0]} does not fit align.mean" if odd else "a scale or covariance is not positive"
            raise DataError(f"weights: {what}", kind=ErrorKind.BAD_WEIGHTS)
        return self

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays under the names that `of_arrays` reads."""
        return {f"align.{name}": getattr(self, name) for name in _NAMES}

    def forward(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map source rows (N, D) by each component's map: (N, K, D) in the target."""
        scaled = rows[:, None, :] * self.scale
        return _applied(self.rotation, scaled) + self.shift

    def back(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map target rows (N, D) back by each component's map: (N, K, D) in the source."""
        away = rows[:, None, :] - self.shift
        return _applied(self.rotation.transpose(0, 2, 1), away) / self.scale

    def source_log_parts(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return logarithms of share times density of source rows (N, D), by component: (N, K)."""
        return np.asarray(
            np.log(self.weight) + self._log_normal(np.broadcast_to(rows[:, None, :], self._cube(rows)))
        )

    def target_log_parts(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return logarithms of share times density of target rows (N, D), by component: (N, K).

        The density is that of the row mapped back, over the map's volume change.
        """
        volume = np.log(self.scale).sum(axis=1)
        return np.asarray(np.log(self.target_weight) + self._log_normal(self.back(rows)) - volume)

    def target_mean(self) -> NDArray[np.float64]:
        """Return the means of the components in the target, (K, D)."""
        return np.asarray(np.einsum("kde,ke->kd", self.rotation, self.scale * self.mean) + self.shift)

    def target_covariance(self) -> NDArray[np.float64]:
        """Return the covariances of the components in the target, (K, D, D)."""
        linear = self.rotation * self.scale[:, None, :]
        return np.asarray(linear @ self.covariance @ linear.transpose(0, 2, 1))

    def distances(self) -> NDArray[np.float64]:
        """Return how far each component moved: the 2-Wasserstein distance of its two normal distributions, (K,).

        In units of the standardised features [1]_.

        References
        ----------
        .. [1] Givens & Shortt 1984, Michigan Math. J. 31, 231 (distance of normal distributions).
        """
        moved = ((self.target_mean() - self.mean) ** 2).sum(axis=1)
        out = []
        for a, b, away in zip(self.covariance, self.target_covariance(), moved, strict=True):
            root = _root(a)
            between = np.trace(a) + np.trace(b) - 2.0 * np.trace(_root(root @ b @ root))
            out.append(math.sqrt(max(0.0, float(away + between))))
        return np.array(out)

    def _cube(self, rows: NDArray[np.float64]) -> tuple[int, int, int]:
        return len(rows), *self.mean.shape

    def _log_normal(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log densities of rows (N, K, D) under each component, (N, K)."""
        lower = np.linalg.cholesky(self.covariance)
        white = _applied(np.linalg.inv(lower), rows - self.mean)
        square = np.zeros(white.shape[:2])
        for d in range(white.shape[2]):
            square = square + white[:, :, d] ** 2
        volume = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        return np.asarray(-0.5 * (square + white.shape[2] * math.log(2.0 * math.pi)) - volume)


def _applied(matrix: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply matrices (K, D, D) with rows (N, K, D), one column after the other."""
    out = np.zeros(rows.shape)
    for d in range(rows.shape[2]):
        out = out + rows[:, :, d, None] * matrix[None, :, :, d]
    return out


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric square root of a positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.fmax(values, 0.0))) @ vectors.T)
