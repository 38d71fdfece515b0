"""What classifiers of transients look at: ratios, colours and rest-frame times of the features.

The feature columns are in the units of the survey; these are not. Fluxes are divided by the
brightest passband's peak, times by 1 + z, and one luminosity per passband is kept, so that
two surveys with one set of passbands, or two redshifts, give comparable numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skyloom.features import transient

__all__ = ["METADATA", "derive", "derived_names", "luminosity_distance_mpc", "source_features"]

METADATA = ("hostgal_photoz", "hostgal_photoz_err", "mwebv")
"""Columns of the catalog used beside the features."""

_PHASES = tuple(f.name for f in transient.features_of() if f.name.startswith("phase_"))
_TIMES = ("peak_phase", "det_first", "det_last", "rise_half", "fade_half", "centre", "width")
_TIMES_ALL = _TIMES[1:]
_FLUXES = (
    "amplitude", "ipr_25", "ipr_5", "linear_trend_noise", "mad", "mean", "median", "otsu_mean_diff",
    "otsu_std_lower", "otsu_std_upper", "peak", "percent_amplitude", "std", "trough", "weighted_mean",
)  # fmt: skip
_PURE = (
    "beyond_1_std", "chi2", "cusum", "eta", "excess_variance", "kurtosis", "linear_fit_chi2",
    "otsu_lower_ratio", "peak_snr", "skew", "stetson_k", "trough_snr",
)  # fmt: skip
_PURE_ALL = ("chi2", "cusum", "eta", "kurtosis", "skew", "stetson_k")
_COUNTS = ("n_det", "n_obs")

_LIGHT_KM_S, _H0_KM_S_MPC, _OMEGA_M = 299_792.458, 70.0, 0.3
_TINY_FLUX = 1.0

Columns = Mapping[str, NDArray[np.floating]]


def source_features() -> tuple[str, ...]:
    """Return the features, without passband, that `derive` needs."""
    return tuple(sorted({*_PHASES, *_TIMES, *_FLUXES, *_PURE, *_COUNTS}))


def derived_names(bands: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of `derive`."""
    empty = np.zeros((len(bands), 0))
    features = dict.fromkeys(source_features(), empty)
    return tuple(_blocks(features, dict.fromkeys(METADATA, empty[0]), bands))


def derive(features: Columns, metadata: Columns, bands: Sequence[str]) -> NDArray[np.float32]:
    """Turn N rows of features and metadata into the inputs of a classifier.

    Every number of a row follows from that row alone, by element-wise operations and sums
    over passbands: bit-identical in any batch.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (B, N)
        At least `source_features`; fluxes in nJy, times in days. NaN is missing.
    metadata : mapping of str to ndarray, shape (N,)
        `METADATA`. A photometric redshift of 0 or less means: in the Milky Way.

    Returns
    -------
    ndarray of float32, shape (N, F)
        In the order of `derived_names`; NaN is missing, infinities do not occur.
    """
    wide = {name: np.asarray(features[name], dtype=np.float64) for name in source_features()}
    flat = {name: np.asarray(metadata[name], dtype=np.float64) for name in METADATA}
    with np.errstate(all="ignore"):
        blocks = _blocks(wide, flat, bands)
    out = np.empty((next(iter(flat.values())).size, len(blocks)), dtype=np.float32)
    for k, values in enumerate(blocks.values()):
        out[:, k] = values
    out[~np.isfinite(out)] = np.nan
    return out


def _blocks(features: Columns, metadata: Columns, bands: Sequence[str]) -> dict[str, NDArray[np.floating]]:
    redshift = metadata["hostgal_photoz"]
    galactic = redshift <= 0
    stretch = np.where(galactic, 1.0, 1.0 + redshift)
    distance = np.where(galactic, np.nan, luminosity_distance_mpc(redshift))
    peak = _over_bands(np.fmax, features["peak"])
    out: dict[str, NDArray[np.floating]] = {
        "photoz": np.where(galactic, 0.0, redshift),
        "photoz_err": np.where(galactic, 0.0, metadata["hostgal_photoz_err"]),
        "mwebv": metadata["mwebv"],
        "log_peak": _log_flux(peak),
        "log_luminosity": _log_flux(peak) + 2 * np.log10(distance),
    }
    for b, band in enumerate(bands):
        out[f"log_luminosity_{band}"] = _log_flux(features["peak"][b]) + 2 * np.log10(distance)
        out[f"detected_{band}"] = features["n_det"][b] / features["n_obs"][b]
        out |= {f"{name}_{band}": features[name][b] / peak for name in (*_FLUXES, *_PHASES)}
        out |= {f"{name}_{band}": features[name][b] / stretch for name in _TIMES}
        out |= {f"{name}_{band}": features[name][b] for name in _PURE}
    for name in _PHASES:
        out |= _colours(name, features[name], bands)
        out[f"{name}_all"] = _mean_over_bands(features[name]) / peak
    for name in _TIMES_ALL:
        times = features[name] / stretch
        out[f"{name}_mean"] = _mean_over_bands(times)
        out[f"{name}_max"] = _over_bands(np.fmax, times)
        out[f"{name}_min"] = _over_bands(np.fmin, times)
    out |= {f"{name}_mean": _mean_over_bands(features[name]) for name in _PURE_ALL}
    out |= {f"{name}_all": _sum_over_bands(features[name]) for name in _COUNTS}
    out["trough_snr_min"] = _over_bands(np.fmin, features["trough_snr"])
    return out


def _colours(name: str, flux: NDArray[np.floating], bands: Sequence[str]) -> dict[str, NDArray[np.floating]]:
    """Flux contrasts of neighbouring passbands, -1 to 1 where both are positive."""
    return {
        f"{name}_{blue}_{red}": (flux[b] - flux[b + 1]) / (np.abs(flux[b]) + np.abs(flux[b + 1]))
        for b, (blue, red) in enumerate(pairwise(bands))
    }


def _log_flux(flux: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.log10(np.fmax(flux, _TINY_FLUX)))


def _over_bands(pick: np.ufunc, values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Largest or smallest over passbands, missing ones ignored."""
    out = values[0]
    for row in values[1:]:
        out = pick(out, row)
    return np.asarray(out)


def _sum_over_bands(values: NDArray[np.floating]) -> NDArray[np.floating]:
    # A loop, not a reduction: the order of the additions must not depend on the shape.
    out: NDArray[np.floating] = np.zeros(values.shape[1])
    for row in values:
        out = out + np.where(np.isnan(row), 0.0, row)
    return out


def _mean_over_bands(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(_sum_over_bands(values) / _sum_over_bands(np.isfinite(values).astype(np.float64)))


def luminosity_distance_mpc(redshift: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the luminosity distance in a flat universe (H0 = 70 km/s/Mpc, matter 0.3).

    Parameters
    ----------
    redshift : ndarray, shape (...,)
        Up to 5; larger ones get the distance of 5.

    Returns
    -------
    ndarray of float64, shape (...,)
        Mpc, from a table of 5,001 redshifts: good to 1e-5. NaN where `redshift` is NaN.
    """
    grid = np.linspace(0.0, 5.0, 5001)
    rate = 1.0 / np.sqrt(_OMEGA_M * (1.0 + grid) ** 3 + 1.0 - _OMEGA_M)
    steps = (rate[1:] + rate[:-1]) * (grid[1] / 2)
    comoving = np.concatenate(([0.0], np.cumsum(steps))) * (_LIGHT_KM_S / _H0_KM_S_MPC)
    return np.asarray(np.interp(redshift, grid, comoving) * (1.0 + redshift))
