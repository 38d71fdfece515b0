"""Fake variable stars of ten kinds, as a survey of two passbands sees them in the Large Magellanic Cloud.

Pulsators are Fourier series in magnitude, with amplitude ratios and phase differences drawn per kind;
eclipsing binaries are two dips on an ellipsoidal wave; long-period variables have red noise on
their cycle. The numbers are round ones near those of OGLE's catalogs as we recall them: settings of a
simulation, not measurements. Each star has a random stream of its own: star 7 is the same star
whatever else is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.timeseries.lightcurves import LightCurves

__all__ = ["BANDS", "KINDS", "Kind", "SimulatedVariables", "variables"]

BANDS = ("b", "r")

Pair = tuple[float, float]
Shape = Callable[["Kind", float, NDArray[np.float64], np.random.Generator], NDArray[np.float64]]

_CIRCLE = np.linspace(0.0, 2.0 * math.pi, 200)
_SPAN_D, _SEASON_D, _YEAR_D = 900.0, 240.0, 365.25
_NIGHT_D = 0.3
_OUTLIERS = 0.01
_WRONG_PERIODS = 0.01
_RRD_RATIO = 0.7445
"""Period of the first overtone over that of the fundamental mode."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of star: means and standard deviations unless said."""

    share: float
    """Of all stars: the rarest kind is a fiftieth of the most common one."""
    log_period: Pair
    """Decimal, of days."""
    amplitude: Pair
    """Lowest and highest peak-to-peak amplitude in b, magnitudes, drawn uniformly."""
    shape: Shape
    magnitude: tuple[float, float, float]
    """Of r: at one day, per decade of period, scatter."""
    color: Pair
    """b - r."""
    r21: Pair = (0.0, 0.0)
    phi21: Pair = (0.0, 0.0)
    r31: Pair = (0.0, 0.0)
    phi31: Pair = (0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedVariables:
    """N stars.

    Attributes
    ----------
    curves : LightCurves
        Magnitudes in `BANDS`.
    kind : ndarray of int64, shape (N,)
        Place in `KINDS`.
    true_d : ndarray of float64, shape (N,)
        Period in days; of an eclipsing binary, of its orbit.
    period_d : ndarray of float64, shape (N,)
        As a catalog would have it: 1 in 100 is twice or half the true one.
    """

    curves: LightCurves
    kind: NDArray[np.int64]
    true_d: NDArray[np.float64]
    period_d: NDArray[np.float64]


def _series(kind: Kind, period: float, mjd: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a pulsation of peak-to-peak amplitude 1."""
    heights = (1.0, max(0.0, rng.normal(*kind.r21)), max(0.0, rng.normal(*kind.r31)))
    first = rng.uniform(0.0, 2.0 * math.pi)
    turns = (first, rng.normal(*kind.phi21) + 2.0 * first, rng.normal(*kind.phi31) + 3.0 * first)

    def wave(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        terms = (h * np.cos(k * angle + turn) for k, (h, turn) in enumerate(zip(heights, turns, strict=True), 1))
        return np.asarray(sum(terms))

    return wave(2.0 * math.pi * mjd / period) / float(np.ptp(wave(_CIRCLE)))


def _two_modes(
    kind: Kind, period: float, mjd: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the first overtone, at the period, and a weaker fundamental mode beside it."""
    overtone = _series(kind, period, mjd, rng)
    return overtone + rng.uniform(0.4, 0.7) * _series(kind, period / _RRD_RATIO, mjd, rng)


def _contact(kind: Kind, period: float, mjd: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return two broad, nearly equal dips on a strong ellipsoidal wave; deeper is fainter."""
    return _dips(period, mjd, rng, width=(0.08, 0.12), second=(0.8, 1.0), wave=0.3)


def _detached(
    kind: Kind, period: float, mjd: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return two narrow, unlike dips on little or no wave; deeper is fainter."""
    return _dips(period, mjd, rng, width=(0.02, 0.05), second=(0.2, 0.9), wave=0.1 * rng.random())


def _dips(
    period: float, mjd: NDArray[np.float64], rng: np.random.Generator, *, width: Pair, second: Pair, wave: float
) -> NDArray[np.float64]:
    phase = mjd / period + rng.random()
    narrow, less = rng.uniform(*width), rng.uniform(*second)
    dips = (
        height * np.exp(-0.5 * (((phase - at + 0.5) % 1.0 - 0.5) / narrow) ** 2)
        for height, at in ((1.0, 0.0), (less, 0.5))
    )
    return np.asarray(sum(dips)) * (1.0 - wave) + 0.5 * wave * np.cos(4.0 * math.pi * phase)


def _red(kind: Kind, period: float, mjd: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a cycle whose height wanders: noise that remembers about one period is added."""
    cycle = 0.5 * np.cos(2.0 * math.pi * mjd / period + rng.uniform(0.0, 2.0 * math.pi))
    memory = np.exp(-np.diff(mjd, prepend=mjd[:1]) / period)
    steps, noise = rng.normal(0.0, 0.1, len(mjd)), np.zeros(len(mjd))
    last = steps[0] if len(steps) else 0.0
    for k, (kept, step) in enumerate(zip(memory, steps, strict=True)):
        last = kept * last + math.sqrt(max(0.0, 1.0 - kept**2)) * step
        noise[k] = last
    return cycle + noise


_RRC = {"r21": (0.15, 0.05), "phi21": (4.7, 0.4), "r31": (0.07, 0.03), "phi31": (3.0, 0.7)}
KINDS: Mapping[str, Kind] = {
    "rrab": Kind(0.30, (-0.25, 0.05), (0.4, 1.3), _series, (18.6, -2.0, 0.15), (0.45, 0.1),
                 (0.47, 0.05), (3.9, 0.3), (0.32, 0.05), (1.8, 0.4)),
    "rrc": Kind(0.12, (-0.48, 0.04), (0.25, 0.6), _series, (18.4, -2.0, 0.15), (0.3, 0.1), **_RRC),
    "rrd": Kind(0.03, (-0.44, 0.01), (0.25, 0.6), _two_modes, (18.4, -2.0, 0.15), (0.3, 0.1), **_RRC),
    "cep": Kind(0.15, (0.5, 0.25), (0.2, 1.0), _series, (17.3, -2.8, 0.2), (0.6, 0.1),
                (0.38, 0.1), (4.5, 0.4), (0.2, 0.08), (2.4, 0.7)),
    "t2cep": Kind(0.015, (0.6, 0.45), (0.3, 1.2), _series, (18.4, -2.2, 0.2), (0.6, 0.15),
                  (0.25, 0.12), (4.8, 0.9), (0.12, 0.07), (2.5, 1.2)),
    "acep": Kind(0.01, (0.0, 0.15), (0.4, 1.0), _series, (17.8, -3.0, 0.2), (0.45, 0.1),
                 (0.42, 0.06), (4.1, 0.3), (0.25, 0.06), (2.0, 0.4)),
    "dsct": Kind(0.025, (-0.95, 0.15), (0.2, 0.8), _series, (17.2, -3.4, 0.3), (0.25, 0.1),
                 (0.35, 0.1), (4.0, 0.4), (0.15, 0.07), (1.8, 0.6)),
    "ec": Kind(0.10, (-0.42, 0.1), (0.2, 0.7), _contact, (18.3, -2.0, 0.7), (0.5, 0.25)),
    "ed": Kind(0.15, (0.4, 0.35), (0.2, 1.2), _detached, (17.8, 0.0, 0.9), (0.0, 0.3)),
    "lpv": Kind(0.10, (2.3, 0.2), (0.5, 3.0), _red, (18.5, -1.6, 0.4), (1.8, 0.4)),
}  # fmt: skip
"""The ten kinds, by name; eclipsing binaries are contact (``ec``) and detached or semi-detached (``ed``) ones."""


def variables(n: int, *, seed: int, start: int = 0, points: int = 120) -> SimulatedVariables:
    """Draw stars `start` to ``start + n - 1`` of the survey with a seed.

    Parameters
    ----------
    n : int
        Stars.
    seed : int
        Of the survey.
    start : int
        First star.
    points : int
        Of each star and passband.

    Returns
    -------
    SimulatedVariables
        Points lie in the nights of three seasons; errors grow with magnitude, and are right but for
        1 point in 100, which is off by 5 to 20 of them.

    Raises
    ------
    SpecError
        If a number is negative, or there is no point.
    """
    if min(n, seed, start) < 0 or points < 1:
        msg = f"n, seed and start are not negative and points positive, got {n}, {seed}, {start} and {points}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    stars = [_star(np.random.default_rng([seed, star]), points) for star in range(start, start + n)]
    per_star = len(BANDS) * points
    columns = (np.concatenate([star[k] for star in stars]) if stars else np.empty(0) for k in range(3))
    mjd, mag, error = columns
    return SimulatedVariables(
        curves=LightCurves(
            offsets=np.arange(n + 1, dtype=np.int64) * per_star,
            mjd=mjd,
            flux=mag,
            flux_err=error,
            band=np.tile(np.arange(len(BANDS), dtype=np.uint8), n * points),
            bands=BANDS,
            flag=np.zeros(n, dtype=np.uint32),
        ),
        kind=np.array([star[3] for star in stars], dtype=np.int64),
        true_d=np.array([star[4] for star in stars]),
        period_d=np.array([star[4] * star[5] for star in stars]),
    )


_Star = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int, float, float]


def _star(rng: np.random.Generator, points: int) -> _Star:
    """Return times, magnitudes and errors of one star, its kind, its period, and the catalog's over it."""
    shares = np.cumsum([kind.share for kind in KINDS.values()])
    place = int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))
    kind = list(KINDS.values())[place]
    period = 10 ** rng.normal(*kind.log_period)
    night = np.floor(rng.uniform(0.0, _SPAN_D, 4 * points))
    night = night[night % _YEAR_D < _SEASON_D][:points]
    night = np.concatenate([night, np.floor(rng.uniform(0.0, _SEASON_D, points - len(night)))])
    mjd = np.sort(night + rng.uniform(0.0, _NIGHT_D, points))
    wave = kind.shape(kind, period, mjd, rng)
    at_one, slope, scatter = kind.magnitude
    r = at_one + slope * math.log10(period) + rng.normal(0.0, scatter)
    mean = np.array([r + rng.normal(*kind.color), r])
    # One light curve in both passbands, a little smaller in the redder one.
    height = rng.uniform(*kind.amplitude) * np.array([1.0, rng.uniform(0.7, 0.9)])
    mag = mean + wave[:, None] * height
    error = np.clip(0.02 * 10 ** (0.3 * (mag - 17.0)), 0.01, 0.4)
    away = rng.normal(0.0, 1.0, mag.shape)
    far = rng.random(mag.shape) < _OUTLIERS
    away[far] = rng.choice([-1.0, 1.0], far.sum()) * rng.uniform(5.0, 20.0, far.sum())
    factor = float(rng.choice([0.5, 2.0])) if rng.random() < _WRONG_PERIODS else 1.0
    return np.repeat(mjd, len(BANDS)), (mag + away * error).ravel(), error.ravel(), place, period, factor
