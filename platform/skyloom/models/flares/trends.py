"""The slow light of a star: running medians, and a running polynomial that leaves out what stands out.

A median follows whatever fills half of its window: a short one takes a long flare away, a long one leaves the
waves of a star that turns quickly. A polynomial bends with the waves, and flares are left out of its fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["polynomial_trend", "running_trend"]

_DEGREE = 5
_PASSES = 6
_CUT = 3.0
"""Local sigmas beyond which a cadence, and its neighbours, are left out of the next fit."""
_SCATTER_CADENCES, _STRIDE = 301, 10
"""The local sigma is a running median over so many cadences, of every tenth."""
_MAD = 1.482602218505602

Floats = NDArray[np.float64]


def running_trend(flux: Floats, offsets: NDArray[np.int64], width: int) -> Floats:
    """Return the running median, and that of what it leaves.

    Parameters
    ----------
    flux : ndarray, shape (G,)
    offsets : ndarray of int64, shape (S + 1,)
        Of the stretches: none sees another one.
    width : int
        Cadences, odd.
    """
    first = _running_median(flux, offsets, width)
    return first + _running_median(flux - first, offsets, width)


def polynomial_trend(
    flux: Floats, offsets: NDArray[np.int64], width: int, *, start: Floats, noise: float
) -> Floats:
    """Return a polynomial of degree 5 about each node, fitted to what does not stand out.

    Cadences that stand out by 3 sigma of what the last pass left, and their neighbours, are put on its trend
    before the next fit (Savitzky & Golay 1964). The sigma is a local one, never below the noise: where the
    trend does not follow the star yet, nothing is left out.

    Parameters
    ----------
    flux : ndarray, shape (G,)
    offsets : ndarray of int64, shape (S + 1,)
    width : int
        Cadences, odd, no more than the shortest stretch has.
    start : ndarray, shape (G,)
        A trend to begin with.
    noise : float
        Scatter from cadence to cadence.
    """
    from scipy.signal import savgol_filter

    parts = []
    for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        part, trend = flux[a:b], start[a:b]
        for _ in range(_PASSES):
            left = part - trend
            out = np.abs(left) > _CUT * np.maximum(noise, _local_scatter(left))
            out[1:-1] = out[1:-1] | out[:-2] | out[2:]
            trend = savgol_filter(np.where(out, trend, part), width, _DEGREE)
        parts.append(trend)
    return np.concatenate(parts)


def _local_scatter(left: Floats) -> Floats:
    """Return the running median of sizes, as a standard deviation."""
    from scipy.ndimage import median_filter

    some = np.abs(left[::_STRIDE])
    width = min(_SCATTER_CADENCES // _STRIDE, len(some)) // 2 * 2 + 1
    scatter = median_filter(some, size=width, mode="reflect")
    return np.asarray(_MAD * np.interp(np.arange(len(left)), np.arange(0, len(left), _STRIDE), scatter))


def _running_median(flux: Floats, offsets: NDArray[np.int64], width: int) -> Floats:
    """Return the median of `width` nodes about each node, stretch by stretch, mirrored at the ends."""
    from scipy.ndimage import median_filter

    parts = [
        median_filter(flux[a:b], size=min(width, 2 * ((b - a - 1) // 2) + 1), mode="reflect")
        for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    return np.concatenate(parts)
