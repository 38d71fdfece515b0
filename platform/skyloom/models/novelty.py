"""How unlike the training rows a row is: Mahalanobis distance, as an empirical p-value.

The distance is to the nearest class centre, with one covariance for all classes [1]_. Its
p-value is the fraction of *held-out* rows that lie further out, so it is uniform on rows
that are like the training set and small on others.

References
----------
.. [1] Lee et al. 2018, NeurIPS 31 (arXiv:1807.03888). Departure: on standardised input
   features, not on a network's, with missing values at the centre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind

__all__ = ["Novelty", "empirical_p", "pooled_p", "standardise"]

_NAMES = ("columns", "centre", "width", "whiten", "means", "reference")


def standardise(
    values: NDArray[np.floating], centre: NDArray[np.float64], width: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``asinh((values - centre) / width)``, NaN kept: tails are pulled in, order stays."""
    return np.asarray(np.arcsinh((values - centre) / width))


def empirical_p(values: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of a sorted reference that is at least as large, never zero.

    ``(1 + #{reference >= value}) / (1 + R)``: valid at any R.
    """
    below = np.searchsorted(reference, values, side="left")
    return np.asarray((1.0 + len(reference) - below) / (1.0 + len(reference)))


def pooled_p(
    values: Sequence[NDArray[np.float64]], references: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return one p-value from the folds of a cross-validation, shape (N,), in (0, 1].

    Each fold compares the rows with those that its own model left out; the counts are added, so that
    all training rows serve as reference, and none of them is compared by a model that knew it.

    Parameters
    ----------
    values : sequence of ndarray, shape (N,)
        Distances of the rows, as the model of each fold sees them.
    references : sequence of ndarray
        Distances of the rows that each model left out, ascending.

    References
    ----------
    Vovk 2015, Annals of Mathematics and Artificial Intelligence 74, 9 (cross-conformal predictors).
    """
    total = np.ones(len(values[0]))
    for distance, reference in zip(values, references, strict=True):
        total = total + (len(reference) - np.searchsorted(reference, distance, side="left"))
    return np.asarray(total / (1.0 + sum(len(reference) for reference in references)))


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """What the p-value needs.

    Attributes
    ----------
    columns : ndarray of int64, shape (D,)
        Which features are looked at.
    centre, width : ndarray of float64, shape (D,)
        Of `standardise`.
    whiten : ndarray of float64, shape (D, D)
        Turns the covariance within classes into the unit matrix.
    means : ndarray of float64, shape (K, D)
        Whitened class centres.
    reference : ndarray of float64, shape (R,)
        Distances of held-out rows, ascending.
    """

    columns: NDArray[np.int64]
    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    whiten: NDArray[np.float64]
    means: NDArray[np.float64]
    reference: NDArray[np.float64]

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_features: int) -> Novelty:
        """Take the stored arrays.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if one is missing or does not fit.
        """
        missing = [name for name in _NAMES if f"ood.{name}" not in arrays]
        if missing:
            raise DataError(f"weights lack ood.{missing[0]}", kind=ErrorKind.BAD_WEIGHTS)
        self = cls(*(arrays[f"ood.{name}"] for name in _NAMES))
        d = len(self.columns)
        fits = self.centre.shape == self.width.shape == (d,) and self.whiten.shape == (d, d)
        if not fits or self.means.shape[1:] != (d,) or self.columns.max(initial=-1) >= n_features:
            raise DataError("weights: the ood arrays do not fit each other", kind=ErrorKind.BAD_WEIGHTS)
        return self

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays under the names that `of_arrays` reads."""
        return {f"ood.{name}": getattr(self, name) for name in _NAMES}

    def distance(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the distance to the nearest class centre, shape (N,), of features (N, F)."""
        z = standardise(features[:, self.columns].astype(np.float64), self.centre, self.width)
        z = np.where(np.isnan(z), 0.0, z)
        white = np.zeros_like(z)
        for k in range(len(self.columns)):  # element-wise: a matrix product's sums depend on the batch
            white += z[:, k, None] * self.whiten[k]
        nearest = np.full(len(z), np.inf)
        for mean in self.means:
            away = np.zeros(len(z))
            for k in range(len(self.columns)):
                away = away + (white[:, k] - mean[k]) ** 2
            nearest = np.minimum(nearest, away)
        return np.asarray(np.sqrt(nearest))

    def p_value(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the p-value, shape (N,), in (0, 1]: small is unlike anything in training."""
        return empirical_p(self.distance(features), self.reference)
