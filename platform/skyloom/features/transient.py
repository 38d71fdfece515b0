"""Features of a transient in each passband: its peak, how long it lasts, its shape in phase windows.

Statistics of all points (`skyloom.features.lightcurve`) do not know time order; these do.
Phases count from one reference time per row, that of its point with the highest
signal-to-noise ratio in any passband, so that the windows of different passbands compare.
They are ours, and simple on purpose: sums and extremes over whole arrays, no fit.
Fluxes must be on a scale whose zero is "no source", as difference imaging gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skyloom.features.lightcurve import Feature
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["PHASE_DAYS", "REFERENCE", "compute", "features_of"]

PHASE_DAYS = (-150.0, -60.0, -30.0, -12.0, -4.0, 4.0, 12.0, 25.0, 45.0, 80.0, 150.0, 300.0)
"""Edges of the phase windows, in observed days from the reference time."""

_DETECTED_SNR = 5.0
_SIGNIFICANT_SNR = 3.0

_FLUX, _DAYS = "{lc.flux}", "d"

REFERENCE = Feature(
    "ref_mjd", _DAYS, "time.epoch", "time of the point with the highest signal-to-noise ratio", "float64"
)
"""The one feature of a row that belongs to no passband."""


def _signed(day: float) -> str:
    return f"{'m' if day < 0 else 'p'}{abs(int(day))}"


_WINDOWS = tuple(
    Feature(
        f"phase_{_signed(low)}_{_signed(high)}",
        _FLUX,
        "stat.mean;{phot}",
        f"error-weighted mean flux {low:g} to {high:g} days from the reference time",
    )
    for low, high in pairwise(PHASE_DAYS)
)

_PEAK = (
    Feature("peak", _FLUX, "stat.max;{phot}", "flux of the brightest point: the one with most flux minus error"),
    Feature("peak_snr", "", "stat.snr", "signal-to-noise ratio of the brightest point"),
    Feature("peak_phase", _DAYS, "time.phase", "time of the brightest point from the reference time"),
    Feature("trough", _FLUX, "stat.min;{phot}", "flux of the faintest point: the one with least flux plus error"),
    Feature("trough_snr", "", "stat.snr", "signal-to-noise ratio of the faintest point; negative below zero flux"),
    Feature("n_det", "", "meta.number;obs", f"points above {_DETECTED_SNR:g} sigma"),
    Feature("det_first", _DAYS, "time.phase", "phase of the first such point"),
    Feature("det_last", _DAYS, "time.phase", "phase of the last such point"),
    Feature("rise_half", _DAYS, "time.interval", "time from the first point above half of the peak to the peak"),
    Feature("fade_half", _DAYS, "time.interval", "time from the peak to the last point above half of it"),
    Feature("centre", _DAYS, "time.phase", "flux-weighted mean phase of the points above 3 sigma"),
    Feature("width", _DAYS, "time.interval", "flux-weighted standard deviation of those phases"),
)


def features_of() -> tuple[Feature, ...]:
    """Return the features of one passband, in the order in which `compute` gives them."""
    return _PEAK + _WINDOWS


def compute(curves: BandLightCurves) -> tuple[Mapping[str, NDArray[np.float32]], NDArray[np.float64]]:
    """Compute the features of N rows in B passbands.

    Parameters
    ----------
    curves : BandLightCurves
        Clean, as `skyloom.timeseries.cleaning.by_band` leaves them; fluxes.

    Returns
    -------
    features : mapping of str to ndarray of float32, shape (B, N)
        One entry per feature of `features_of`; NaN where no point says anything.
    ref_mjd : ndarray of float64, shape (N,)
        The reference time; NaN for a row without points.
    """
    n_bands, n_rows = len(curves.bands), curves.rows
    held = np.flatnonzero(np.diff(curves.offsets))
    segment = np.repeat(np.arange(n_bands * n_rows), np.diff(curves.offsets))
    snr = curves.flux / curves.flux_err
    reference = _reference(curves, snr, held)
    phase = curves.mjd - np.tile(reference, n_bands)[segment]
    points = _Segments(curves, segment, held, phase, snr)
    rows = [*points.peak(), *points.detections(), *points.half(), *points.moments(), *points.windows()]
    names = (feature.name for feature in features_of())
    shape = (n_bands, n_rows)
    return {name: row.astype(np.float32).reshape(shape) for name, row in zip(names, rows, strict=True)}, reference


def _reference(curves: BandLightCurves, snr: NDArray[np.float64], held: NDArray[np.intp]) -> NDArray[np.float64]:
    """Time of the highest signal-to-noise ratio of each row, the first passband's among equals."""
    n_bands, n_rows = len(curves.bands), curves.rows
    best = np.full(n_bands * n_rows, -np.inf)
    when = np.full(n_bands * n_rows, np.nan)
    if len(held):
        at = _first_maximum(snr, curves.offsets, held)
        best[held], when[held] = snr[at], curves.mjd[at]
    band = best.reshape(n_bands, n_rows).argmax(axis=0)
    return np.asarray(when.reshape(n_bands, n_rows)[band, np.arange(n_rows)])


def _first_maximum(
    values: NDArray[np.float64], offsets: NDArray[np.int64], held: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Place of the first largest value of each non-empty segment."""
    start = offsets[held]
    top = np.maximum.reduceat(values, start)
    equal = np.flatnonzero(values == np.repeat(top, offsets[held + 1] - start))
    return equal[np.searchsorted(equal, start)]


class _Segments:
    """The points of one batch, with what every group of features needs of them."""

    def __init__(
        self,
        curves: BandLightCurves,
        segment: NDArray[np.intp],
        held: NDArray[np.intp],
        phase: NDArray[np.float64],
        snr: NDArray[np.float64],
    ) -> None:
        self.curves, self.segment, self.held, self.phase, self.snr = curves, segment, held, phase, snr
        self.size = len(curves.offsets) - 1
        self.bright = np.flatnonzero(snr > _SIGNIFICANT_SNR)
        if len(held):
            self.top = _first_maximum(curves.flux - curves.flux_err, curves.offsets, held)
            self.low = _first_maximum(-(curves.flux + curves.flux_err), curves.offsets, held)

    def _spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.full(self.size, np.nan)
        out[self.held] = values
        return out

    def _sum(self, at: NDArray[np.intp], values: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Sum of `values`, one per point of `at`, by segment; without them, the number of points."""
        # bincount adds in the order of the points: the same sum wherever the row lies.
        return np.bincount(self.segment[at], values, minlength=self.size).astype(np.float64)

    def _ends(self, at: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Phase of the first and of the last of the points `at` of each segment."""
        first, last = np.full(self.size, np.nan), np.full(self.size, np.nan)
        # Points ascend in time: the last one written stays.
        segment, phase = self.segment[at], self.phase[at]
        last[segment] = phase
        first[segment[::-1]] = phase[::-1]
        return first, last

    def peak(self) -> list[NDArray[np.float64]]:
        if not len(self.held):
            return [np.full(self.size, np.nan) for _ in range(5)]
        at, low = self.top, self.low
        values = (self.curves.flux[at], self.snr[at], self.phase[at], self.curves.flux[low], self.snr[low])
        return [self._spread(value) for value in values]

    def detections(self) -> list[NDArray[np.float64]]:
        at = self.bright[self.snr[self.bright] > _DETECTED_SNR]
        return [self._sum(at), *self._ends(at)]

    def half(self) -> list[NDArray[np.float64]]:
        if not len(self.held):
            return [np.full(self.size, np.nan) for _ in range(2)]
        peak, when = self._spread(self.curves.flux[self.top]), self._spread(self.phase[self.top])
        at = self.bright[self.curves.flux[self.bright] > 0.5 * peak[self.segment[self.bright]]]
        first, last = self._ends(at)
        return [when - first, last - when]

    def moments(self) -> list[NDArray[np.float64]]:
        at = self.bright
        weight, phase = self.curves.flux[at], self.phase[at]
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self._sum(at, weight)
            centre = self._sum(at, weight * phase) / total
            variance = self._sum(at, weight * np.square(phase - centre[self.segment[at]])) / total
        return [centre, np.sqrt(variance)]

    def windows(self) -> list[NDArray[np.float64]]:
        n_windows = len(PHASE_DAYS) - 1
        window = np.searchsorted(np.array(PHASE_DAYS), self.phase, side="right") - 1
        inside = (window >= 0) & (window < n_windows)
        key = window[inside] * np.int64(self.size) + self.segment[inside]
        weight = 1.0 / np.square(self.curves.flux_err[inside])
        with np.errstate(divide="ignore", invalid="ignore"):
            norm = np.bincount(key, weight, minlength=n_windows * self.size)
            total = np.bincount(key, weight * self.curves.flux[inside], minlength=n_windows * self.size)
            return list((total / norm).reshape(n_windows, self.size))
