"""Fourier series fitted to light curves at given frequencies, each passband with its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BandPoints", "coefficients", "harmonics_of", "series_chi2"]

_RIDGE = 1e-6
"""Of the summed weights, on the diagonal: keeps frequencies solvable at which points share a phase."""
_POINTS_PER_HARMONIC = 4


class BandPoints(NamedTuple):
    """One passband of one light curve: times, brightness less its mean, inverse variances, shape (P,) each."""

    time_d: NDArray[np.float64]
    value: NDArray[np.float64]
    weight: NDArray[np.float64]


def harmonics_of(points: int, most: int) -> int:
    """Return the number of harmonics that so many points are given: one per 4 beyond the first, up to `most`."""
    return max(0, min(most, (points - 1) // _POINTS_PER_HARMONIC))


def series_chi2(
    frequency: NDArray[np.float64], bands: Sequence[BandPoints], most: int
) -> tuple[NDArray[np.float64], int]:
    """Return chi-square of the best Fourier series at each frequency, and its number of coefficients.

    Parameters
    ----------
    frequency : ndarray of float64, shape (F,)
        Per day.
    bands : sequence of BandPoints
    most : int
        Harmonics, where there are points enough (`harmonics_of`).
    """
    chi2, free = np.zeros(len(frequency)), 0
    for points in bands:
        solved, right = _solve(frequency, points, most)
        chi2 += (points.weight * points.value**2).sum() - (solved * right).sum(axis=1)
        free += solved.shape[1]
    return np.maximum(chi2, 0.0), free


def coefficients(frequency: float, points: BandPoints, most: int) -> NDArray[np.complex128]:
    """Return the series at one frequency, shape (most,): harmonic k is ``Re(a_k exp(-2 pi i k f t))``.

    NaN where there are not points enough.
    """
    solved = _solve(np.array([frequency]), points, most)[0][0, 1:]
    out = np.full(most, np.nan + 0j)
    out[: len(solved) // 2] = solved[0::2] + 1j * solved[1::2]
    return out


def _solve(
    frequency: NDArray[np.float64], points: BandPoints, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return solution and right-hand side of the normal equations, (F, 2 H + 1) each."""
    harmonics = harmonics_of(len(points.time_d), most)
    turn = np.exp(2j * np.pi * np.outer(frequency, points.time_d))
    # Terms before points, so that each harmonic is written into memory that lies together.
    terms = np.empty((len(frequency), 2 * harmonics + 1, len(points.time_d)))
    terms[:, 0] = 1.0
    power = turn
    for k in range(harmonics):
        terms[:, 2 * k + 1], terms[:, 2 * k + 2] = power.real, power.imag
        power = power * turn
    weighted = terms * points.weight
    matrix = weighted @ terms.transpose(0, 2, 1)
    matrix += _RIDGE * points.weight.sum() * np.eye(matrix.shape[1])
    right = weighted @ points.value
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0], dtype=np.float64), right
