"""Features of light curves, passband by passband, from the `light-curve` library.

One call of the library handles a whole batch: the points of all rows and passbands lie
end to end in one Arrow list of structs, which the library reads without a copy [1]_.

References
----------
.. [1] Malanchev et al. 2021, MNRAS 502, 5147 (ads:2021MNRAS.502.5147M): the features;
   https://github.com/light-curve/light-curve-python (0.13): the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["EXTRACTORS", "MIN_POINTS", "Feature", "compute", "features_of"]

MIN_POINTS = 4
"""Points that a passband needs for all of its features (the kurtosis asks for most)."""

FLUX, SLOPE, DAYS, ONE = "{lc.flux}", "{lc.flux} d-1", "d", ""


@dataclass(frozen=True, slots=True)
class Feature:
    """One number per passband: what it is called and what it means."""

    name: str
    unit: str
    ucd: str
    """``{phot}`` stands for ``phot.flux`` or ``phot.mag``."""
    description: str
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Extractor:
    """One feature class of the library, its arguments, and the numbers that it returns."""

    cls: str
    args: tuple[float, ...]
    returns: tuple[Feature, ...]


def _one(cls: str, name: str, unit: str, ucd: str, description: str, *args: float) -> Extractor:
    return Extractor(cls, args, (Feature(name, unit, ucd, description),))


EXTRACTORS = (
    _one("Amplitude", "amplitude", FLUX, "src.var.amplitude;{phot}", "half of maximum minus minimum"),
    _one("BeyondNStd", "beyond_1_std", ONE, "stat.value", "fraction of points beyond 1 sd of the mean", 1.0),
    _one("Cusum", "cusum", ONE, "stat.value", "range of the normalised cumulative sum"),
    _one("Eta", "eta", ONE, "stat.value", "von Neumann eta: mean squared successive difference over variance"),
    _one(
        "ExcessVariance", "excess_variance", ONE, "stat.variance", "variance beyond the errors over squared mean"
    ),
    _one("InterPercentileRange", "ipr_5", FLUX, "stat.value;{phot}", "95th minus 5th percentile", 0.05),
    _one("InterPercentileRange", "ipr_25", FLUX, "stat.value;{phot}", "75th minus 25th percentile", 0.25),
    _one("Kurtosis", "kurtosis", ONE, "stat.param", "unbiased excess kurtosis"),
    Extractor(
        "LinearFit",
        (),
        (
            Feature("linear_fit_slope", SLOPE, "stat.fit.param", "slope of the error-weighted straight line"),
            Feature("linear_fit_slope_err", SLOPE, "stat.error;stat.fit.param", "1-sigma error of that slope"),
            Feature("linear_fit_chi2", ONE, "stat.fit.chi2", "reduced chi-square of that line"),
        ),
    ),
    Extractor(
        "LinearTrend",
        (),
        (
            Feature("linear_trend", SLOPE, "stat.fit.param", "slope of the straight line, errors ignored"),
            Feature("linear_trend_err", SLOPE, "stat.error;stat.fit.param", "1-sigma error of that slope"),
            Feature("linear_trend_noise", FLUX, "stat.stdev;{phot}", "scatter about that line"),
        ),
    ),
    _one("MaximumSlope", "maximum_slope", SLOPE, "stat.max", "largest slope between successive points, unsigned"),
    _one("Mean", "mean", FLUX, "stat.mean;{phot}", "mean"),
    _one("Median", "median", FLUX, "stat.median;{phot}", "median"),
    _one("MedianAbsoluteDeviation", "mad", FLUX, "stat.value;{phot}", "median absolute deviation from the median"),
    Extractor(
        "OtsuSplit",
        (),
        (
            Feature("otsu_mean_diff", FLUX, "stat.value;{phot}", "difference of the means of Otsu's two groups"),
            Feature("otsu_std_lower", FLUX, "stat.stdev;{phot}", "standard deviation of the lower group"),
            Feature("otsu_std_upper", FLUX, "stat.stdev;{phot}", "standard deviation of the upper group"),
            Feature("otsu_lower_ratio", ONE, "stat.value", "fraction of points in the lower group"),
        ),
    ),
    _one(
        "PercentAmplitude",
        "percent_amplitude",
        FLUX,
        "src.var.amplitude;{phot}",
        "largest distance from the median",
    ),
    _one("ReducedChi2", "chi2", ONE, "stat.fit.chi2", "reduced chi-square of a constant"),
    _one("Skew", "skew", ONE, "stat.param", "unbiased skewness"),
    _one("StandardDeviation", "std", FLUX, "stat.stdev;{phot}", "standard deviation"),
    _one("StetsonK", "stetson_k", ONE, "stat.value", "Stetson K: shape of the distribution of residuals"),
    _one("WeightedMean", "weighted_mean", FLUX, "stat.mean;{phot}", "mean weighted by inverse squared errors"),
)

COUNTED = (
    Feature("n_obs", ONE, "meta.number;obs", "number of usable points"),
    Feature("time_span", DAYS, "time.duration;obs", "time from the first to the last usable point"),
)


def features_of() -> tuple[Feature, ...]:
    """Return the features of one passband, in the order in which `compute` gives them."""
    return COUNTED + tuple(feature for extractor in EXTRACTORS for feature in extractor.returns)


def compute(curves: BandLightCurves) -> Mapping[str, NDArray[np.float32]]:
    """Compute the features of N rows in B passbands.

    Parameters
    ----------
    curves : BandLightCurves
        Clean, as `skyloom.timeseries.cleaning.by_band` leaves them.

    Returns
    -------
    mapping of str to ndarray of float32, shape (B, N)
        One entry per feature of `features_of`. NaN where a passband has too few points, or
        no scatter, for the feature; `n_obs` is never NaN.
    """
    shape = (len(curves.bands), curves.rows)
    library = np.empty((0, 0)) if curves.rows == 0 else _extractor().many(_as_lists(curves), **_MANY)
    n_library = sum(len(extractor.returns) for extractor in EXTRACTORS)
    columns = np.ascontiguousarray(library.reshape(-1, n_library).T, dtype=np.float32)
    out = dict(zip((f.name for f in COUNTED), _counted(curves), strict=True))
    names = (feature.name for extractor in EXTRACTORS for feature in extractor.returns)
    out.update(zip(names, columns.reshape(n_library, *shape), strict=True))
    return out


_MANY: Mapping[str, Any] = {
    "arrow_fields": {"t": "mjd", "m": "flux", "sigma": "flux_err"},
    "fill_value": np.nan,
    # Already sorted and finite: the library need not look again.
    "sorted": True,
    "check": False,
    # The platform runs one worker per core; a pool inside each would only oversubscribe.
    "n_jobs": 1,
}


@lru_cache(maxsize=1)
def _extractor() -> Any:
    import light_curve

    return light_curve.Extractor(*(getattr(light_curve, e.cls)(*e.args) for e in EXTRACTORS))


def _as_lists(curves: BandLightCurves) -> pa.Array:
    """One list of (mjd, flux, flux_err) per segment, sharing the memory of `curves`."""
    points = pa.StructArray.from_arrays(
        [pa.array(curves.mjd), pa.array(curves.flux), pa.array(curves.flux_err)],
        names=["mjd", "flux", "flux_err"],
    )
    return pa.LargeListArray.from_arrays(pa.array(curves.offsets), points)


def _counted(curves: BandLightCurves) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    count = curves.counts
    span = np.full(count.size, np.nan, dtype=np.float32)
    held = np.flatnonzero(count.ravel())
    span[held] = curves.mjd[curves.offsets[held + 1] - 1] - curves.mjd[curves.offsets[held]]
    return count.astype(np.float32), span.reshape(count.shape)
