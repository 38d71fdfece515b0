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
    harmonics = len(solved) // 2
    out[:harmonics] = solved[:harmonics] + 1j * solved[harmonics:]
    return out


def _solve(
    frequency: NDArray[np.float64], points: BandPoints, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return solution and right-hand side of the normal equations, (F, 2 H + 1) each: mean, cosines, sines.

    Products of two terms are sums of terms of up to twice the highest order, so sums over points are
    taken once per order and not once per pair of terms.
    """
    harmonics = harmonics_of(len(points.time_d), most)
    turn = np.exp(2j * np.pi * np.outer(frequency, points.time_d))
    both = np.stack([points.weight, points.weight * points.value], axis=1).astype(np.complex128)
    sums = np.empty((2 * harmonics + 1, len(frequency), 2), dtype=np.complex128)
    sums[0] = both.sum(axis=0)
    power = turn
    for k in range(1, 2 * harmonics + 1):
        sums[k] = power @ both
        power = power * turn
    window, data = sums[:, :, 0].T, sums[: harmonics + 1, :, 1].T
    order = np.arange(harmonics + 1)
    above, away = order[:, None] + order, order - order[:, None]
    plus, minus = window[:, above], window[:, np.abs(away)]
    cos_cos = 0.5 * (minus.real + plus.real)
    sin_sin = 0.5 * (minus.real - plus.real)[:, 1:, 1:]
    cos_sin = 0.5 * (plus.imag + np.sign(away) * minus.imag)[:, :, 1:]
    matrix = np.concatenate(
        [
            np.concatenate([cos_cos, cos_sin], axis=2),
            np.concatenate([cos_sin.transpose(0, 2, 1), sin_sin], axis=2),
        ],
        axis=1,
    )
    matrix += _RIDGE * points.weight.sum() * np.eye(matrix.shape[1])
    right = np.concatenate([data.real, data.imag[:, 1:]], axis=1)
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0], dtype=np.float64), right
