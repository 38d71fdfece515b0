"""13 numbers of a light curve in one passband, period among them, for comparing surveys.

Statistics are those of `skyloom.features.lightcurve`; the period is that of the highest peak of
`light-curve`'s fast Lomb-Scargle periodogram, up to 10 cycles per day. Positive numbers are taken
as decimal logarithms, so that an affine map between surveys has something to hold on to. No two
of them say nearly the same: seven more that measure the scatter again made alignments worse.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.features import lightcurve
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["NAMES", "compute"]

_LOGARITHMS = ("std", "maximum_slope", "eta")
_PLAIN = ("beyond_1_std", "kurtosis", "skew", "stetson_k", "otsu_lower_ratio", "median")
NAMES = (
    *(f"log_{name}" for name in _LOGARITHMS),
    *_PLAIN,
    "signed_trend",
    "log_period",
    "log_period_snr",
    "log_excess",
)
"""What `compute` gives, in its order. ``signed_trend`` is the slope over its error, its logarithm signed;
``log_excess`` is of the variance beyond the errors, at least a hundredth of the variance."""

_MAX_PER_DAY = 10.0
_TINY = 1e-12
_LEAST_EXCESS = 0.01


def compute(curves: BandLightCurves) -> NDArray[np.float64]:
    """Compute the numbers of N rows.

    Parameters
    ----------
    curves : BandLightCurves
        Clean, of one passband.

    Returns
    -------
    ndarray of float64, shape (N, 13)
        In the order of `NAMES`. NaN where a light curve has too few points for a number, or no scatter.
    """
    known = {name: values[0].astype(np.float64) for name, values in lightcurve.compute(curves).items()}
    with np.errstate(invalid="ignore", divide="ignore"):
        trend = known["linear_trend"] / known["linear_trend_err"]
        period, snr = _periods(curves)
        share = np.fmax(1.0 - 1.0 / known["chi2"], _LEAST_EXCESS)
        columns = [
            *(np.log10(np.fmax(known[name], _TINY)) for name in _LOGARITHMS),
            *(known[name] for name in _PLAIN),
            np.sign(trend) * np.log10(1.0 + np.abs(trend)),
            np.log10(period),
            np.log10(np.fmax(snr, _TINY)),
            np.log10(known["std"] ** 2 * share),
        ]
    usable = np.isfinite(known["std"]) & (known["std"] > 0.0)
    return np.where(usable[:, None], np.column_stack(columns), np.nan)


@lru_cache(maxsize=32)
def _periodogram(log2: int) -> Any:
    import light_curve

    grid = np.linspace(0.0, 2.0 * math.pi * _MAX_PER_DAY, 2**log2 + 1)
    return light_curve.Periodogram(peaks=1, freqs=grid, fast=True)


def _periods(curves: BandLightCurves) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return periods in days and their signal to noise, (N,) each; NaN where there are too few points."""
    found = np.full((2, curves.rows), np.nan)
    for row in range(curves.rows):
        begin, end = curves.offsets[row : row + 2]
        if end - begin < lightcurve.MIN_POINTS:
            continue
        time, value = curves.mjd[begin:end], curves.flux[begin:end].astype(np.float64)
        if not np.ptp(value) > 0.0 or not np.ptp(time) > 0.0:
            continue
        # Four frequencies and more per peak's width; the library wants a power of two.
        log2 = min(20, max(8, math.ceil(math.log2(4.0 * _MAX_PER_DAY * float(np.ptp(time))))))
        found[:, row] = _periodogram(log2)(time - time[0], value, sorted=True, check=False)
    return found[0], found[1]
