"""Which of two surveys a row looks like it comes from: a probability, and a weight that turns one into the other.

A logistic regression on features and their squares tells training rows from rows of a target. Its probability,
both kinds equally common, is the column ``<prefix>_domain``; probability over the rest is the ratio of
densities, which as a weight of training rows makes them look like the target [1]_.

References
----------
.. [1] Bickel, Brueckner & Scheffer 2009, JMLR 10, 2137 (density ratios by a classifier).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import DataError, ErrorKind
from skyloom.models.novelty import standardise

__all__ = ["DomainClassifier", "domain_column"]

_NAMES = ("centre", "width", "slope", "bend", "intercept")
_LARGEST_LOGIT = 30.0


def domain_column(prefix: str, target: str) -> Column:
    """Return the column that a system writes, with the target in words."""
    return Column(
        f"{prefix}_domain",
        "",
        f"probability of being a row of {target} and not of the training set, both equally common",
        "float32",
        "stat.probability",
    )


@dataclass(frozen=True, slots=True, eq=False)
class DomainClassifier:
    """What the probability needs.

    Attributes
    ----------
    centre, width : ndarray of float64, shape (D,)
        Of `skyloom.models.novelty.standardise`; missing values are at the centre.
    slope, bend : ndarray of float64, shape (D,)
        Coefficients of the standardised features and of their squares.
    intercept : float
        For as many target rows as training rows.
    """

    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    slope: NDArray[np.float64]
    bend: NDArray[np.float64]
    intercept: float

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_features: int) -> DomainClassifier:
        """Take the stored arrays.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if one is missing or is not of `n_features` features.
        """
        for name in _NAMES:
            shape = (1,) if name == "intercept" else (n_features,)
            found = arrays.get(f"domain.{name}")
            if found is None or found.shape != shape:
                msg = f"weights: domain.{name} must have shape {shape}, found {getattr(found, 'shape', None)}"
                raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
        centre, width, slope, bend = (arrays[f"domain.{name}"] for name in _NAMES[:-1])
        return cls(centre, width, slope, bend, float(arrays["domain.intercept"][0]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays under the names that `of_arrays` reads."""
        arrays = {f"domain.{name}": getattr(self, name) for name in _NAMES[:-1]}
        return {**arrays, "domain.intercept": np.array([self.intercept])}

    def logit(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the logarithm of the ratio of densities, target over training, shape (N,), of features (N, D)."""
        z = standardise(features.astype(np.float64), self.centre, self.width)
        z = np.where(np.isnan(z), 0.0, z)
        total = np.full(len(z), self.intercept)
        for d in range(z.shape[1]):  # element-wise: a matrix product's sums depend on the batch
            total = total + self.slope[d] * z[:, d] + self.bend[d] * z[:, d] ** 2
        return np.asarray(np.clip(total, -_LARGEST_LOGIT, _LARGEST_LOGIT))

    def probability(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of the target, shape (N,), in (0, 1)."""
        return np.asarray(1.0 / (1.0 + np.exp(-self.logit(features))))

    def train_weights(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return importance weights of training rows (N, D): their mean is 1, whatever the rows."""
        ratio = np.exp(self.logit(features))
        return np.asarray(ratio / ratio.mean()) if len(ratio) else ratio
