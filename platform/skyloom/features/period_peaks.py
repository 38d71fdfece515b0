"""Peaks of a periodogram: which are worth a Fourier series, which of these is best, and how well it is known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from skyloom.features.harmonics import BandPoints, series_chi2

__all__ = ["PROFILE_D", "candidates", "decide", "f_statistic", "profile", "refine"]

PROFILE_D = (0.0, 0.25, 0.45, 1.1, 3.0, 10.0, 40.0, 150.0, math.inf)
"""Bounds of the ranges of periods, in days, whose highest power `Periods.profile` has."""

_MOST = 1e9
"""Where a fit is exact, quotients of chi-square have no bound of their own."""
_DAILY = (1.0, -1.0, 2.0, -2.0)
"""Aliases of the highest peak that are always tried, per day."""
_COARSE = np.linspace(-0.3, 0.3, 7)
_FINE = np.linspace(-0.1, 0.1, 21)
_FINEST = np.linspace(-0.01, 0.01, 5)
"""Offsets from a candidate, in units of 1 / time span."""


def f_statistic(chi2: float, chi2_more: float, free: int, free_more: int, points: int) -> float:
    """Return how much better a fit is with more coefficients than chance makes it; 0 where it has no more."""
    more, left = free_more - free, points - free_more
    if more <= 0 or left <= 0:
        return 0.0
    return min(max(0.0, chi2 - chi2_more) * left / (more * max(chi2_more, 1e-300)), _MOST)


def candidates(
    power: NDArray[np.float64], first: float, step: float, *, most: int, samples_per_peak: int
) -> NDArray[np.float64]:
    """Return the frequencies of the highest peaks and of the daily aliases of the highest one."""
    inner = (power[1:-1] >= power[:-2]) & (power[1:-1] > power[2:])
    peaks = np.flatnonzero(np.concatenate([[power[0] > power[1]], inner, [power[-1] > power[-2]]]))
    if not len(peaks):
        peaks = np.array([int(power.argmax())])
    if len(peaks) > most:
        peaks = peaks[power[peaks] >= np.partition(power[peaks], -most)[-most]]
    highest = peaks[np.argsort(-power[peaks], kind="stable")[:most]]
    aliases = []
    for by in _DAILY:
        centre = round((abs(first + step * highest[0] + by) - first) / step)
        low, high = max(0, centre - samples_per_peak), centre + samples_per_peak + 1
        if low < min(high, len(power)):
            aliases.append(low + int(power[low:high].argmax()))
    return first + step * np.unique(np.concatenate([highest, np.array(aliases, dtype=np.int64)]))


def profile(power: NDArray[np.float64], first: float, step: float) -> NDArray[np.float64]:
    """Return the highest power in each range of periods."""
    bounds = np.array([math.inf, *(1.0 / edge for edge in PROFILE_D[1:-1]), 0.0])
    places = np.clip(np.ceil((bounds - first) / step), 0, len(power)).astype(np.int64)
    ranges = zip(places[1:], places[:-1], strict=True)
    return np.array([power[low:high].max(initial=0.0) for low, high in ranges])


def decide(
    candidates: NDArray[np.float64], bands: tuple[BandPoints, ...], harmonics: int, span: float
) -> tuple[float, float, float]:
    """Return the best frequency near the candidates, the next best period, and chi-square's quotient."""
    tried = np.maximum(candidates[:, None] + _COARSE / span, 0.5 / span)
    chi2 = series_chi2(tried.ravel(), bands, harmonics)[0].reshape(tried.shape)
    place = chi2.argmin(axis=1)
    of_each = chi2[np.arange(len(chi2)), place]
    frequency = tried[np.arange(len(tried)), place]
    best = int(of_each.argmin())
    others = np.abs(frequency - frequency[best]) > 1.0 / span
    if not others.any():
        return float(frequency[best]), math.inf, math.inf
    second = int(np.where(others, of_each, np.inf).argmin())
    return (
        float(frequency[best]),
        1.0 / float(frequency[second]),
        min(float(of_each[second] / max(of_each[best], 1e-300)), _MOST),
    )


def refine(
    frequency: float, bands: tuple[BandPoints, ...], harmonics: int, span: float, n_points: int
) -> tuple[float, float, float, int]:
    """Return the best frequency, its error, its chi-square and the number of coefficients."""
    for offsets in (_FINE, _FINEST):
        tried = np.maximum(frequency + offsets / span, 0.25 / span)
        chi2, free = series_chi2(tried, bands, harmonics)
        frequency = float(tried[chi2.argmin()])
    tried = frequency + _FINEST / span
    chi2, free = series_chi2(tried, bands, harmonics)
    curve, slope, least = np.polyfit(_FINEST / span, chi2, 2)
    away = -slope / (2.0 * curve) if curve > 0.0 else 0.0
    away = min(max(away, -0.01 / span), 0.01 / span)
    chi2_best = (
        float(min(chi2.min(), least + slope * away + curve * away**2)) if curve > 0.0 else float(chi2.min())
    )
    chi2_best = max(chi2_best, 0.0)
    scale = chi2_best / max(1, n_points - free - 1)
    error = math.sqrt(scale / curve) if curve > 0.0 else math.inf
    return frequency + away, min(error, 1.0 / span), chi2_best, free
