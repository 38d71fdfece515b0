"""Events held against true flares: which events are flares, which flares were found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.flare_sample import Star

__all__ = ["SLACK", "Outcome", "Tally", "best_at_precision", "is_flare", "matched", "share", "tally_of"]

SLACK = 3
"""Cadences that a peak may lie outside of an event that is said to be it."""
_SOME_LIGHT = 0.3
"""Events in which flares give a cadence so many sigma, and no clear flare peaks, count neither way."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of E events, and of F clear flares.

    Attributes
    ----------
    flaring : ndarray of int8, shape (E,)
        1 flare, 0 none, -1 there was flare light, but no flare that must be found.
    recalled : ndarray of bool, shape (F,)
    sigmas : ndarray of float64, shape (F,)
    """

    flaring: NDArray[np.int8]
    recalled: NDArray[np.bool_]
    sigmas: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Counts of L light curves, shape (L,) each: what a finder got right."""

    right: NDArray[np.int64]
    """Events that are flares."""
    found: NDArray[np.int64]
    """Events that are flares, or are none."""
    recalled: NDArray[np.int64]
    listed: NDArray[np.int64]
    """Flares to find, and those of them that were found."""

    @property
    def precision(self) -> float:
        """Return the share of events that are flares; NaN without events."""
        return share(self.right, self.found)

    @property
    def recall(self) -> float:
        """Return the share of flares that were found; NaN without flares."""
        return share(self.recalled, self.listed)


def share(some: NDArray[np.integer], all_of: NDArray[np.integer]) -> float:
    """Return a ratio of sums; NaN of nothing."""
    total = int(all_of.sum())
    return float(some.sum()) / total if total else float("nan")


def tally_of(counts: Sequence[tuple[int, int, int, int]]) -> Tally:
    """Return the tally of light curves, each given as its four counts."""
    return Tally(*np.array(counts, dtype=np.int64).reshape(-1, 4).T)


def best_at_precision(tallies: Iterable[Tally], precision: float) -> Tally | None:
    """Return the tally of highest recall among those that reach a precision; None if none does."""
    best = None
    for tally in tallies:
        if tally.precision >= precision and (best is None or tally.recall > best.recall):
            best = tally
    return best


def matched(
    first: NDArray[np.integer], last: NDArray[np.integer], peaks: NDArray[np.integer], *, slack: int = SLACK
) -> NDArray[np.bool_]:
    """Return whether each event holds each peak, shape (E, F): places between `first` and `last`, or near."""
    return np.asarray((peaks >= first[:, None] - slack) & (peaks <= last[:, None] + slack))


def is_flare(star: Star, first: NDArray[np.int64], last: NDArray[np.int64]) -> Outcome:
    """Hold the events of a simulated star against the truth.

    Parameters
    ----------
    star : Star
    first, last : ndarray of int64, shape (E,)
        Nodes of the events.
    """
    peaks = star.peaks[star.clear]
    hit = matched(first, last, peaks)
    light = np.array(
        [star.light[a : b + 1].max() for a, b in zip(first.tolist(), last.tolist(), strict=True)], dtype=np.float64
    )
    flaring = np.where(hit.any(axis=1), 1, np.where(light >= _SOME_LIGHT, -1, 0)).astype(np.int8)
    return Outcome(flaring, np.asarray(hit.any(axis=0)), star.sigmas[star.clear])
