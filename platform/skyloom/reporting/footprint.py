"""Where on the sky rows lie: the cap that holds them, and sums over HEALPix cells of one order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cap", "CapFinder", "CellSums", "cells_of", "centre_of", "reach_deg"]

CELL_DEG = 58.6
"""Side of a HEALPix cell of order 0; each order halves it."""
CELLS_ACROSS = 40
"""Of a map: fewer show no structure, more show noise."""
WHOLE_SKY_DEG = 60.0
"""Caps wider than this are drawn as the whole sky."""
_ORDERS = (3, 16)


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap that holds every row."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    @property
    def is_wide(self) -> bool:
        """Whether a map of it is one of the whole sky."""
        return self.radius_deg > WHOLE_SKY_DEG

    @property
    def order(self) -> int:
        """HEALPix order of a map: about `CELLS_ACROSS` cells across, so that there is a bound on their number."""
        across = 180.0 if self.is_wide else 2.0 * max(self.radius_deg, 1e-6)
        order = round(math.log2(CELL_DEG * CELLS_ACROSS / across))
        return min(max(order, _ORDERS[0]), _ORDERS[1])


def reach_deg(cap: Cap, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> float:
    """Return how far from the middle of a cap the farthest of some positions is; 0 of none."""
    there = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    middle = unit_vectors(np.array([cap.ra_deg]), np.array([cap.dec_deg]))
    chord = np.linalg.norm(unit_vectors(ra_deg[there], dec_deg[there]) - middle, axis=0)
    return float(np.degrees(2.0 * np.arcsin(min(1.0, float(chord.max(initial=0.0)) / 2.0))))


class CapFinder:
    """Finds a cap around positions that come piece by piece: by the box of their unit vectors."""

    def __init__(self) -> None:
        self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)

    def add(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> None:
        """Look at some positions."""
        there = np.isfinite(ra_deg) & np.isfinite(dec_deg)
        if not there.any():
            return
        xyz = unit_vectors(ra_deg[there], dec_deg[there])
        self._low = np.minimum(self._low, xyz.min(axis=1))
        self._high = np.maximum(self._high, xyz.max(axis=1))

    def cap(self) -> Cap | None:
        """Return a cap that holds all of them, up to half as wide again as needed; None of none."""
        if not np.isfinite(self._low).all():
            return None
        centre = (self._low + self._high) / 2
        length = float(np.linalg.norm(centre))
        half = float(np.linalg.norm(self._high - self._low)) / 2
        if length < 0.2 or half > 1.0:
            return Cap(0.0, 0.0, 180.0)
        # The farthest point is within `half` of the centre of the box, which is not always inside the sphere.
        towards = centre / length
        reach = abs(1.0 - length) + half
        radius = math.degrees(2.0 * math.asin(min(1.0, reach / 2.0)))
        ra = math.degrees(math.atan2(towards[1], towards[0])) % 360.0
        return Cap(ra, math.degrees(math.asin(np.clip(towards[2], -1, 1))), radius)


def unit_vectors(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors, shape (3, N)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def cells_of(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], order: int) -> NDArray[np.int64]:
    """Return the HEALPix cell of each position, nested; -1 where there is no position."""
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import lonlat_to_healpix

    there = np.isfinite(ra_deg) & np.isfinite(dec_deg) & (np.abs(dec_deg) <= 90.0)
    found = np.full(len(ra_deg), -1, np.int64)
    if there.any():
        lon, lat = Longitude(ra_deg[there], "deg"), Latitude(dec_deg[there], "deg")
        found[there] = np.asarray(lonlat_to_healpix(lon, lat, order, num_threads=1)).astype(np.int64)
    return found


def centre_of(cell: int, order: int) -> tuple[float, float]:
    """Return right ascension and declination of the middle of a cell, in degrees."""
    from cdshealpix.nested import healpix_to_lonlat

    lon, lat = healpix_to_lonlat(np.array([cell], np.uint64), order)
    return float(lon[0].deg), float(lat[0].deg)


class CellSums:
    """Rows, and sums of some values, by cell; only cells that have rows are kept.

    Parameters
    ----------
    order : int
    names : tuple of str
        Of the values.
    """

    def __init__(self, order: int, names: tuple[str, ...]) -> None:
        self.order, self.names = order, names
        self.cells = np.empty(0, np.int64)
        self.rows = np.empty(0, np.int64)
        self._sums = np.empty((len(names), 0))
        self._counts = np.empty((len(names), 0), np.int64)

    def add(self, cells: NDArray[np.int64], values: dict[str, Any]) -> None:
        """Count some rows.

        Parameters
        ----------
        cells : ndarray of int64, shape (N,)
            As `cells_of` gives them; rows of cell -1 are passed over.
        values : dict of str to ndarray, shape (N,)
            One for each name; NaN where a row has none.
        """
        self._make_room(np.unique(cells[cells >= 0]))
        there = cells >= 0
        place = np.searchsorted(self.cells, cells[there])
        size = len(self.cells)
        self.rows += np.bincount(place, minlength=size)
        for k, name in enumerate(self.names):
            value = np.asarray(values[name], np.float64)[there]
            finite = np.isfinite(value)
            self._sums[k] += np.bincount(place[finite], weights=value[finite], minlength=size)
            self._counts[k] += np.bincount(place[finite], minlength=size)

    def _make_room(self, new: NDArray[np.int64]) -> None:
        grown = np.union1d(self.cells, new)
        if len(grown) == len(self.cells):
            return
        at = np.searchsorted(grown, self.cells)
        for name in ("rows", "_sums", "_counts"):
            before = getattr(self, name)
            after = np.zeros((*before.shape[:-1], len(grown)), before.dtype)
            after[..., at] = before
            setattr(self, name, after)
        self.cells = grown

    def mean(self, name: str) -> NDArray[np.float64]:
        """Return the mean of a value in each of `cells`; NaN where no row has one."""
        k = self.names.index(name)
        found = np.full(len(self.cells), np.nan)
        np.divide(self._sums[k], self._counts[k], out=found, where=self._counts[k] > 0)
        return found
