"""Numbers that tell kinds of periodic variables apart, from a light curve and its period.

They do not depend on where phase is counted from, nor on the rows beside a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skyloom.features.period_peaks import PROFILE_D
from skyloom.features.periods import Periods
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["compute", "names_of"]

_RATIOS = 3
"""Harmonics beyond the first whose amplitude and phase are taken."""


def names_of(bands: Sequence[str]) -> tuple[str, ...]:
    """Return the names of what `compute` gives, in its order.

    Logarithms are decimal. The series is that of the passband in which it stands out most.
    """
    return (
        *(f"mean_{band}" for band in bands),
        *(f"color_{a}_{b}" for a, b in itertools.pairwise(bands)),
        *(f"log_scatter_{band}" for band in bands),
        *(f"log_amplitude_{band}" for band in bands),
        *(f"skew_{band}" for band in bands),
        *(f"log_ratio_{k}1" for k in range(2, 2 + _RATIOS)),
        *(f"{turn}_phase_{k}1" for k in range(2, 2 + _RATIOS) for turn in ("cos", "sin")),
        "log_period",
        "power",
        "log_fap",
        "explained",
        "log_margin",
        "log_double_f",
        "log_second_period",
        *(f"power_range_{k}" for k in range(len(PROFILE_D) - 1)),
    )


def compute(curves: BandLightCurves, periods: Periods) -> NDArray[np.float32]:
    """Compute the numbers of N rows.

    Parameters
    ----------
    curves : BandLightCurves
        Clean.
    periods : Periods
        Of the same rows, with three harmonics or more.

    Returns
    -------
    ndarray of float32, shape (N, F)
        In the order of `names_of`; NaN where a passband has no points, or too few for a series.
    """
    n_bands = len(curves.bands)
    mean, scatter, skew = (np.full((n_bands, curves.rows), np.nan) for _ in range(3))
    for band in range(n_bands):
        for row in range(curves.rows):
            begin, end = curves.offsets[band * curves.rows + row : band * curves.rows + row + 2]
            if end > begin:
                mean[band, row], scatter[band, row], skew[band, row] = _moments(
                    curves.flux[begin:end], curves.flux_err[begin:end]
                )
    amplitude = np.abs(periods.series)
    columns = [
        mean,
        mean[:-1] - mean[1:],
        _log(scatter),
        _log(amplitude[:, :, 0].T),
        skew,
        *_ratios(periods.series, amplitude),
        _log(periods.period_d)[None],
        periods.power[None],
        periods.log10_fap[None],
        periods.explained[None],
        np.minimum(_log(periods.margin), 1.0)[None],
        _log(periods.double_f + 0.1)[None],
        _log(np.where(np.isfinite(periods.second_d), periods.second_d, periods.period_d))[None],
        periods.profile.T,
    ]
    return np.concatenate(columns).T.astype(np.float32)


def _moments(value: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return weighted mean, scatter and skewness of one passband."""
    weight = 1.0 / error**2
    weight = weight / weight.sum()
    mean = float((weight * value).sum())
    away = value - mean
    variance = float((weight * away**2).sum())
    skew = float((weight * away**3).sum()) / variance**1.5 if variance > 0.0 else 0.0
    return mean, float(np.sqrt(variance)), skew


def _ratios(
    series: NDArray[np.complex128], amplitude: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return amplitudes and phases of the harmonics, relative to the first, of the clearest passband."""
    first = np.where(np.isnan(amplitude[:, :, 0]), -1.0, amplitude[:, :, 0])
    # The largest amplitude over the size of the highest harmonic: noise has them alike.
    noise = np.where(np.isnan(amplitude[:, :, -1]), np.inf, amplitude[:, :, -1])
    lead = (first / np.maximum(noise, 1e-12)).argmax(axis=1)
    chosen = np.take_along_axis(series, lead[:, None, None], axis=1)[:, 0]
    chosen = np.where(np.isnan(chosen), 0.0, chosen)  # rows without a period; they are NaN elsewhere
    base = np.abs(chosen[:, 0])
    turn = chosen[:, 0] / np.maximum(base, 1e-300)
    heights, phases = [], []
    for k in range(2, 2 + _RATIOS):
        there = chosen[:, k - 1]
        heights.append(_log(np.abs(there) / np.maximum(base, 1e-300)))
        relative = there * np.conj(turn) ** k
        relative = relative / np.maximum(np.abs(relative), 1e-300)
        phases += [relative.real, relative.imag]
    return np.stack(heights), np.stack(phases)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log10(np.maximum(values, 1e-6)))
