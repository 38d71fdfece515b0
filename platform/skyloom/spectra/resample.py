"""Spectra onto another grid, inverse variance with them.

Both ways of resampling are a matrix of weights W: ``flux' = W flux`` and, noise of pixels
being independent, ``var' = W**2 var``. The matrix depends on the two grids alone, is sparse,
and is kept: surveys write many spectra on one grid. specutils' `FluxConservingResampler`
gives the same numbers, by a loop over pixels that takes hundreds of times as long; its
`LinearInterpolatedResampler` interpolates the uncertainty instead of carrying it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.spectra.grid import Grid, bin_edges, offset_of

__all__ = ["METHODS", "Resampler", "conserving_weights", "linear_weights"]

METHODS = ("conserve", "linear")
KEPT = 16
"""Matrices that are kept, for spectra on as many grids."""
_ROUNDING = 1e-9
"""Fraction of a pixel that edges computed in two ways may differ by."""


class _Way(NamedTuple):
    """How spectra of one grid get onto another."""

    offset: int | None
    """Where the grids coincide: nothing is computed, pixels keep their bits."""
    weights: Any = None
    squared: Any = None
    takes_part: Any = None
    """1 where a weight is not 0."""
    inside: Any = None


class Resampler:
    """Puts spectra onto a grid.

    Parameters
    ----------
    grid : Grid
    method : str
        ``"conserve"``: the mean over each pixel of a flux density that is constant within the
        pixels of the source, which keeps the integral over wavelength. ``"linear"``: the value
        at each pixel's centre on straight lines between the centres of the source.

    Raises
    ------
    SpecError
        If there is no such method.
    """

    def __init__(self, grid: Grid, method: str = "conserve") -> None:
        if method not in METHODS:
            msg = f"there is no way {method!r} to resample: {close_matches(method, METHODS)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        self.grid, self.method = grid, method
        self._to = grid.wavelengths()
        self._ways: OrderedDict[bytes, _Way] = OrderedDict()

    def __call__(
        self, wavelength: NDArray[np.float64], flux: NDArray[Any], ivar: NDArray[Any] | None
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Resample one spectrum of L pixels.

        Parameters
        ----------
        wavelength : ndarray, shape (L,)
            Angstrom, increasing, in the grid's medium.
        flux : ndarray, shape (L,)
            NaN where there is none.
        ivar : ndarray, shape (L,), optional
            In 1 / flux**2; 0 where a pixel is bad.

        Returns
        -------
        flux : ndarray, shape (M,)
            Bit for bit the source's where the grids coincide (see `ALIGNED`). NaN where the
            source does not cover the whole pixel (linear: its centre), or has no flux there.
        ivar : ndarray, shape (M,)
            0 there, and where any source pixel that takes part is bad. Neighbouring pixels
            become correlated, which no inverse variance tells. None if `ivar` is.
        """
        way = self._way(wavelength)
        there = np.isfinite(flux)
        if way.offset is not None:
            length = len(self._to)
            placed = _placed(flux, way.offset, length, np.nan)
            if ivar is None:
                return placed, None
            return placed, _placed(np.where(there, ivar, ivar.dtype.type(0)), way.offset, length, 0.0)
        out = way.weights @ np.where(there, flux, 0.0)
        out[~way.inside | (way.takes_part @ ~there > 0)] = np.nan
        if ivar is None:
            return out, None
        good = ivar > 0
        variance = way.squared @ np.divide(1.0, ivar, out=np.zeros(len(ivar)), where=good)
        usable = way.inside & np.isfinite(out) & (way.takes_part @ ~good == 0) & (variance > 0)
        return out, np.divide(1.0, variance, out=np.zeros(len(out)), where=usable)

    def _way(self, wavelength: NDArray[np.float64]) -> _Way:
        key = wavelength.tobytes()
        way = self._ways.pop(key, None)
        if way is None:
            offset = offset_of(wavelength, self._to)
            way = _Way(offset) if offset is not None else self._weighed(wavelength)
        self._ways[key] = way
        while len(self._ways) > KEPT:
            self._ways.popitem(last=False)
        return way

    def _weighed(self, wavelength: NDArray[np.float64]) -> _Way:
        make = conserving_weights if self.method == "conserve" else linear_weights
        weights, inside = make(wavelength, self._to)
        return _Way(None, weights, weights.power(2), (weights != 0).astype(np.float64), inside)


def _placed(values: NDArray[Any], offset: int, length: int, fill: float) -> NDArray[Any]:
    out = np.full(length, fill, values.dtype)
    first, last = max(0, offset), min(length, offset + len(values))
    out[first:last] = values[first - offset : last - offset]
    return out


def conserving_weights(source: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[Any, NDArray[np.bool_]]:
    """Return the share of each target pixel that each source pixel covers.

    Parameters
    ----------
    source, target : ndarray, shapes (L,), (M,)
        Centres, increasing.

    Returns
    -------
    weights : scipy.sparse.csr_array, shape (M, L)
        Each row sums to 1, or is empty.
    inside : ndarray of bool, shape (M,)
        Target pixels that the source covers whole.

    References
    ----------
    .. [1] Carnall 2017, arXiv:1705.05165: the same sums.
    """
    from scipy.sparse import csr_array

    have, want = bin_edges(source), bin_edges(target)
    width = np.diff(want)
    inside = (want[:-1] >= have[0] - _ROUNDING * width) & (want[1:] <= have[-1] + _ROUNDING * width)
    low, high = max(have[0], want[0]), min(have[-1], want[-1])
    cuts = np.unique(np.clip(np.concatenate([have, want]), low, high)) if low < high else np.empty(0)
    length, middle = np.diff(cuts), (cuts[1:] + cuts[:-1]) / 2.0
    row = np.searchsorted(want, middle, side="right") - 1
    column = np.searchsorted(have, middle, side="right") - 1
    # Two edges that rounding parts cut off a sliver: it is nothing, and must not make a neighbour's mask count.
    real = (length > _ROUNDING * width[row]) & inside[row]
    row, column, length = row[real], column[real], length[real]
    share = length / np.bincount(row, length, len(target))[row]
    return csr_array((share, (row, column)), shape=(len(target), len(source))), inside


def linear_weights(source: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[Any, NDArray[np.bool_]]:
    """Return the weights of linear interpolation between centres; as `conserving_weights`."""
    from scipy.sparse import csr_array

    inside = (target >= source[0]) & (target <= source[-1])
    row = np.flatnonzero(inside)
    left = np.clip(np.searchsorted(source, target[row], side="right") - 1, 0, len(source) - 2)
    right_share = (target[row] - source[left]) / (source[left + 1] - source[left])
    weights = csr_array(
        (np.concatenate([1.0 - right_share, right_share]), (np.tile(row, 2), np.concatenate([left, left + 1]))),
        shape=(len(target), len(source)),
    )
    weights.eliminate_zeros()
    return weights, inside
