"""What to do about light curves with bad points: drop, sort, mark; never crash.

Everything works on whole arrays. Points are dropped one by one, rows never: a row that
loses all its points stays, marked ``LC_EMPTY``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.timeseries.lightcurves import BandLightCurves, LightCurveFlag, LightCurves
from skyloom.timeseries.nested import UNKNOWN_BAND

__all__ = ["by_band", "clean", "clean_places"]


def clean(curves: LightCurves) -> tuple[LightCurves, NDArray[np.uint32]]:
    """Drop the points that cannot be used and sort each row by time.

    Returns
    -------
    curves : LightCurves
        Finite, with positive errors, known bands, and times that ascend (ties keep their order).
        The same object where nothing was wrong.
    flag : ndarray of uint32, shape (N,)
        `LightCurveFlag` bits.
    """
    cleaned, flag, _ = clean_places(curves)
    return cleaned, flag


def clean_places(
    curves: LightCurves,
) -> tuple[LightCurves, NDArray[np.uint32], NDArray[np.int64] | None]:
    """Clean as `clean` does, and say where each point that is left was before.

    Returns
    -------
    curves, flag
        As `clean`.
    places : ndarray of int64, shape (P,), or None
        Place of each point in the arrays given; None where nothing was wrong.
    """
    bad, flag = _bad_points(curves)
    row = curves.row_of_point()
    ascending = _ascending(curves.mjd, curves.offsets)
    if bad is None and ascending is None:
        return curves, _mark_empty(flag, np.diff(curves.offsets)), None
    keep = np.arange(len(row)) if bad is None else np.flatnonzero(~bad)
    if ascending is not None:
        keep = keep[np.lexsort((curves.mjd[keep], row[keep]))]
        flag |= _unsorted_rows(curves, bad)
    count = np.bincount(row[keep], minlength=len(curves))
    out = LightCurves(
        offsets=np.concatenate(([0], np.cumsum(count))),
        mjd=curves.mjd[keep],
        flux=curves.flux[keep],
        flux_err=curves.flux_err[keep],
        band=curves.band[keep],
        bands=curves.bands,
        flag=curves.flag,
    )
    return out, _mark_empty(flag | _duplicated(row[keep], out.band, out.mjd, len(curves)), count), keep


def by_band(curves: LightCurves) -> tuple[BandLightCurves, NDArray[np.uint32]]:
    """Take the light curves apart by passband, cleaning them on the way.

    The same points and flags as `clean` gives, in one pass over the points: bad ones get a
    band code that sorts last and are cut off.

    Returns
    -------
    curves : BandLightCurves
        Of all N rows; those without a usable point have empty segments.
    flag : ndarray of uint32, shape (N,)
        `LightCurveFlag` bits.
    """
    bad, flag = _bad_points(curves)
    code = curves.band if bad is None else np.where(bad, np.uint8(UNKNOWN_BAND), curves.band)
    # Arrow's kernels, not numpy's: small integers are sorted by counting (linear and stable), and
    # large results come from a pool that keeps its pages. Together this halves the whole step.
    order = pc.array_sort_indices(pa.array(code)).to_numpy().view(np.int64)
    offsets = _segments(code, order, curves)
    mjd = _take(curves.mjd, order[: offsets[-1]])
    if _ascending(curves.mjd, curves.offsets) is not None:
        flag |= _unsorted_rows(curves, bad)
        # Bands seen at one time, or stored one after the other, ascend once they are apart: nothing to sort.
        if _ascending(mjd, offsets) is not None:
            row = curves.row_of_point()
            order = np.lexsort((curves.mjd, row, code))
            mjd = _take(curves.mjd, order[: offsets[-1]])
            flag |= _duplicated(row, code, curves.mjd, len(curves))
    order = order[: offsets[-1]]
    out = BandLightCurves(
        offsets=offsets,
        mjd=mjd,
        flux=_take(curves.flux, order),
        flux_err=_take(curves.flux_err, order),
        bands=curves.bands,
        rows=len(curves),
    )
    return out, _mark_empty(flag, out.counts.sum(axis=0))


def _take(values: NDArray[np.floating], order: NDArray[np.int64]) -> NDArray[np.float64]:
    taken = pc.take(pa.array(values), pa.array(order), boundscheck=False)
    return np.asarray(taken.cast(pa.float64()).to_numpy())


def _segments(code: NDArray[np.uint8], order: NDArray[np.int64], curves: LightCurves) -> NDArray[np.int64]:
    """Offsets of the (band, row) segments, band-major, shape (B * N + 1,)."""
    n_rows, n_bands = len(curves), len(curves.bands)
    offsets = np.zeros(n_bands * n_rows + 1, dtype=np.int64)
    begin = 0
    for b in range(n_bands):
        end = begin + int(np.count_nonzero(code == b))
        # Within one band `order` ascends, so that the rows' ends can be looked up in it.
        ends = np.searchsorted(order[begin:end], curves.offsets[1:])
        offsets[b * n_rows + 1 : (b + 1) * n_rows + 1] = ends + begin
        begin = end
    return offsets


def _bad_points(curves: LightCurves) -> tuple[NDArray[np.bool_] | None, NDArray[np.uint32]]:
    """Points to drop (None: none) and the flags of the rows that have them."""
    flag = curves.flag.copy()
    good, also = curves.flux_err > 0, np.empty(len(curves.mjd), dtype=bool)
    good &= np.less(curves.flux_err, np.inf, out=also)
    good &= np.isfinite(curves.flux, out=also)
    good &= np.isfinite(curves.mjd, out=also)
    good &= np.less(curves.band, len(curves.bands), out=also)
    if good.all():
        return None, flag
    causes = (
        (~((curves.flux_err > 0) & (curves.flux_err < np.inf)), LightCurveFlag.LC_BADERR),
        (~(np.isfinite(curves.flux) & np.isfinite(curves.mjd)), LightCurveFlag.LC_NONFINITE),
        (curves.band >= len(curves.bands), LightCurveFlag.LC_UNKNOWN_BAND),
    )
    row = curves.row_of_point()
    for points, bit in causes:
        flag[row[points]] |= np.uint32(bit)
    return ~good, flag


def _mark_empty(flag: NDArray[np.uint32], count: NDArray[np.int64]) -> NDArray[np.uint32]:
    flag[count == 0] |= np.uint32(LightCurveFlag.LC_EMPTY)
    return flag


def _ascending(mjd: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Whether each point is later than the one before it in its row; None: all are."""
    later = mjd[1:] > mjd[:-1]
    first = offsets[1:-1]
    first = first[(first > 0) & (first < len(mjd))]
    later[first - 1] = True
    return None if later.all() else later


def _unsorted_rows(curves: LightCurves, bad: NDArray[np.bool_] | None) -> NDArray[np.uint32]:
    """``LC_UNSORTED`` of the rows whose good points go back in time."""
    keep = slice(None) if bad is None else ~bad
    mjd, row = curves.mjd[keep], curves.row_of_point()[keep]
    back = (mjd[1:] < mjd[:-1]) & (row[1:] == row[:-1])
    flag = np.zeros(len(curves), dtype=np.uint32)
    flag[row[1:][back]] = LightCurveFlag.LC_UNSORTED
    return flag


def _duplicated(
    row: NDArray[np.int64], code: NDArray[np.uint8], mjd: NDArray[np.float64], n_rows: int
) -> NDArray[np.uint32]:
    """``LC_DUPTIME`` of the rows with two good points of one passband at one time."""
    order = np.lexsort((mjd, code, row))
    row, code, mjd = row[order], code[order], mjd[order]
    same = (row[1:] == row[:-1]) & (code[1:] == code[:-1]) & (mjd[1:] == mjd[:-1])
    same &= code[1:] != UNKNOWN_BAND
    flag = np.zeros(n_rows, dtype=np.uint32)
    flag[row[1:][same]] = LightCurveFlag.LC_DUPTIME
    return flag
