"""Light curves folded on a period: phases, gaps, and bins of phase.

Everything works on whole arrays, point by point in the order of the points: a row's numbers do not
depend on the rows beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["Folded", "first_times", "fold", "largest_gap", "phase_gaps", "phases"]


def phases(mjd: NDArray[np.float64], period_d: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the phase of each time, in [0, 1): the fraction of ``mjd / period_d``.

    Times should count from an origin near them: float64 keeps 1e-11 d of an MJD, and loses a phase of
    1e-11 / `period_d` by it.
    """
    cycles = np.asarray(mjd / period_d, dtype=np.float64)
    phase = cycles - np.floor(cycles)
    return np.where(phase >= 1.0, 0.0, phase)  # a tiny negative number plus one rounds to one


def phase_gaps(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each phase to the next one round the circle.

    Parameters
    ----------
    phase : ndarray of float64, shape (P,)
        Ascending, in [0, 1).

    Returns
    -------
    ndarray of float64, shape (P,)
        They add to 1: the last one leads back to the first phase, and one phase alone has a gap of 1.
    """
    if not len(phase):
        return np.empty(0)
    return np.diff(phase, append=phase[0] + 1.0)


def first_times(curves: BandLightCurves) -> NDArray[np.float64]:
    """Return the time of the first point of each row in any passband, shape (N,); NaN where there is none."""
    first = np.full(curves.counts.shape, np.inf)
    held = curves.counts > 0
    first[held] = curves.mjd[curves.offsets[:-1].reshape(first.shape)[held]]
    earliest = first.min(axis=0, initial=np.inf)
    return np.where(np.isfinite(earliest), earliest, np.nan)


def _point_phases(
    curves: BandLightCurves, period_d: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return segment and phase of each point; phase 0 is the first point of the row."""
    segment = np.repeat(np.arange(curves.counts.size), curves.counts.ravel())
    row = segment % max(1, curves.rows)
    since = curves.mjd[: len(row)] - first_times(curves)[row]
    return segment, phases(since, period_d[row])


def largest_gap(curves: BandLightCurves, period_d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest phase that no point of any passband falls in, shape (N,): 1 is one point alone.

    Rows without points have NaN.
    """
    segment, phase = _point_phases(curves, period_d)
    row = segment % max(1, curves.rows)
    order = np.lexsort((phase, row))
    row, phase = row[order], phase[order]
    count = np.bincount(row, minlength=curves.rows)
    ends = np.cumsum(count)
    gap = np.diff(phase, append=0.0)
    held = count > 0
    gap[ends[held] - 1] = phase[(ends - count)[held]] + 1.0 - phase[ends[held] - 1]
    out = np.full(curves.rows, np.nan)
    if len(gap):
        out[held] = np.maximum.reduceat(gap, (ends - count)[held])
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """N light curves in B passbands and L equal bins of phase.

    Attributes
    ----------
    value : ndarray of float32, shape (N, B, L)
        Brightness less the mean of its passband, in units of the scatter of the row (all passbands
        together); in a bin without a point, what lies on the straight line between its neighbours with one.
    trust : ndarray of float32, shape (N, B, L)
        ``1 / (1 + e²)``, with e the error of the bin in units of that scatter; 0 in a bin without a point.
    """

    value: NDArray[np.float32]
    trust: NDArray[np.float32]


def fold(curves: BandLightCurves, period_d: NDArray[np.float64], bins: int) -> Folded:
    """Fold each light curve on its period and average it in bins of phase.

    Parameters
    ----------
    curves : BandLightCurves
        Clean, as `skyloom.timeseries.cleaning.by_band` leaves them.
    period_d : ndarray of float64, shape (N,)
        Positive and finite.
    bins : int
        L.

    Returns
    -------
    Folded
        Phase 0 is the first point of the row in any passband: the same light curve counted from another
        day gives the same bins. Points of a bin are weighted by their inverse squared errors. A passband
        without points is zero throughout, and so is a row without scatter.

    Raises
    ------
    SpecError
        If `bins` is not positive, or a period is not.
    """
    if bins < 1 or not (np.isfinite(period_d) & (period_d > 0)).all():
        msg = "folding needs at least one bin, and periods that are positive and finite"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, bins=bins)
    shape = (len(curves.bands), curves.rows, bins)
    segment, phase = _point_phases(curves, period_d)
    weight = 1.0 / curves.flux_err[: len(segment)] ** 2
    flux = curves.flux[: len(segment)]
    n_segments = curves.counts.size
    mean = _ratio(np.bincount(segment, weight * flux, n_segments), np.bincount(segment, weight, n_segments))
    away = flux - mean[segment]
    row = segment % max(1, curves.rows)
    variance = _ratio(np.bincount(row, weight * away**2, curves.rows), np.bincount(row, weight, curves.rows))
    place = segment * bins + np.minimum((phase * bins).astype(np.int64), bins - 1)
    total = np.bincount(place, weight, n_segments * bins).reshape(shape)
    average = _ratio(np.bincount(place, weight * away, n_segments * bins).reshape(shape), total)
    spread = np.sqrt(variance)[None, :, None]
    value = _ratio(average, np.broadcast_to(spread, shape))
    filled = total > 0
    trust = np.where(filled, _ratio(total * spread**2, 1.0 + total * spread**2), 0.0)
    return Folded(
        value=_bridged(value, filled).transpose(1, 0, 2).astype(np.float32),
        trust=trust.transpose(1, 0, 2).astype(np.float32),
    )


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Return above / below, 0 where below is 0."""
    return np.asarray(np.divide(above, below, out=np.zeros(above.shape), where=below > 0))


def _bridged(value: NDArray[np.float64], filled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill empty bins along straight lines round the circle; zero where all are empty."""
    bins = value.shape[-1]
    here = np.arange(bins)
    twice = np.concatenate([filled, filled], axis=-1)
    at = np.arange(2 * bins)
    before = np.maximum.accumulate(np.where(twice, at, -1), axis=-1)[..., bins:] - bins
    after = np.minimum.accumulate(np.where(twice, at, 4 * bins)[..., ::-1], axis=-1)[..., ::-1][..., :bins]
    some = filled.any(axis=-1, keepdims=True)
    before, after = np.where(some, before, 0), np.where(some, after, 0)
    left = np.take_along_axis(value, before % bins, axis=-1)
    right = np.take_along_axis(value, after % bins, axis=-1)
    share = (here - before) / np.maximum(after - before, 1)
    between = np.where(before == after, left, left + (right - left) * share)
    return np.where(filled, value, np.where(some, between, 0.0))
