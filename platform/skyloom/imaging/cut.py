"""Cut N positions out of images: on the images' own grid, or on a common one, north up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.imaging.images import Image, unit_vectors
from skyloom.imaging.pixels import ImageSet

__all__ = ["Cut", "cut_rows"]

DIAGONAL = 1.5
"""Reach of a cutout turned by any angle, over half of its side."""
MARGIN_PX = 3
"""Taken of an image around what a resampled cutout covers: interpolation looks one pixel farther, edges bend."""
GRID = 9
"""Points along each side of a cutout that say which part of an image it covers."""


class Cut(NamedTuple):
    """Cutouts of N rows."""

    values: NDArray[np.float32]
    """Shape (N, C, size, size); NaN where there are no data."""
    image: NDArray[np.int64]
    """Shape (N, C): number of the image taken, -1 where no image has data."""


def cut_rows(
    images: ImageSet,
    ra: NDArray[Any],
    dec: NDArray[Any],
    *,
    bands: Sequence[str],
    size: int,
    pixel_arcsec: float | None = None,
) -> Cut:
    """Cut `size` by `size` pixels around each position, in each band.

    Of several images of a band the one with most data around the row is taken, the earlier
    one where they are equal: pixels of different images are never mixed in one cutout.

    Parameters
    ----------
    images : ImageSet
    ra, dec : ndarray, shape (N,)
        ICRS degrees; a row without a position has no cutout.
    bands : sequence of str
        Channels of the cutouts, in this order.
    size : int
        Side in pixels.
    pixel_arcsec : float, optional
        Resample (bilinear; surface brightness is kept) onto a TAN grid of this scale around
        each position, north up and east left; by default the image's own pixels are cut as they are.

    Returns
    -------
    Cut
        One row per position, in their order, whether an image has it or not.

    Raises
    ------
    DataError
        If pixels cannot be read.
    """
    values = np.full((len(ra), len(bands), size, size), np.nan, np.float32)
    chosen = np.full((len(ra), len(bands)), -1, np.int64)
    best = np.zeros((len(ra), len(bands)), np.int64)
    vectors = unit_vectors(ra, dec)
    for number, image in enumerate(images.images):
        if image.band not in bands:
            continue
        channel = list(bands).index(image.band)
        reach = size / 2.0 * DIAGONAL * (pixel_arcsec or image.pixel_arcsec)
        near = np.flatnonzero(image.may_hold(vectors, reach))  # not where a position is NaN
        if not len(near):
            continue
        x, y = image.positions(ra[near], dec[near]) if pixel_arcsec is None else (ra[near], dec[near])
        for row, a, b in zip(near, x, y, strict=True):
            if pixel_arcsec is None:
                one = _native(images, number, a, b, size)
            else:
                one = _resampled(images, number, _target(a, b, size, pixel_arcsec), size)
            count = 0 if one is None else int(np.isfinite(one).sum())
            if count > best[row, channel]:
                values[row, channel], chosen[row, channel], best[row, channel] = one, number, count
    return Cut(values, chosen)


def _native(images: ImageSet, number: int, x: float, y: float, size: int) -> NDArray[np.float32] | None:
    """Return what `astropy.nddata.Cutout2D` cuts, of which only the part on the image is read."""
    from astropy.nddata.utils import NoOverlapError, overlap_slices

    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    try:
        there, here = overlap_slices(images.images[number].shape, (size, size), (y, x), mode="partial")
    except NoOverlapError:
        return None
    out = np.full((size, size), np.nan, np.float32)
    out[here] = images.window(number, *there)
    return out


def _resampled(images: ImageSet, number: int, target: Any, size: int) -> NDArray[np.float32] | None:
    from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
    from reproject import reproject_interp

    image = images.images[number]
    part = _part(image, target, size)
    if part is None:
        return None
    # A view of the image's own WCS: its coordinates are those of the whole image to the last bit,
    # distortions of any kind included.
    seen = HighLevelWCSWrapper(SlicedLowLevelWCS(image.wcs, list(part)))
    made = reproject_interp((images.window(number, *part), seen), target, shape_out=(size, size))[0]
    return np.asarray(made, np.float32)


def _target(ra: float, dec: float, size: int, pixel_arcsec: float) -> Any:
    from astropy.wcs import WCS

    target = WCS(naxis=2)
    target.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    target.wcs.crval = [ra, dec]
    target.wcs.crpix = [(size + 1) / 2.0] * 2
    target.wcs.cdelt = [-pixel_arcsec / 3600.0, pixel_arcsec / 3600.0]
    return target


def _part(image: Image, target: Any, size: int) -> tuple[slice, slice] | None:
    """Return which part of an image lies under a cutout; None if there are not two by two pixels."""
    along = np.linspace(-0.5, size - 0.5, GRID)
    ra, dec = target.pixel_to_world_values(*np.meshgrid(along, along))
    slices = []
    for at, length in zip(image.positions(ra.ravel(), dec.ravel())[::-1], image.shape, strict=True):
        known = at[np.isfinite(at)]
        if not len(known):
            return None
        first = max(0, int(np.floor(known.min())) - MARGIN_PX)
        last = min(length, int(np.ceil(known.max())) + MARGIN_PX + 1)
        if last - first < 2:
            return None
        slices.append(slice(first, last))
    return slices[0], slices[1]
