"""From a light curve to what the networks see: stretches of even cadence, the star's slow light taken off.

A *stretch* is a run of cadences without a gap; a *node* is a cadence of a stretch, all stretches end to end.
Cadences that are missing between two points no further apart than `MOST_MISSING` are filled along a straight
line. All of it is undone by no scale: flux times a constant gives the same nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skyloom.models.flares.trends import polynomial_trend, running_trend

__all__ = ["CHANNELS", "HALF", "KINDS", "MEDIANS", "MOST_MISSING", "WINDOW", "Prepared", "Trouble", "prepare"]

WINDOW = 200
"""Cadences that decide about one: ``[i - 100, i + 100)`` about cadence i."""
HALF = WINDOW // 2

MOST_MISSING = 10
"""Cadences that may be missing inside a stretch; more are a gap."""
MEDIANS = (41, 151)
"""Cadences of the two running medians that are taken off: the first follows quick stars, the second keeps long
flares. Each is taken off twice: what the first pass leaves of a curved light curve is curved, too."""
POLYNOMIAL = 151
"""Cadences of the running polynomial that is taken off as a third trend."""
CHANNELS = len(MEDIANS) + 1
KINDS = ("log_noise", "log_swing", "lag_1", "upper_tail", "lower_tail", "far_share")
"""Numbers that say what kind of light curve it is: see `Prepared.kind`."""

_MAD = 1.482602218505602
_SECONDS = 86400.0


Trouble = Literal["LC_SHORT", "LC_CADENCE", "LC_NOT_POSITIVE", "LC_CONSTANT"]
"""Why a light curve cannot be scored: the name of a flag."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One light curve of P usable points in a list of `length`, on G nodes.

    Attributes
    ----------
    length : int
        Points of the row, usable or not.
    place : ndarray of int64, shape (P,)
        Where in the row each usable point stands.
    node : ndarray of int64, shape (P,)
        Node of each usable point, or -1 where its stretch is too short.
    offsets : ndarray of int64, shape (S + 1,)
        Stretch s has the nodes ``[offsets[s], offsets[s + 1])``, `WINDOW` of them or more.
    mjd : ndarray of float64, shape (G,)
    flux : ndarray of float64, shape (G,)
        In units of the row's median.
    seen : ndarray of bool, shape (G,)
        Whether there is a point, or the node was filled.
    channels : ndarray of float32, shape (3, G)
        What the networks see: flux less each trend, in units of `noise`, ``asinh``.
    cadence_d : float
    noise : float
        Scatter from cadence to cadence, relative flux.
    kind : ndarray of float32, shape (6,)
        `KINDS`: logarithms of the noise and of what the slow light swings in units of it; correlation of
        neighbours; how far the upper and lower percent lie; share of cadences beyond 4 sigma.
    """

    length: int
    place: NDArray[np.int64]
    node: NDArray[np.int64]
    offsets: NDArray[np.int64]
    mjd: NDArray[np.float64]
    flux: NDArray[np.float64]
    seen: NDArray[np.bool_]
    channels: NDArray[np.float32]
    cadence_d: float
    noise: float
    kind: NDArray[np.float32]

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Return which nodes have a whole window around them, shape (G,)."""
        out = np.zeros(len(self.mjd), dtype=bool)
        for first, last in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            out[first + HALF : last - HALF + 1] = True
        return out


def prepare(
    mjd: NDArray[np.float64],
    flux: NDArray[np.floating],
    *,
    length: int,
    place: NDArray[np.int64],
    cadence_s: tuple[float, float],
) -> Prepared | Trouble:
    """Put one light curve on nodes and take the slow light off.

    Parameters
    ----------
    mjd, flux : ndarray, shape (P,)
        Usable points, times ascending.
    length, place
        As in `Prepared`.
    cadence_s : (float, float)
        Shortest and longest cadence, seconds, of light curves that the networks know.

    Returns
    -------
    Prepared, or str
        ``LC_SHORT`` without a stretch of `WINDOW` cadences, ``LC_CADENCE`` if the median cadence is another
        one, ``LC_NOT_POSITIVE`` if the median flux is not positive, ``LC_CONSTANT`` if neighbours never differ.
    """
    if len(mjd) < WINDOW // 2:
        return "LC_SHORT"
    steps = np.diff(mjd)
    cadence = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    if not cadence_s[0] <= cadence * _SECONDS <= cadence_s[1]:
        return "LC_CADENCE"
    level = float(np.median(flux.astype(np.float64)))
    if not level > 0.0:
        return "LC_NOT_POSITIVE"
    relative = flux.astype(np.float64) / level
    noise = _MAD * float(np.median(np.abs(np.diff(relative)))) / np.sqrt(2.0)
    if not noise > 0.0:
        return "LC_CONSTANT"
    strides = np.rint(np.minimum(steps / cadence, MOST_MISSING + 2.0)).astype(np.int64)
    nodes = _nodes(strides)
    if nodes is None:
        return "LC_SHORT"
    node, offsets = nodes
    grid_mjd, grid_flux, seen = _filled(mjd, relative, node, offsets)
    quick, slow = (running_trend(grid_flux, offsets, width) for width in MEDIANS)
    bent = polynomial_trend(grid_flux, offsets, POLYNOMIAL, start=quick, noise=noise)
    scaled = (grid_flux - np.stack([quick, slow, bent])) / noise
    return Prepared(
        length,
        place,
        node,
        offsets,
        grid_mjd,
        grid_flux,
        seen,
        np.arcsinh(scaled).astype(np.float32),
        cadence,
        noise,
        _kind(scaled, slow, noise),
    )


def _nodes(strides: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the node of each point (-1: none) and the offsets of stretches, from cadences between points."""
    breaks = np.flatnonzero(strides > MOST_MISSING + 1)
    first = np.concatenate(([0], breaks + 1))
    last = np.concatenate((breaks, [len(strides)]))
    along = np.concatenate(([0], np.cumsum(strides)))
    sizes = along[last] - along[first] + 1
    held = sizes >= WINDOW
    if not held.any():
        return None
    offsets = np.concatenate(([0], np.cumsum(sizes[held])))
    node = np.full(len(along), -1, dtype=np.int64)
    for a, b, start in zip(first[held], last[held], offsets[:-1], strict=True):
        node[a : b + 1] = start + along[a : b + 1] - along[a]
    return node, offsets


def _filled(
    mjd: NDArray[np.float64], flux: NDArray[np.float64], node: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return times and flux of every node, and which have a point; of two points of a node the first counts."""
    inside = np.flatnonzero(node >= 0)
    known, index = np.unique(node[inside], return_index=True)
    chosen, every = inside[index], np.arange(offsets[-1])
    seen = np.zeros(len(every), dtype=bool)
    seen[known] = True
    return np.interp(every, known, mjd[chosen]), np.interp(every, known, flux[chosen]), seen


def _kind(scaled: NDArray[np.float64], slow: NDArray[np.float64], noise: float) -> NDArray[np.float32]:
    """Return the numbers of `KINDS`."""
    near = np.clip(scaled[0], -4.0, 4.0)
    low, high = np.percentile(scaled[0], (1.0, 99.0))
    swing = np.subtract(*np.percentile(slow, (95.0, 5.0))) / noise
    lag = float(np.mean(near[1:] * near[:-1]) / max(float(np.mean(near**2)), 1e-12))
    far = float(np.mean(np.abs(scaled[0]) > 4.0))
    return np.array([np.log10(noise), np.log10(swing + 0.1), lag, high, -low, far], dtype=np.float32)
