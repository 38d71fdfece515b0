"""The string length of a folded light curve: what a path along its points in order of phase goes up and down.

Where a light curve repeats, neighbours in phase are alike and the string is short. It fits no shape, and so
is another opinion than a Fourier series about which of several periods is right; it is noisier, and slower.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["shortest_string", "string_length"]

_OVERSAMPLING = 50
"""Frequencies per 1 / time span: a string changes wherever two points change places."""
_REACH = 12
"""Steps to either side of a frequency that are tried."""


def string_length(
    time_d: NDArray[np.float64], value: NDArray[np.float64], frequency: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of the differences between neighbours in phase, round the circle, at each frequency.

    Parameters
    ----------
    time_d, value : ndarray of float64, shape (P,)
        Times from an origin near them.
    frequency : ndarray of float64, shape (F,)
        Per day.

    Returns
    -------
    ndarray of float64, shape (F,)
        In the unit of `value`; at least twice its range, and the same from whatever time phase is counted.

    References
    ----------
    Lafler & Kinman 1965 (ads:1965ApJS...11..216L) for squared differences, Dworetsky 1983
    (ads:1983MNRAS.203..917D), whose string has a part along phase, too.
    """
    cycles = np.outer(frequency, time_d)
    order = np.argsort(cycles - np.floor(cycles), axis=1, kind="stable")
    along = value[order]
    return np.asarray(np.abs(along - np.roll(along, 1, axis=1)).sum(axis=1))


def shortest_string(
    time_d: NDArray[np.float64], value: NDArray[np.float64], period_d: float, *, multiples: int, longest_d: float
) -> float:
    """Return the shortest string near a period and its multiples, up to a longest period.

    A multiple folds as well as the period itself, and a search by strings finds the one that noise favours.

    Parameters
    ----------
    time_d, value : ndarray of float64, shape (P,)
        Ascending times.
    period_d : float
    multiples : int
        The period times 1, 2, ... up to this are tried.
    longest_d : float

    Returns
    -------
    float
        Infinite where even the period is longer than `longest_d`.
    """
    step = 1.0 / (_OVERSAMPLING * max(float(np.ptp(time_d)), 1e-300))
    tried = []
    for n in range(1, multiples + 1):
        if n * period_d <= longest_d:
            reach = math.ceil(_REACH / n)
            tried.append(1.0 / (n * period_d) + step * np.arange(-reach, reach + 1))
    if not tried:
        return math.inf
    return float(string_length(time_d, value, np.concatenate(tried)).min())
