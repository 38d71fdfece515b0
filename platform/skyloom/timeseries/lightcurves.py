"""Light curves of many objects as one set of flat arrays, and what can be wrong with them.

A nested column of a catalog (Arrow struct of equal-length lists) becomes offsets plus
flat values, without a copy where Arrow allows it; there is no loop over rows. What is
done about bad points is in `skyloom.timeseries.cleaning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.timeseries import nested

__all__ = ["BandLightCurves", "LightCurveFlag", "LightCurves"]


class LightCurveFlag(IntFlag):
    """What was found in a light curve; the bits of the flag column of its row."""

    LC_EMPTY = 1 << 0
    """No usable point: the row is null."""
    LC_UNSORTED = 1 << 1
    """Times did not ascend; they were sorted. A caveat."""
    LC_DUPTIME = 1 << 2
    """Two points of one passband share a time; both were kept. A caveat."""
    LC_BADERR = 1 << 3
    """Points with a missing, infinite, zero or negative error were dropped. A caveat."""
    LC_NONFINITE = 1 << 4
    """Points with a missing or infinite time or flux were dropped. A caveat."""
    LC_UNKNOWN_BAND = 1 << 5
    """Points of passbands that were not asked for were dropped. A caveat."""
    LC_UNEQUAL = 1 << 6
    """The lists of the row differ in length, so that no point is known: the row is null."""


@dataclass(frozen=True, slots=True, eq=False)
class LightCurves:
    """N light curves: the points of row i are ``[offsets[i], offsets[i + 1])`` of each array.

    Attributes
    ----------
    offsets : ndarray of int64, shape (N + 1,)
    mjd : ndarray of float64, shape (P,)
        Times in days.
    flux, flux_err : ndarray of float32 or float64, shape (P,)
        Brightness and its 1-sigma error, in the unit of the catalog; magnitudes where the
        catalog has them. NaN marks a missing value.
    band : ndarray of uint8, shape (P,)
        Index into `bands`, or `skyloom.timeseries.nested.UNKNOWN_BAND`.
    bands : tuple of str
    flag : ndarray of uint32, shape (N,)
        `LightCurveFlag` bits found while reading (``LC_UNEQUAL``).
    """

    offsets: NDArray[np.int64]
    mjd: NDArray[np.float64]
    flux: NDArray[np.floating]
    flux_err: NDArray[np.floating]
    band: NDArray[np.uint8]
    bands: tuple[str, ...]
    flag: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_arrow(cls, column: pa.Array | pa.ChunkedArray, bands: Sequence[str]) -> LightCurves:
        """Read a nested column.

        Parameters
        ----------
        column : Arrow struct of lists (or list of structs), length N
            Fields ``mjd``, ``flux``, ``flux_err`` and ``band`` (string, or dictionary of
            string); others are ignored. A null row, or null list, is an empty light curve.
        bands : sequence of str
            Labels to recognise, at most 255; the band codes are places in it.

        Raises
        ------
        DataError
            If a field is missing or is no list of numbers (of labels, for ``band``).
        """
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        names = ("mjd", "flux", "flux_err", "band")
        lists = nested.lists_of(column, names)
        lengths = [lst.length for lst in lists]
        unequal = np.zeros(len(column), dtype=bool)
        for other in lengths[1:]:
            if other is not lengths[0]:
                unequal |= other != lengths[0]
        length = np.where(unequal, 0, lengths[0]) if unequal.any() else lengths[0]
        offsets = np.zeros(len(length) + 1, dtype=np.int64)
        np.cumsum(length, out=offsets[1:])
        mjd, flux, flux_err, band = (nested.end_to_end(lst, length, offsets) for lst in lists)
        return cls(
            offsets=offsets,
            mjd=nested.floats(mjd, "mjd").astype(np.float64, copy=False),
            flux=nested.floats(flux, "flux"),
            flux_err=nested.floats(flux_err, "flux_err"),
            band=nested.band_codes(band, bands),
            bands=tuple(bands),
            flag=unequal.astype(np.uint32) * np.uint32(LightCurveFlag.LC_UNEQUAL),
        )

    def row_of_point(self) -> NDArray[np.int64]:
        """Return the row that each point belongs to, shape (P,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


@dataclass(frozen=True, slots=True, eq=False)
class BandLightCurves:
    """Light curves apart by passband, band-major: segment ``b * N + i`` is band b of row i.

    Within a segment times ascend, and all values are finite with positive errors.

    Attributes
    ----------
    offsets : ndarray of int64, shape (B * N + 1,)
    mjd, flux, flux_err : ndarray of float64, shape (P,)
    bands : tuple of str, length B
    rows : int
        N.
    """

    offsets: NDArray[np.int64]
    mjd: NDArray[np.float64]
    flux: NDArray[np.float64]
    flux_err: NDArray[np.float64]
    bands: tuple[str, ...]
    rows: int

    def __len__(self) -> int:
        return self.rows

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of points, shape (B, N)."""
        return np.diff(self.offsets).reshape(len(self.bands), self.rows)

    def take(self, rows: NDArray[np.bool_]) -> BandLightCurves:
        """Return the light curves of the rows where `rows`, a mask of shape (N,), is true.

        The rows left out must have no points (as rows flagged ``LC_EMPTY`` have none).
        """
        if rows.all():
            return self
        left_out = self.counts[:, ~rows]
        if left_out.any():
            msg = "rows that have points cannot be left out of band light curves"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, points=int(left_out.sum()))
        counts = self.counts[:, rows]
        return BandLightCurves(
            offsets=np.concatenate(([0], np.cumsum(counts.ravel()))),
            mjd=self.mjd,
            flux=self.flux,
            flux_err=self.flux_err,
            bands=self.bands,
            rows=int(rows.sum()),
        )
