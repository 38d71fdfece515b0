"""What a two-minute light curve holds beside flares: spots, other variables, the spacecraft.

Every function returns a change of relative flux at the times given, drawn from the generator given. Ranges are
settings of a simulation, not measurements.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["bumps", "correlated_noise", "dips", "jumps", "log_uniform", "pulsations", "ramps", "spikes", "spots"]

Floats = NDArray[np.float64]
_MINUTE_D = 1.0 / 1440.0


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number whose logarithm is uniform."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def spots(t: Floats, rng: np.random.Generator, *, period_d: float, amplitude: float) -> Floats:
    """Return the light of spots on a turning star: a quasi-periodic Gaussian process.

    Two harmonics of the rotation, each with two amplitudes: straight lines between normal numbers drawn
    every two rotations or five days, whichever is longer.
    """
    step = max(2.0 * period_d, 5.0)
    knots = np.arange(t[0] - step, t[-1] + 2.0 * step, step)
    flux = np.zeros_like(t)
    for harmonic, height in ((1, 1.0), (2, 0.5)):
        for wave in (np.cos, np.sin):
            amplitudes = np.interp(t, knots, rng.normal(size=len(knots)))
            flux += height * amplitudes * wave(2.0 * math.pi * harmonic * t / period_d)
    return np.asarray(amplitude * flux / max(float(np.std(flux)), 1e-12))


def pulsations(t: Floats, rng: np.random.Generator, *, noise: float) -> Floats:
    """Return a pulsating star: of one in two the maxima are sharp and the rises steep, as of RR Lyrae stars."""
    if rng.random() < 0.5:
        phase = t / log_uniform(rng, 0.25, 0.8) + rng.random()
        turn = 2.0 * math.pi * phase
        shape = sum(np.sin(k * turn) / k**1.3 for k in range(1, 7))
        return np.asarray(-log_uniform(rng, 5.0 * noise, max(0.3, 6.0 * noise)) * shape)
    total = np.zeros_like(t)
    for _ in range(int(rng.integers(1, 4))):
        period = log_uniform(rng, 0.02, 0.2)
        height = noise * log_uniform(rng, 0.5, 15.0)
        total += height * np.sin(2.0 * math.pi * (t / period + rng.random()))
    return total


def dips(t: Floats, rng: np.random.Generator, *, noise: float) -> Floats:
    """Return transits or eclipses: flat-bottomed, with straight sides."""
    period, length = log_uniform(rng, 0.4, 12.0), rng.uniform(1.0, 5.0) / 24.0
    length = min(length, 0.3 * period)
    away = np.abs((t / period + rng.random()) % 1.0 - 0.5) * period
    depth = noise * log_uniform(rng, 2.0, 60.0)
    side = rng.uniform(0.1, 0.5) * length
    return np.asarray(-depth * np.clip((0.5 * length - away) / side, 0.0, 1.0))


def bumps(t: Floats, rng: np.random.Generator, *, noise: float) -> Floats:
    """Return passing asteroids: up to three symmetric rises of half an hour to three hours."""
    total = np.zeros_like(t)
    for _ in range(int(rng.integers(1, 4))):
        width = rng.uniform(0.5, 3.0) / 24.0 / 2.355
        total += noise * log_uniform(rng, 2.0, 20.0) * np.exp(-0.5 * ((t - rng.choice(t)) / width) ** 2)
    return total


def ramps(t: Floats, orbit: NDArray[np.int64], rng: np.random.Generator, *, noise: float) -> Floats:
    """Return scattered light and settling at the ends of each orbit: exponentials of a few hours to a day."""
    total = np.zeros_like(t)
    for number in np.unique(orbit):
        inside = orbit == number
        first, last = t[inside][0], t[inside][-1]
        for away in (t[inside] - first, last - t[inside]):
            height = noise * rng.normal() * log_uniform(rng, 0.3, 10.0)
            total[inside] += height * np.exp(-away / log_uniform(rng, 0.1, 1.0))
    return total


def jumps(t: Floats, rng: np.random.Generator, *, noise: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return steps of the flux at momentum dumps, every two to four days, and the cadences lost to them."""
    total, lost = np.zeros_like(t), np.zeros(len(t), dtype=bool)
    size = noise * log_uniform(rng, 0.05, 3.0)
    for at in np.arange(t[0] + rng.uniform(0.5, 3.0), t[-1], rng.uniform(2.0, 4.0)):
        total += size * rng.normal() * (t > at)
        lost |= np.abs(t - at) < rng.uniform(1.0, 6.0) * _MINUTE_D
    return total - total.mean(), lost


def spikes(t: Floats, rng: np.random.Generator, *, noise: float) -> Floats:
    """Return cosmic rays: single cadences, up to two a day, of 3 to 30 sigma."""
    total = np.zeros_like(t)
    number = rng.poisson(rng.uniform(0.0, 2.0) * (t[-1] - t[0]))
    places = rng.integers(0, len(t), number)
    total[places] = noise * np.exp(rng.uniform(math.log(3.0), math.log(30.0), number))
    return total


def correlated_noise(n: int, rng: np.random.Generator, *, sigma: float, cadences: float) -> Floats:
    """Return noise that is forgotten over a number of cadences: autoregressive, of first order."""
    from scipy.signal import lfilter

    keep = math.exp(-1.0 / cadences)
    drawn = rng.normal(0.0, sigma * math.sqrt(1.0 - keep**2), n)
    drawn[:1] = rng.normal(0.0, sigma, min(n, 1))
    return np.asarray(lfilter([1.0], [1.0, -keep], drawn))
