"""From probabilities of cadences to flares: when, how high, how long, how much light.

Cadences above a threshold that stand close are one event. Around it a parabola is laid through the quiet
cadences, and what lies above is fitted by a Gaussian rise and an exponential decay (as stella does, ads:
2020AJ....160..219F). Departures: the reference judges peaks by the scatter of the whole light curve and drops
those without a bright second cadence; here single spikes are left to the networks, which have learnt them,
and an event must stand `Config.min_sigma` above the noise. The area is the sum of what was seen, and the
fit's for what came after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.models.flares.curves import Prepared

__all__ = ["Events", "area", "find_events", "flare_shape", "spans"]

_SIDE = 45
"""Cadences on each side of an event through which the parabola is laid."""
_BEFORE, _AFTER = 3, 10
"""Cadences before and after an event that are neither quiet nor counted as seen."""
_MOST_FITTED = 400
_RISE_D, _FALL_D = (1e-4, 0.1), (5e-4, 0.3)
_SECONDS = 86400.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """E flares of one light curve, by time; every array has shape (E,).

    Attributes
    ----------
    first, last : ndarray of int64
        Nodes between which the probability is above the threshold.
    peak : ndarray of int64
        Node of the brightest cadence.
    time_mjd, amp, rise_d, fall_d, ed_s, ed_err_s : ndarray of float64
        As the columns have them.
    p, p_sd : ndarray of float64
        Highest mean of the ensemble, and the spread there.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    peak: NDArray[np.int64]
    time_mjd: Floats
    amp: Floats
    rise_d: Floats
    fall_d: Floats
    ed_s: Floats
    ed_err_s: Floats
    p: Floats
    p_sd: Floats


def flare_shape(t: Floats, amp: float, peak: float, rise: float, fall: float) -> Floats:
    """Return a Gaussian rise and an exponential decay; times in one unit."""
    away = t - peak
    up = np.exp(-0.5 * (np.minimum(away, 0.0) / rise) ** 2)
    return np.asarray(amp * up * np.exp(-np.maximum(away, 0.0) / fall))


def area(amp: float, rise: float, fall: float) -> float:
    """Return the area under `flare_shape`, in the unit of its times."""
    return amp * (rise * math.sqrt(math.pi / 2.0) + fall)


def spans(hot: NDArray[np.bool_], offsets: NDArray[np.int64], join: int) -> list[tuple[int, int]]:
    """Return first and last node of runs of hot nodes, joined over at most `join`, never over a gap."""
    nodes = np.flatnonzero(hot)
    if not len(nodes):
        return []
    stretch = np.searchsorted(offsets, nodes, side="right")
    new = (np.diff(nodes) > join) | (np.diff(stretch) > 0)
    first = nodes[np.concatenate(([True], new))]
    last = nodes[np.concatenate((new, [True]))]
    return list(zip(first.tolist(), last.tolist(), strict=True))


def find_events(
    curve: Prepared, p: Floats, p_sd: Floats, *, threshold: float, join: int, min_sigma: float
) -> Events:
    """Find the flares of one light curve.

    Parameters
    ----------
    curve : Prepared
    p, p_sd : ndarray, shape (G,)
        Mean and spread of the ensemble at every node; NaN where none was computed.
    threshold, join, min_sigma
        As in `skyloom.models.flares.columns.Config`.
    """
    hot = np.greater_equal(p, threshold, where=~np.isnan(p), out=np.zeros(len(p), dtype=bool)) & curve.seen
    rows = []
    for first, last in spans(hot, curve.offsets, join):
        row = _measured(curve, hot, (first, last), min_sigma)
        if row is not None:
            top = first + int(np.nanargmax(p[first : last + 1]))
            rows.append((first, last, *row, float(p[top]), float(p_sd[top])))
    table = np.array(rows, dtype=np.float64).reshape(-1, 11)
    whole = table[:, :3].astype(np.int64)
    return Events(*whole.T, *table[:, 3:].T)


def _measured(
    curve: Prepared, hot: NDArray[np.bool_], span: tuple[int, int], min_sigma: float
) -> tuple[float, ...] | None:
    """Return peak, time, amplitude, rise, fall, duration and its error; None if it does not stand out."""
    first, last = span
    s = int(np.searchsorted(curve.offsets, first, side="right")) - 1
    low, high = int(curve.offsets[s]), int(curve.offsets[s + 1])
    after = max(_AFTER, last - first)
    start, stop = max(low, first - _SIDE), min(high, last + 1 + after + _SIDE)
    nodes = np.arange(start, stop)
    quiet = curve.seen[start:stop] & ~hot[start:stop] & ((nodes < first - _BEFORE) | (nodes > last + after))
    x = (nodes - first) / float(_SIDE)
    flux = curve.flux[start:stop] - _parabola(x, curve.flux[start:stop], quiet, curve.noise)
    inside = curve.seen[start:stop] & (nodes >= first) & (nodes <= last)
    peak = int(np.argmax(np.where(inside, flux, -np.inf)))
    amp = float(flux[peak])
    if not amp >= max(min_sigma * curve.noise, 1e-300):
        return None
    cadence = curve.cadence_d
    counted = curve.seen[start:stop] & (nodes >= first - _BEFORE) & (nodes <= last)
    usable = curve.seen[start:stop] & (~hot[start:stop] | ((nodes >= first) & (nodes <= last)))
    rise, fall = _fitted(flux, peak, usable, cadence)
    seen = float(flux[counted].mean()) * (last - first + 1 + _BEFORE) * cadence
    end = (last + 0.5 - nodes[peak]) * cadence
    duration = seen + amp * fall * math.exp(-end / fall)
    error = curve.noise * math.sqrt(last - first + 1 + _BEFORE) * cadence
    return nodes[peak], float(curve.mjd[nodes[peak]]), amp, rise, fall, _SECONDS * duration, _SECONDS * error


def _parabola(x: Floats, flux: Floats, quiet: NDArray[np.bool_], noise: float) -> Floats:
    """Return a parabola through the quiet nodes, those far off left out of a second one; or their median."""
    kept, curve = quiet, np.full(len(x), float(np.median(flux[quiet] if quiet.any() else flux)))
    for _ in range(2):
        if kept.sum() < 8:
            return curve
        curve = np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyfit(x[kept], flux[kept], 2))
        kept = quiet & (np.abs(flux - curve) < 4.0 * noise)
    return np.asarray(curve)


def _fitted(flux: Floats, peak: int, usable: NDArray[np.bool_], cadence: float) -> tuple[float, float]:
    """Return rise and fall in days: bounded least squares from where the flux first falls to 1/e."""
    from scipy.optimize import least_squares

    part = np.arange(max(0, peak - 30), min(len(flux), peak + _MOST_FITTED))
    part = part[usable[part]]
    t, y = (part - peak) * cadence, flux[part] / flux[peak]
    low = np.array([0.5, -cadence, _RISE_D[0], _FALL_D[0]])
    high = np.array([2.0, cadence, _RISE_D[1], _FALL_D[1]])
    below = np.flatnonzero(y[t > 0] < math.exp(-1.0))
    decay = (float(below[0]) + 1.0 if len(below) else 10.0) * cadence
    guess = np.clip(np.array([1.0, 0.0, cadence, decay]), low * 1.001, high * 0.999)
    guess[1] = 0.0

    def away(x: Floats) -> Floats:
        return np.asarray(flare_shape(np.asarray(t, dtype=np.float64), *x.tolist()) - y)

    found = least_squares(
        away, guess, bounds=(low, high), x_scale=np.array([1.0, cadence, cadence, decay]), max_nfev=60
    )
    return float(found.x[2]), float(found.x[3])
