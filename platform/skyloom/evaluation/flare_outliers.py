"""The finder that a network has to beat: cadences that stand out of the detrended light curve by some sigmas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from skyloom.models.flares.curves import CHANNELS, Prepared
from skyloom.models.flares.events import spans

__all__ = ["GRID", "outlier_events", "settings"]

GRID = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0)
"""Sigmas tried where the finder may choose its best."""
_JOIN = 3
_LEAST = (1, 2, 3)


def outlier_events(
    curve: Prepared, sigmas: float, *, least: int = 3, trend: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last node of every run of cadences that stand out.

    Parameters
    ----------
    curve : Prepared
    sigmas : float
        How far a cadence must stand out, in units of the noise of one cadence.
    least : int
        Cadences that must do so; 3 is the usual rule (Chang et al. 2015, ads:2015ApJ...814...35C).
    trend : int
        Which trend is taken off: a channel of `Prepared`.
    """
    hot = (np.sinh(curve.channels[trend].astype(np.float64)) >= sigmas) & curve.judged & curve.seen
    found = [(a, b) for a, b in spans(hot, curve.offsets, _JOIN) if hot[a : b + 1].sum() >= least]
    table = np.array(found, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def settings() -> Iterator[tuple[float, int, int]]:
    """Yield all settings among which the finder may choose: sigmas, least number of cadences, trend."""
    for sigmas in GRID:
        for least in _LEAST:
            for trend in range(CHANNELS):
                yield sigmas, least, trend
