"""Fake flaring stars as TESS sees them for a sector: two-minute flux with spots, contaminants and gaps.

Each star has a random stream of its own: star 7 is the same star whatever else is drawn. Flares come as a Poisson
process; energies follow a power law with index -1.8; shapes are those of `skyloom.simulators.flare_templates`,
integrated over the exposure. Everything else is `skyloom.simulators.star_nuisances`. Ranges are settings of a
simulation, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.simulators import star_nuisances as nuisances
from skyloom.simulators.flare_templates import DAVENPORT_AREA, MENDOZA_AREA, davenport, mendoza
from skyloom.timeseries.lightcurves import LightCurves

__all__ = ["BANDS", "CADENCE_D", "FlareTruth", "SimulatedFlares", "flare_stars", "integrated"]

BANDS = ("tess",)
CADENCE_D = 120.0 / 86400.0
_SECTOR_D = 27.4
_OVERSAMPLING = 10
_FAINTEST_SIGMA = 0.7
"""Amplitude of the least flare in units of the noise of one cadence."""
_AMPLITUDE_SLOPE = 0.8
"""Of the cumulative distribution: energies, amplitude times width, then have dN/dE ~ E^-1.8."""
_REACH = 40.0
"""FWHM after which a flare is over."""


@dataclass(frozen=True, slots=True, eq=False)
class FlareTruth:
    """Flares of N stars; those of star i are ``[offsets[i], offsets[i + 1])``.

    Attributes
    ----------
    offsets : ndarray of int64, shape (N + 1,)
    peak_mjd : ndarray of float64, shape (E,)
    amplitude : ndarray of float64, shape (E,)
        Peak of the template, in the star's quiet flux.
    fwhm_d : ndarray of float64, shape (E,)
    duration_s : ndarray of float64, shape (E,)
        Equivalent duration.
    sigmas : ndarray of float64, shape (E,)
        Highest cadence of this flare alone, in units of the white noise of one cadence; 0 in a gap.
    third_sigmas : ndarray of float64, shape (E,)
        Third highest cadence, likewise: what a finder sees that asks for three.
    """

    offsets: NDArray[np.int64]
    peak_mjd: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    fwhm_d: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    third_sigmas: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedFlares:
    """N stars.

    Attributes
    ----------
    curves : LightCurves
        Flux in electrons per second, in the one passband of `BANDS`; NaN where a cadence was spoilt.
    star : ndarray of int64, shape (N,)
        Number of the star: its light curve follows from this and the seed.
    noise : ndarray of float64, shape (N,)
        White noise of one cadence, relative.
    flaring : ndarray of float32, shape (P,)
        What flares add at each point, in the star's quiet flux.
    truth : FlareTruth
    """

    curves: LightCurves
    star: NDArray[np.int64]
    noise: NDArray[np.float64]
    flaring: NDArray[np.float32]
    truth: FlareTruth


@dataclass(frozen=True, slots=True, eq=False)
class _Star:
    mjd: NDArray[np.float64]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    noise: float
    flaring: NDArray[np.float64]
    flares: NDArray[np.float64]
    """Shape (E, 6), columns as in `FlareTruth`."""


def flare_stars(n: int, *, seed: int = 0, first: int = 0, days: float = _SECTOR_D) -> SimulatedFlares:
    """Draw stars ``first`` to ``first + n`` of a seed.

    Parameters
    ----------
    n : int
        Light curves, of one sector and one star each.
    seed : int
    first : int
        Number of the first star.
    days : float
        Length of the sector; it has a gap of one to two days in the middle.

    Raises
    ------
    SpecError
        If `n` or `first` is negative, or the sector shorter than two days.
    """
    if n < 0 or first < 0 or not days >= 2.0:
        msg = f"counts are not negative and a sector lasts 2 days at least, got n={n}, first={first}, days={days}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, n=n, first=first)
    stars = [_star(np.random.default_rng([seed, first + k]), days) for k in range(n)]
    points = np.cumsum([0, *(len(s.mjd) for s in stars)])
    events = np.cumsum([0, *(len(s.flares) for s in stars)])
    flares = np.concatenate([np.empty((0, 6)), *(s.flares for s in stars)])

    def joined(name: str) -> NDArray[np.float64]:
        return np.concatenate([np.empty(0), *(getattr(s, name) for s in stars)])

    curves = LightCurves(
        offsets=np.asarray(points, dtype=np.int64),
        mjd=joined("mjd"),
        flux=joined("flux").astype(np.float32),
        flux_err=joined("error").astype(np.float32),
        band=np.zeros(int(points[-1]), dtype=np.uint8),
        bands=BANDS,
        flag=np.zeros(n, dtype=np.uint32),
    )
    return SimulatedFlares(
        curves,
        np.arange(first, first + n),
        np.array([s.noise for s in stars]),
        joined("flaring").astype(np.float32),
        FlareTruth(np.asarray(events, dtype=np.int64), *flares.T),
    )


def integrated(
    t: NDArray[np.float64], peak: float, fwhm: float, *, shape: str = "davenport", exposure: float = CADENCE_D
) -> NDArray[np.float64]:
    """Return a template of amplitude 1 averaged over exposures.

    Parameters
    ----------
    t : ndarray, shape (P,)
        Middle of each exposure, ascending, days.
    peak, fwhm : float
        Days.
    shape : str
        ``davenport`` or ``mendoza``.
    exposure : float
        Days.
    """
    template = davenport if shape == "davenport" else mendoza
    inside = slice(*np.searchsorted(t, (peak - 3.0 * fwhm - exposure, peak + _REACH * fwhm + exposure)))
    within = (np.arange(_OVERSAMPLING) + 0.5) / _OVERSAMPLING - 0.5
    out = np.zeros_like(t)
    out[inside] = template((t[inside, None] + exposure * within - peak) / fwhm).mean(axis=1)
    return out


def _star(rng: np.random.Generator, days: float) -> _Star:
    start = 58324.8 + rng.uniform(0.0, 700.0)
    t = np.arange(int(days / CADENCE_D)) * CADENCE_D
    gap, middle = min(rng.uniform(1.0, 2.0), 0.2 * days), 0.5 * days
    t = t[np.abs(t - middle) > 0.5 * gap]
    orbit = (t > middle).astype(np.int64)
    noise = nuisances.log_uniform(rng, 1e-4, 3e-2)
    quiet, lost = _quiet(t, orbit, rng, noise)
    flaring, flares = _flares(t, rng, noise, days)
    scatter = noise * _loudness(t, days, rng)
    kept = ~lost & (rng.random(len(t)) > 0.002)
    flares[:, 0] += start
    level = nuisances.log_uniform(rng, 50.0, 50_000.0)
    flux = level * (1.0 + quiet + flaring + scatter * rng.normal(size=len(t)))
    flux[rng.random(len(t)) < 0.001] = np.nan
    return _Star(
        start + t[kept], flux[kept], np.full(int(kept.sum()), level * noise), noise, flaring[kept], flares
    )


def _quiet(
    t: NDArray[np.float64], orbit: NDArray[np.int64], rng: np.random.Generator, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return all but flares and white noise, and the cadences that are lost."""
    period, amplitude = nuisances.log_uniform(rng, 0.3, 15.0), nuisances.log_uniform(rng, 1e-3, 5e-2)
    steps, lost = nuisances.jumps(t, rng, noise=noise)
    total = nuisances.spots(t, rng, period_d=period, amplitude=amplitude) + steps
    total += nuisances.ramps(t, orbit, rng, noise=noise) + nuisances.spikes(t, rng, noise=noise)
    total += nuisances.correlated_noise(
        len(t), rng, sigma=noise * rng.uniform(0.0, 0.5), cadences=nuisances.log_uniform(rng, 2.0, 60.0)
    )
    for share, other in ((0.03, nuisances.pulsations), (0.05, nuisances.dips), (0.05, nuisances.bumps)):
        if rng.random() < share:
            total += other(t, rng, noise=noise)
    return total, lost


def _loudness(t: NDArray[np.float64], days: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how much louder the white noise is than at its quietest: up to twice, towards one end."""
    return 1.0 + rng.uniform(0.0, 1.0) * (t / days if rng.random() < 0.5 else 1.0 - t / days) ** 4


def _flares(
    t: NDArray[np.float64], rng: np.random.Generator, noise: float, days: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what flares add at each cadence, and the flares (E, 6), by time; one in five has more on its tail."""
    flaring = np.zeros_like(t)
    rows: list[tuple[float, ...]] = []
    for _ in range(rng.poisson(nuisances.log_uniform(rng, 0.05, 4.0) * days)):
        peak, fwhm = rng.uniform(0.0, days), nuisances.log_uniform(rng, 1.0, 60.0) / 1440.0
        height = min(noise * _FAINTEST_SIGMA * rng.random() ** (-1.0 / _AMPLITUDE_SLOPE), 20.0)
        more = int(rng.integers(1, 5)) if rng.random() < 0.2 else 0
        late = np.concatenate(([0.0], fwhm * rng.exponential(2.0, more)))
        shares = np.concatenate(([1.0], rng.uniform(0.2, 0.9, more)))
        for away, share in zip(late, shares, strict=True):
            width = fwhm * share
            is_davenport = rng.random() < 0.5
            one = (
                height
                * share
                * integrated(t, peak + away, width, shape="davenport" if is_davenport else "mendoza")
            )
            flaring += one
            area = DAVENPORT_AREA if is_davenport else MENDOZA_AREA
            third, top = np.sort(one)[[-3, -1]] / noise
            seconds = area * height * share * width * 86400.0
            rows.append((peak + away, height * share, width, seconds, float(top), float(third)))
    found = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return flaring, found[np.argsort(found[:, 0])]
