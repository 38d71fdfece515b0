"""The period of a variable star from a light curve in several passbands, and how sure it is.

First a Lomb-Scargle periodogram of all passbands (`skyloom.features.periodogram`); then Fourier series
at its highest peaks, which tell a saw-tooth from its alias; then the best of them, refined. Light
curves come many in a call; each is computed alone, so that its numbers do not depend on the others.

Aliases: a telescope that sees a star once a night cannot tell f from f + 1 per day by a sinusoid
alone. The aliases by one and two per day of the highest peak are always among the candidates, the
Fourier series decides, `Periods.margin` says by how much, and `Periods.second_d` what else it might be.

Source: VanderPlas 2018 (ads:2018ApJS..236...16V) for the practice, VanderPlas & Ivezic 2015
(ads:2015ApJ...812...18V) for several passbands: here each has its own phase and amplitude.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.features.harmonics import BandPoints, coefficients, series_chi2
from skyloom.features.period_peaks import PROFILE_D, candidates, decide, f_statistic, profile, refine
from skyloom.features.periodogram import chi2_reduction, log10_false_alarm
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["MIN_BAND_POINTS", "PeriodSettings", "PeriodStatus", "Periods", "find_periods"]

MIN_BAND_POINTS = 5
"""Points that a passband needs to take part."""

_NUMBERS = ("period_d", "error_d", "second_d", "margin", "power", "log10_fap", "explained", "double_f")


class PeriodStatus(IntEnum):
    """Whether a light curve has a period, and why not."""

    FOUND = 0
    FEW_POINTS = 1
    """Too few points in passbands that have at least `MIN_BAND_POINTS`."""
    CONSTANT = 2
    """No passband varies."""
    SHORT = 3
    """The time span is no longer than the shortest period looked for."""
    LONG = 4
    """The time span needs more frequencies than the settings allow: a time far off, more often than not."""


@dataclass(frozen=True, slots=True)
class PeriodSettings:
    """What is searched, and how finely. The longest period is the time span of the light curve."""

    shortest_d: float = 0.1
    """Shortest period looked for."""
    samples_per_peak: int = 5
    """Frequencies per 1 / time span."""
    candidates: int = 24
    """Highest peaks that Fourier series are fitted at."""
    harmonics: int = 4
    """Of these series."""
    error_floor: float = 0.1
    """Added in quadrature to the errors, in units of the passband's scatter: no point decides alone."""
    min_points: int = 15
    """Points, all passbands together."""
    max_frequencies: int = 1_000_000

    def __post_init__(self) -> None:
        counts = (self.samples_per_peak, self.candidates, self.harmonics, self.min_points, self.max_frequencies)
        if not self.shortest_d > 0.0 or min(counts) < 1 or not self.error_floor >= 0.0:
            msg = f"shortest_d and all counts are positive and error_floor is not negative, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Periods of N light curves; NaN where `status` is not ``FOUND``.

    Attributes
    ----------
    status : ndarray of uint8, shape (N,)
        `PeriodStatus`.
    period_d, error_d : ndarray of float64, shape (N,)
        Period in days, and its 1-sigma error from the curvature of chi-square: right where the period is
        the true one and no alias of it.
    second_d : ndarray of float64, shape (N,)
        The best period among the other peaks; infinite where there is no other.
    margin : ndarray of float64, shape (N,)
        Chi-square of the second over that of the best, at least 1: near 1 they cannot be told apart. Infinite
        where there is no other.
    power : ndarray of float64, shape (N,)
        Highest standard normalised power of the periodogram, in [0, 1].
    log10_fap : ndarray of float64, shape (N,)
        Decimal logarithm of the chance that noise alone had such a peak.
    explained : ndarray of float64, shape (N,)
        Share of chi-square that the Fourier series at the period explains, in [0, 1].
    double_f : ndarray of float64, shape (N,)
        F statistic of twice the period (with twice the harmonics) against the period: large where
        every other minimum differs, as in most eclipsing binaries.
    daily : ndarray of bool, shape (N,)
        Whether the frequency is a whole number per day within the resolution: more likely the
        telescope's rhythm than the star's.
    profile : ndarray of float64, shape (N, 8)
        Highest power among the periods between neighbours of `PROFILE_D`; 0 where none is looked for.
    series : ndarray of complex128, shape (N, B, harmonics)
        Of `skyloom.features.harmonics.coefficients`, phases counted from the middle of the time span.
    """

    status: NDArray[np.uint8]
    period_d: NDArray[np.float64]
    error_d: NDArray[np.float64]
    second_d: NDArray[np.float64]
    margin: NDArray[np.float64]
    power: NDArray[np.float64]
    log10_fap: NDArray[np.float64]
    explained: NDArray[np.float64]
    double_f: NDArray[np.float64]
    daily: NDArray[np.bool_]
    profile: NDArray[np.float64]
    series: NDArray[np.complex128]


def find_periods(curves: BandLightCurves, settings: PeriodSettings | None = None) -> Periods:
    """Find the period of each light curve.

    Parameters
    ----------
    curves : BandLightCurves
        N rows, clean, as `skyloom.timeseries.cleaning.by_band` leaves them.
    settings : PeriodSettings, optional

    Returns
    -------
    Periods
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    chosen = settings or PeriodSettings()
    n, n_bands = curves.rows, len(curves.bands)
    numbers = np.full((len(_NUMBERS), n), np.nan)
    status = np.zeros(n, dtype=np.uint8)
    daily = np.zeros(n, dtype=bool)
    profile = np.full((n, len(PROFILE_D) - 1), np.nan)
    series = np.full((n, n_bands, chosen.harmonics), np.nan + 0j)
    with threadpool_limits(1, user_api="blas"):  # a worker has one core; and sums keep one order
        for row in range(n):
            found = _one(curves, row, chosen)
            if isinstance(found, PeriodStatus):
                status[row] = found
                continue
            numbers[:, row], daily[row], profile[row], held = found
            for band, of_band in held.items():
                series[row, band] = of_band
    return Periods(
        status=status,
        **dict(zip(_NUMBERS, numbers, strict=True)),
        daily=daily,
        profile=profile,
        series=series,
    )


_Found = tuple[tuple[float, ...], bool, NDArray[np.float64], dict[int, NDArray[np.complex128]]]


def _one(curves: BandLightCurves, row: int, settings: PeriodSettings) -> _Found | PeriodStatus:
    """Search one row; times are counted from the middle of its span."""
    held = _points(curves, row, settings.error_floor)
    n_points = sum(len(points.time_d) for points in held.values())
    if n_points < settings.min_points:
        return PeriodStatus.FEW_POINTS
    begin = min(points.time_d[0] for points in held.values())
    span = max(points.time_d[-1] for points in held.values()) - begin
    if not any(np.ptp(points.value) > 0.0 for points in held.values()):
        return PeriodStatus.CONSTANT
    if not span > settings.shortest_d:
        return PeriodStatus.SHORT
    step = 1.0 / (settings.samples_per_peak * span)
    first = 1.0 / span
    n = math.floor((1.0 / settings.shortest_d - first) / step) + 1
    if n > settings.max_frequencies:
        return PeriodStatus.LONG
    if n < 3:
        return PeriodStatus.SHORT
    bands = {b: p._replace(time_d=p.time_d - (begin + span / 2)) for b, p in held.items()}
    each = tuple(bands.values())
    reduction, constant = np.zeros(n), 0.0
    for points in each:
        off, whole = chi2_reduction(*points, first=first, step=step, n=n)
        reduction += off
        constant += whole
    power = reduction / constant
    peaks = candidates(power, first, step, most=settings.candidates, samples_per_peak=settings.samples_per_peak)
    best, second, margin = decide(peaks, each, settings.harmonics, span)
    frequency, error, chi2, free = refine(best, each, settings.harmonics, span, n_points)
    double, free_double = series_chi2(np.array([frequency / 2.0]), each, 2 * settings.harmonics)
    gain = f_statistic(chi2, float(double[0]), free, free_double, n_points)
    spread = float(np.concatenate([points.time_d for points in each]).std())
    top = float(power.max())
    fap = log10_false_alarm(
        top, points=n_points, bands=len(each), trials=math.sqrt(4.0 * math.pi) * spread / settings.shortest_d
    )
    nearest = round(frequency)
    daily = nearest >= 1 and abs(frequency - nearest) < max(1.0 / span, 0.004 * nearest)
    explained = max(0.0, 1.0 - chi2 / constant)
    numbers = (1.0 / frequency, error / frequency**2, second, margin, top, fap, explained, gain)
    series = {b: coefficients(frequency, p, settings.harmonics) for b, p in bands.items()}
    return numbers, daily, profile(power, first, step), series


def _points(curves: BandLightCurves, row: int, floor: float) -> dict[int, BandPoints]:
    """Return the passbands of one row that have points enough, by place."""
    out = {}
    for band in range(len(curves.bands)):
        begin, end = curves.offsets[band * curves.rows + row : band * curves.rows + row + 2]
        if end - begin < MIN_BAND_POINTS:
            continue
        value = curves.flux[begin:end]
        scatter = 1.4826 * float(np.median(np.abs(value - np.median(value))))
        weight = 1.0 / (curves.flux_err[begin:end] ** 2 + (floor * scatter) ** 2)
        mean = float((weight * value).sum() / weight.sum())
        # A constant must stay one: its mean may be off by a rounding.
        value = value - (value[0] if np.ptp(value) == 0.0 else mean)
        out[band] = BandPoints(curves.mjd[begin:end], value, weight)
    return out
