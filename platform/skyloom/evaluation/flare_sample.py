"""Simulated stars to learn from and to be judged by: which cadences are in a flare, and windows about some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.split import Parts, parts_of
from skyloom.models.flares.columns import Config, prepared_of
from skyloom.models.flares.curves import HALF, WINDOW, Prepared
from skyloom.simulators.flares import SimulatedFlares, flare_stars

__all__ = ["CLEAR_SIGMA", "Star", "labels_of", "parts_of_stars", "stars_of", "windows"]

CLEAR_SIGMA = 3.0
"""A flare is *clear* if three of its cadences stand out so far, in units of the white noise: the rule by which the
flares of Günther et al. 2020 were found, from which stella's team learnt. Others count neither way."""
_IN, _OUT = 1.0, 0.3
"""A cadence is in a flare from so many sigma of flare light on, and in none below so many."""
_MISTIMED, _MISTIMED_CADENCES = 0.05, 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Star:
    """One simulated light curve on its nodes (G of them).

    Attributes
    ----------
    number : int
    curve : Prepared
    light : ndarray of float32, shape (G,)
        What flares add, in units of the white noise.
    peaks : ndarray of int64, shape (E,)
        Nodes of the peaks of its flares that have a whole window.
    sigmas, duration_s : ndarray of float64, shape (E,)
        Of these flares.
    clear : ndarray of bool, shape (E,)
        Which of them must be found.
    """

    number: int
    curve: Prepared
    light: NDArray[np.float32]
    peaks: NDArray[np.int64]
    sigmas: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    clear: NDArray[np.bool_]


def parts_of_stars(numbers: NDArray[np.int64]) -> Parts:
    """Return which stars train, calibrate and are held out: a hash of their numbers."""
    return parts_of(numbers)


def stars_of(numbers: Sequence[int], *, seed: int, days: float, config: Config | None = None) -> list[Star]:
    """Simulate stars of a seed, one by one, and prepare them; those that cannot be scored are left out."""
    found = list[Star]()
    for number in numbers:
        drawn = flare_stars(1, seed=seed, first=int(number), days=days)
        curves, _, _ = prepared_of(drawn.curves, config or Config())
        if curves:
            found.append(_star(drawn, curves[0]))
    return found


def _star(drawn: SimulatedFlares, curve: Prepared) -> Star:
    held = curve.node >= 0
    light = np.interp(
        np.arange(len(curve.mjd)), curve.node[held], drawn.flaring[curve.place[held]] / drawn.noise[0]
    )
    truth = drawn.truth
    nearest = np.clip(np.searchsorted(curve.mjd, truth.peak_mjd), 1, max(1, len(curve.mjd) - 1))
    left = truth.peak_mjd - curve.mjd[nearest - 1] < curve.mjd[nearest] - truth.peak_mjd
    node = nearest - left
    inside = (np.abs(curve.mjd[node] - truth.peak_mjd) < curve.cadence_d) & curve.judged[node]
    return Star(
        int(drawn.star[0]),
        curve,
        light.astype(np.float32),
        node[inside],
        truth.sigmas[inside],
        truth.duration_s[inside],
        truth.third_sigmas[inside] >= CLEAR_SIGMA,
    )


def labels_of(star: Star, *, people: np.random.Generator | None = None) -> NDArray[np.int8]:
    """Return what is known of every node, shape (G,): 1 in a clear flare, 0 in none, -1 neither.

    Parameters
    ----------
    star : Star
    people : numpy.random.Generator, optional
        Label as people would: flares below 3 sigma are missed (0), and 5 % of the clear ones are put at a
        wrong time, by 3 cadences (1 sigma). By default the truth.
    """
    label = np.where(star.light < _OUT, 0, -1).astype(np.int8)
    clear, seen = star.peaks[star.clear], star.peaks[star.sigmas >= CLEAR_SIGMA]
    if people is not None:
        for first, last in _runs(star.light >= _OUT):
            if not ((seen >= first) & (seen < last)).any():
                label[first:last] = 0
    for first, last in _runs(star.light >= _IN):
        if ((clear >= first) & (clear < last)).any():
            late = 0
            if people is not None and people.random() < _MISTIMED:
                late = round(people.normal(0.0, _MISTIMED_CADENCES))
            label[max(0, first + late) : max(0, last + late)] = 1
    return label


def _runs(there: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first node and the node after the last of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], there.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def windows(curve: Prepared, nodes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the windows about nodes, shape (K, channels, 200): copies, for learning alone.

    The nodes must be among those that `Prepared.judged` names.
    """
    view = np.lib.stride_tricks.sliding_window_view(curve.channels, WINDOW, axis=1)
    return np.ascontiguousarray(view[:, nodes - HALF].transpose(1, 0, 2))
