"""How far a set of rows is from a reference: one number per feature, one for all of them, and what chance does.

Features are put into units of the reference's own spread first; a missing value is at its median.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.domains import domain_auc, spread_of

__all__ = ["ALARM_AUC", "LEAST", "Shift", "mmd2", "permutation_test", "shift_between", "wasserstein1"]

ALARM_AUC = 0.6
"""Area under the ROC curve of a domain classifier from which a shift is one to look at."""
LEAST = 16
"""Rows below which nothing is said of a set."""
_PERMUTATIONS = 199
_AT_MOST = 512
"""Rows of each set that the kernel is computed of: its matrix has the square of them."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What was measured of one set of rows against a reference; NaN where there are too few rows."""

    n: int
    """Rows looked at."""
    mmd2: float
    """Squared maximum mean discrepancy, without bias: about 0, and as often below it, where nothing differs."""
    p: float
    """Chance of so large an `mmd2` where nothing differs."""
    auc: float
    """Of a domain classifier: 0.5 where nothing differs."""
    w1: tuple[float, ...]
    """1-Wasserstein distance of each feature, in units of the reference's spread."""

    @property
    def alarm(self) -> bool:
        """Whether the rows are told apart from the reference by more than `ALARM_AUC`."""
        return self.auc > ALARM_AUC


def shift_between(rows: NDArray[np.floating], reference: NDArray[np.floating], *, seed: int = 0) -> Shift:
    """Compare rows (N, D) with a reference (M, D).

    Parameters
    ----------
    rows, reference : ndarray
        NaN is missing.
    seed : int
        Of permutations, halves and of what is left out where there are many rows.

    Raises
    ------
    SpecError
        If they have other numbers of features.
    """
    if rows.ndim != 2 or reference.ndim != 2 or rows.shape[1] != reference.shape[1]:
        msg = f"rows and reference need the same features, got shapes {rows.shape} and {reference.shape}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if min(len(rows), len(reference)) < LEAST:
        return Shift(len(rows), math.nan, math.nan, math.nan, (math.nan,) * rows.shape[1])
    centre, width = spread_of(reference)
    a, b = ((values - centre) / width for values in (rows.astype(np.float64), reference.astype(np.float64)))
    rng = np.random.default_rng(seed)
    few = [np.nan_to_num(_some(values, rng)) for values in (a, b)]
    discrepancy, p = permutation_test(*few, seed=seed)
    w1 = tuple(wasserstein1(a[:, d], b[:, d]) for d in range(a.shape[1]))
    return Shift(len(rows), discrepancy, p, domain_auc(b, a, seed=seed), w1)


def wasserstein1(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the 1-Wasserstein distance of two samples, (N,) and (M,): the area between their distributions.

    NaN values are left out; NaN where a sample has no other.
    """
    a, b = np.sort(first[~np.isnan(first)]), np.sort(second[~np.isnan(second)])
    if not len(a) or not len(b):
        return math.nan
    both = np.sort(np.concatenate([a, b]))
    inside = both[:-1]
    away = np.searchsorted(a, inside, side="right") / len(a) - np.searchsorted(b, inside, side="right") / len(b)
    return float((np.abs(away) * np.diff(both)).sum())


def mmd2(kernel: NDArray[np.float64], is_first: NDArray[np.bool_]) -> float:
    """Return the unbiased squared maximum mean discrepancy of two samples from the kernel of all their rows.

    Parameters
    ----------
    kernel : ndarray, shape (N + M, N + M)
    is_first : ndarray of bool, shape (N + M,)

    References
    ----------
    Gretton et al. 2012, JMLR 13, 723.
    """
    n, m = int(is_first.sum()), int((~is_first).sum())
    x = is_first.astype(np.float64)
    own = np.diagonal(kernel)
    of_rows = kernel @ x
    within = x @ of_rows - own @ x
    across = (1.0 - x) @ of_rows
    other = kernel.sum() - 2.0 * across - x @ of_rows - own @ (1.0 - x)
    return float(within / (n * (n - 1)) + other / (m * (m - 1)) - 2.0 * across / (n * m))


def permutation_test(
    first: NDArray[np.float64], second: NDArray[np.float64], *, seed: int = 0, permutations: int = _PERMUTATIONS
) -> tuple[float, float]:
    """Return the discrepancy of two samples, (N, D) and (M, D), and the chance of a larger one among like rows.

    The kernel is normal, as wide as the median distance between rows. The p-value is uniform where
    nothing differs: the share of permutations, the identity among them, whose discrepancy is as large.
    """
    rows = np.vstack([first, second])
    square = (rows**2).sum(axis=1)
    distance = np.fmax(square[:, None] + square[None, :] - 2.0 * rows @ rows.T, 0.0)
    median = float(np.median(distance[np.triu_indices(len(rows), 1)]))
    kernel = np.exp(-distance / (median if median > 0.0 else 1.0))
    is_first = np.arange(len(rows)) < len(first)
    found = mmd2(kernel, is_first)
    rng = np.random.default_rng(seed)
    as_large = sum(mmd2(kernel, rng.permutation(is_first)) >= found for _ in range(permutations))
    return found, (1.0 + as_large) / (1.0 + permutations)


def _some(rows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return at most `_AT_MOST` rows."""
    return rows if len(rows) <= _AT_MOST else rows[rng.choice(len(rows), _AT_MOST, replace=False)]
