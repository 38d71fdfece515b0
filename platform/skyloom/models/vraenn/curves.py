"""From light curves to what the network reads: luminosities on one grid of phase and rest wavelength.

Fluxes are corrected for extinction and made asinh magnitudes above the noise, which negative fluxes have,
too: zero is "no source", so that the Gaussian process may fall back to it, as the reference's falls
back to the limiting magnitude. Time and wavelength are those of the rest frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyloom.features.derived import luminosity_distance_mpc
from skyloom.features.gaussian_process import LENGTHS, Points, condition, fit, in_tiles
from skyloom.models.vraenn.columns import Config
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["PHASES_D", "REST_NM", "Sequences", "Transients", "sequences", "transients"]

PHASES_D = (
    -70.0, -55.0, -40.0, -30.0, -24.0, -19.0, -15.0, -12.0, -9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0, 12.0, 16.0,
    20.0, 25.0, 30.0, 36.0, 43.0, 51.0, 60.0, 70.0, 82.0, 96.0, 112.0, 130.0, 150.0, 175.0, 200.0,
)  # fmt: skip
"""Rest-frame days from the brightest point at which the Gaussian process is asked."""

REST_NM = (290.0, 360.0, 440.0, 540.0, 640.0, 760.0)
"""Rest-frame wavelengths at which it is asked."""

_DETECTED_SNR = 5.0
_AB_NJY = 31.4
"""AB magnitude of 1 nJy."""
_POGSON = 2.5 / np.log(10.0)
_FLOOR_MAG = 0.03
"""Added in quadrature to errors: a smooth process describes no light curve better than that."""
_COEFFICIENTS = ((367.1, 482.7, 622.3, 754.6, 869.1, 971.2), (4.145, 3.237, 2.273, 1.684, 1.323, 1.088))
"""A / E(B-V) by wavelength in nm: LSST passbands, Schlafly & Finkbeiner 2011 (ads:2011ApJ...737..103S)."""


@dataclass(frozen=True, slots=True, eq=False)
class Transients:
    """Points of N rows in the order of time, ready to be cut.

    Attributes
    ----------
    offsets : ndarray of int64, shape (N + 1,)
    mjd, flux, error, wave : ndarray of float64, shape (P,)
        Fluxes without extinction, nJy; `wave` is the logarithm of the wavelength in nm.
    detected : ndarray of float64, shape (N,)
        MJD of the first point at 5 sigma; infinite where there is none.
    redshift : ndarray of float64, shape (N,)
    """

    offsets: NDArray[np.int64]
    mjd: NDArray[np.float64]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    wave: NDArray[np.float64]
    detected: NDArray[np.float64]
    redshift: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """What became of N rows that were cut; rows that are not `there` hold zeros.

    Attributes
    ----------
    there : ndarray of bool, shape (N,)
        Which had enough points.
    thinned : ndarray of bool, shape (N,)
        Which had too many.
    light : ndarray of float32, shape (N, T, 6)
        Absolute magnitudes at `REST_NM`, with the sign turned: more is brighter.
    light_sd : ndarray of float32, shape (N, T, 6)
    steps : ndarray of int64, shape (N,)
        Steps of `PHASES_D` up to the last point, at least 1.
    limit : ndarray of float32, shape (N,)
        What `light` is where there is no source: the noise at this distance.
    peak : ndarray of float32, shape (N,)
        Absolute magnitude of the brightest point.
    rise_d : ndarray of float32, shape (N,)
        Observed days from the first detection to it.
    fitted : ndarray of float32, shape (N, 3)
        Log likelihood per point, time scale in days, scale in log wavelength.
    """

    there: NDArray[np.bool_]
    thinned: NDArray[np.bool_]
    light: NDArray[np.float32]
    light_sd: NDArray[np.float32]
    steps: NDArray[np.int64]
    limit: NDArray[np.float32]
    peak: NDArray[np.float32]
    rise_d: NDArray[np.float32]
    fitted: NDArray[np.float32]


def transients(
    curves: BandLightCurves, redshift: NDArray[np.float64], mwebv: NDArray[np.float64], config: Config
) -> Transients:
    """Put the points of all passbands in the order of time, and take the extinction off."""
    segment = np.repeat(np.arange(len(curves.offsets) - 1), np.diff(curves.offsets))
    band, row = segment // max(curves.rows, 1), segment % max(curves.rows, 1)
    order = np.lexsort((band, curves.mjd, row))
    band, row = band[order], row[order]
    nm = np.asarray(config.wavelength_nm)[band]
    brighter = 10 ** (0.4 * np.interp(nm, *_COEFFICIENTS) * mwebv[row])
    flux, error = curves.flux[order] * brighter, curves.flux_err[order] * brighter
    mjd, detected = curves.mjd[order], np.full(curves.rows, np.inf)
    hit = np.flatnonzero(flux > _DETECTED_SNR * error)[::-1]
    detected[row[hit]] = mjd[hit]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=curves.rows))))
    return Transients(offsets, mjd, flux, error, np.log(nm), detected, redshift)


def sequences(rows: Transients, config: Config, cut_d: float) -> Sequences:
    """Cut light curves `cut_d` observed days after their first detection, fit, and put them on the grid.

    What comes after the cut has no influence: not on the brightest point, the noise or the fit.
    """
    n = len(rows.redshift)
    row = np.repeat(np.arange(n), np.diff(rows.offsets))
    kept = rows.mjd <= (rows.detected + cut_d)[row]
    peak_at = _brightest(rows, row, kept)
    stretch = 1.0 + rows.redshift
    phase = (rows.mjd - rows.mjd[peak_at][row]) / stretch[row]
    kept &= np.isfinite(rows.detected)[row] & (phase >= PHASES_D[0]) & (phase <= PHASES_D[-1])
    kept, thinned = _nearest(kept, row, phase, n)
    count = np.bincount(row[kept], minlength=n)
    there = count >= config.min_points
    kept &= there[row]
    out = _empty(n, there, thinned)
    if not there.any():
        return out
    place = np.cumsum(there) - 1
    row, phase = place[row[kept]], phase[kept]
    noise = _median(rows.error[kept], row)
    flux, error = rows.flux[kept], rows.error[kept]
    soft = 2.0 * noise[row]
    value = _POGSON * np.arcsinh(flux / soft)
    spread = np.hypot(_POGSON * error / np.hypot(flux, soft), _FLOOR_MAG)
    z = rows.redshift[there]
    distance_modulus = 5.0 * np.log10(luminosity_distance_mpc(z)) + 25.0
    # A magnitude per unit frequency: light of a band 1 / (1 + z) as wide was emitted.
    limit = distance_modulus - 2.5 * np.log10(1.0 + z) - _AB_NJY + 2.5 * np.log10(noise)
    points = {"time": phase, "wave": rows.wave[kept] - np.log1p(z)[row], "value": value, "error": spread}
    offsets = np.concatenate(([0], np.cumsum(count[there])))
    mean, sd, fitted = in_tiles(offsets, points, _on_grid)
    shape = (len(z), len(PHASES_D), len(REST_NM))
    out.light[there] = mean.reshape(shape) + limit[:, None, None]
    out.light_sd[there] = sd.reshape(shape)
    out.limit[there] = limit
    last = phase[offsets[1:] - 1]
    out.steps[there] = np.searchsorted(PHASES_D, last, side="right")
    top = rows.flux[peak_at[there]]
    out.peak[there] = -(limit + 2.5 * np.log10(np.fmax(top, 1e-3) / noise))
    out.rise_d[there] = (rows.mjd[peak_at] - rows.detected)[there]
    out.fitted[there] = fitted
    out.fitted[there, 0] /= count[there]
    return out


def _empty(n: int, there: NDArray[np.bool_], thinned: NDArray[np.bool_]) -> Sequences:
    shape = (n, len(PHASES_D), len(REST_NM))
    light, light_sd = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    limit, peak, rise_d = (np.zeros(n, np.float32) for _ in range(3))
    steps, fitted = np.ones(n, np.int64), np.zeros((n, 3), np.float32)
    return Sequences(there, thinned, light, light_sd, steps, limit, peak, rise_d, fitted)


def _on_grid(points: Points, filled: NDArray[np.int64]) -> tuple[Tensor, ...]:
    theta, likelihood = fit(points)
    phase, wave = np.meshgrid(PHASES_D, np.log(REST_NM), indexing="ij")
    grid = (torch.from_numpy(each.ravel()).expand(len(theta), -1) for each in (phase, wave))
    mean, sd = condition(points, theta, *grid)
    scales = torch.exp(0.5 * theta[:, 1:])
    return mean, sd, torch.cat([likelihood[:, None], scales], dim=1)


def _brightest(rows: Transients, row: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Place of the point of each row with most flux minus error among those kept since the detection."""
    late = kept & (rows.mjd >= rows.detected[row])
    sure = np.where(late, rows.flux - rows.error, -np.inf)
    order = np.lexsort((-np.arange(len(row)), sure, row))
    last = np.fmax(rows.offsets[1:] - 1, 0)
    return np.asarray(order[last]) if len(order) else last


def _nearest(
    kept: NDArray[np.bool_], row: NDArray[np.int64], phase: NDArray[np.float64], n: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Keep at most as many points of each row as the Gaussian process takes, those nearest to phase 0."""
    most = LENGTHS[-1]
    thinned = np.bincount(row[kept], minlength=n) > most
    for i in np.flatnonzero(thinned):
        points = np.flatnonzero(kept & (row == i))
        kept[points[np.argsort(np.abs(phase[points]), kind="stable")[most:]]] = False
    return kept, thinned


def _median(values: NDArray[np.float64], row: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the lower median of the values of each row; rows ascend, and none is empty."""
    order = np.lexsort((values, row))
    start = np.flatnonzero(np.diff(row, prepend=-1))
    count = np.diff(start, append=len(row))
    return np.asarray(values[order][start + (count - 1) // 2])
