"""Fake supernovae and rarer transients of eleven kinds, as a survey like LSST sees them.

Semi-analytic luminosities (`skyloom.simulators.arnett`) and a black body; ranges are round numbers near
those of the field's population models as we recall them: settings of a simulation, not measurements.
Each object has a random stream of its own: object 7 is the same whatever else is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.simulators.arnett import SUN_G, band_flux_njy, diffused, magnetar, radioactive, temperature_k
from skyloom.timeseries.lightcurves import LightCurves

__all__ = ["BANDS", "COMMON", "KINDS", "Kind", "SimulatedTransients", "transients"]

BANDS = ("u", "g", "r", "i", "z", "y")
_NM = np.array([367.1, 482.7, 622.3, 754.6, 869.1, 971.2])
_DEPTH = np.array([23.6, 24.7, 24.3, 23.8, 23.2, 22.4])
"""AB magnitude at 5 sigma, mean over nights; one night's is scattered by 0.3."""
COMMON = ("ia", "ii", "ibc")

Floats = NDArray[np.float64]
Pair = tuple[float, float]

_TIME_D = np.concatenate([np.linspace(0.0, 60.0, 241), np.linspace(61.0, 400.0, 340)])
_SEASON_D, _LEAD_D = 210.0, 60.0
_VISIT_D = 1.6
_CALIBRATION = 0.005
"""Least error, as a share of the flux."""


def _heated(rng: np.random.Generator, nickel_sun: Pair, diffusion_d: Pair) -> Floats:
    nickel = SUN_G * np.exp(rng.uniform(*np.log(nickel_sun)))
    return diffused(_TIME_D, radioactive(_TIME_D, nickel), rng.uniform(*diffusion_d))


def _plateau(rng: np.random.Generator, log_luminosity: Pair, length_d: Pair, tail_sun: float) -> Floats:
    """Return a plateau, its exponential end, and the tail of 56Co."""
    high, end = 10 ** rng.uniform(*log_luminosity), rng.uniform(*length_d)
    after = np.exp(-np.fmax(_TIME_D - end, 0.0) / 5.0)
    rise = 1.0 - np.exp(-_TIME_D / 3.0)
    slope = 10 ** (-0.4 * rng.uniform(0.0, 1.0) * np.fmin(_TIME_D, end) / 100.0)
    return np.asarray(high * rise * slope * after + radioactive(_TIME_D, tail_sun * SUN_G) * (1.0 - after))


def _interacting(rng: np.random.Generator) -> Floats:
    """Return a power law that steepens, after a slow rise."""
    rise, turn = rng.uniform(10.0, 40.0), rng.uniform(60.0, 200.0)
    scaled = np.fmax(_TIME_D, 0.1) / rise
    fall = scaled ** -rng.uniform(0.2, 0.6) * (1.0 + _TIME_D / turn) ** -2.0
    return np.asarray(10 ** rng.uniform(42.9, 43.8) * (1.0 - np.exp(-(scaled**2))) * fall)


def _magnetar(rng: np.random.Generator) -> Floats:
    heating = magnetar(_TIME_D, 10 ** rng.uniform(50.8, 51.6), rng.uniform(3.0, 30.0))
    return diffused(_TIME_D, heating, rng.uniform(25.0, 60.0))


def _disruption(rng: np.random.Generator) -> Floats:
    heating = 10 ** rng.uniform(43.8, 44.6) * np.fmin(1.0, (np.fmax(_TIME_D, 0.1) / 25.0) ** (-5.0 / 3.0))
    return diffused(_TIME_D, heating, rng.uniform(10.0, 35.0))


def _merger(rng: np.random.Generator) -> Floats:
    heating = 10 ** rng.uniform(42.0, 42.8) * np.fmax(_TIME_D, 0.1) ** -1.3
    return diffused(_TIME_D, heating, rng.uniform(0.8, 3.0))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of transient."""

    share: float
    """Of all objects."""
    luminosity: Callable[[np.random.Generator], Floats]
    velocity_km_s: Pair
    floor_k: Pair
    redshift: Pair
    """Drawn uniformly in volume between these, roughly."""
    ultraviolet: float = 0.0
    """Power of wavelength by which light below 400 nm is suppressed: line blanketing."""


KINDS: Mapping[str, Kind] = {
    "ia": Kind(0.55, lambda r: _heated(r, (0.4, 0.9), (9, 14)), (9e3, 12e3), (4e3, 5e3), (0.03, 0.5), 4.0),
    "ii": Kind(0.25, lambda r: _plateau(r, (41.8, 42.8), (70, 120), 0.03), (4e3, 8e3), (5e3, 6e3), (0.02, 0.35)),
    "ibc": Kind(0.12, lambda r: _heated(r, (0.08, 0.4), (8, 18)), (8e3, 14e3), (4e3, 6e3), (0.02, 0.35), 2.0),
    "iin": Kind(0.018, _interacting, (3e3, 6e3), (6e3, 9e3), (0.03, 0.5)),
    "slsn": Kind(0.022, _magnetar, (8e3, 13e3), (6e3, 9e3), (0.1, 1.0)),
    "tde": Kind(0.008, _disruption, (1e3, 3e3), (2e4, 3e4), (0.05, 0.6)),
    "91bg": Kind(0.01, lambda r: _heated(r, (0.05, 0.15), (7, 9)), (8e3, 11e3), (3e3, 4e3), (0.02, 0.25), 4.0),
    "iax": Kind(0.014, lambda r: _heated(r, (0.02, 0.25), (6, 11)), (3e3, 8e3), (4e3, 5e3), (0.02, 0.25), 3.0),
    "pisn": Kind(0.004, lambda r: _heated(r, (5.0, 30.0), (100, 150)), (6e3, 1e4), (4e3, 6e3), (0.1, 1.0)),
    "ilot": Kind(0.002, lambda r: _plateau(r, (40.3, 41.2), (30, 80), 1e-3), (5e2, 2e3), (3e3, 4e3), (0.01, 0.06)),
    "kn": Kind(0.002, _merger, (3e4, 9e4), (2e3, 3e3), (0.01, 0.08)),
}  # fmt: skip
"""By name; the common ones first. Shares of the rare ones are near those of Villar et al. 2021."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedTransients:
    """N transients.

    Attributes
    ----------
    curves : LightCurves
        Fluxes in nJy, in `BANDS`.
    kind : ndarray of int64, shape (N,)
        Place in `KINDS`.
    redshift, mwebv : ndarray of float64, shape (N,)
    """

    curves: LightCurves
    kind: NDArray[np.int64]
    redshift: NDArray[np.float64]
    mwebv: NDArray[np.float64]


def transients(
    n: int, *, seed: int, start: int = 0, share: Mapping[str, float] | None = None
) -> SimulatedTransients:
    """Draw transients `start` to ``start + n - 1`` of the survey with a seed; each has some points at 5 sigma.

    Parameters
    ----------
    n : int
        Objects.
    seed : int
        Of the survey.
    start : int
        First object.
    share : mapping of str to float, optional
        Of each kind; default: those of `KINDS`.

    Raises
    ------
    SpecError
        If a number is negative, or `share` names another kind or has nothing.
    """
    wanted = share or {name: kind.share for name, kind in KINDS.items()}
    if min(n, seed, start) < 0 or not set(wanted) <= set(KINDS) or not sum(wanted.values()) > 0:
        kinds = ", ".join(KINDS)
        msg = f"n, seed and start are not negative and share is of {kinds}, got {n}, {seed}, {start}, {share}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    shares = np.cumsum([wanted.get(name, 0.0) for name in KINDS])
    drawn = [_object(np.random.default_rng([seed, k]), shares) for k in range(start, start + n)]
    fields = [np.concatenate([each[k] for each in drawn]) if drawn else np.empty(0) for k in range(4)]
    return SimulatedTransients(
        curves=LightCurves(
            offsets=np.concatenate(([0], np.cumsum([len(each[0]) for each in drawn]))).astype(np.int64),
            mjd=fields[0],
            flux=fields[1],
            flux_err=fields[2],
            band=fields[3].astype(np.uint8),
            bands=BANDS,
            flag=np.zeros(n, dtype=np.uint32),
        ),
        kind=np.array([each[4] for each in drawn], dtype=np.int64),
        redshift=np.array([each[5] for each in drawn]),
        mwebv=np.array([each[6] for each in drawn]),
    )


_Object = tuple[Floats, Floats, Floats, NDArray[np.int64], int, float, float]


def _object(rng: np.random.Generator, shares: Floats) -> _Object:
    """Draw one object again and again, ever nearer, until the survey finds it."""
    place = int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))
    kind = list(KINDS.values())[place]
    low, high = kind.redshift
    while True:
        redshift = low + (high - low) * rng.random() ** (1.0 / 3.0)
        mwebv = float(rng.exponential(0.04))
        mjd, flux, error, band = _seen(rng, kind, redshift)
        if (flux > 5.0 * error).sum() >= 3:
            return mjd, flux, error, band, place, redshift, mwebv
        high = max(low, 0.9 * high)


def _seen(
    rng: np.random.Generator, kind: Kind, redshift: float
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    luminosity = kind.luminosity(rng)
    temperature = temperature_k(_TIME_D, luminosity, rng.uniform(*kind.velocity_km_s), rng.uniform(*kind.floor_k))
    night = 60_000.0 + np.sort(rng.choice(np.arange(0, int(_SEASON_D)), int(_SEASON_D / _VISIT_D), replace=False))
    explosion = 60_000.0 + rng.uniform(-20.0, _SEASON_D - _LEAD_D)
    band = rng.integers(0, len(BANDS), len(night))
    age = (night - explosion) / (1.0 + redshift)
    seen = np.where(age > 0, np.interp(age, _TIME_D, luminosity, right=0.0), 0.0)
    hot = np.interp(age, _TIME_D, temperature)
    distance = _distance_mpc(redshift)
    flux = band_flux_njy(seen, hot, _NM[band], redshift, distance)
    flux *= np.fmin(1.0, _NM[band] / (1.0 + redshift) / 400.0) ** kind.ultraviolet
    sky = 10 ** (0.4 * (31.4 - _DEPTH[band] - rng.normal(0.0, 0.3, len(band)))) / 5.0
    error = np.hypot(sky, _CALIBRATION * flux)
    return night, flux + rng.normal(0.0, error), error, band


def _distance_mpc(redshift: float) -> float:
    """Return the luminosity distance in a flat universe (H0 = 70 km/s/Mpc, matter 0.3), good to 1e-4 up to 2."""
    half, nodes = 0.5 * redshift, np.array([-0.9061798, -0.5384693, 0.0, 0.5384693, 0.9061798])
    weights = (0.2369269, 0.4786287, 0.5688889, 0.4786287, 0.2369269)
    rate = sum(
        w / math.sqrt(0.3 * (1.0 + z) ** 3 + 0.7) for w, z in zip(weights, half * (1.0 + nodes), strict=True)
    )
    return (1.0 + redshift) * 299_792.458 / 70.0 * half * rate
