"""Cut N positions out of images: on the images' own grid, or on a common one, north up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.imaging.images import ImageSet

__all__ = ["Cut", "cut_rows"]

DIAGONAL = 1.5
"""Side of what is taken of an image to be turned by any angle, over the side of the cutout."""


class Cut(NamedTuple):
    """Cutouts of N rows."""

    values: NDArray[np.float32]
    """Shape (N, C, size, size); NaN where there are no data."""
    image: NDArray[np.int64]
    """Shape (N, C): number of the image taken, -1 where the row is off every one."""


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
        ICRS degrees.
    bands : sequence of str
        Channels of the cutouts, in this order.
    size : int
        Side in pixels.
    pixel_arcsec : float, optional
        Resample (bilinear; surface brightness is kept) onto a TAN grid of this scale around
        each position, north up; by default the image's own pixels are cut as they are.

    Returns
    -------
    Cut
        One row per position, in their order, whether an image has it or not.
    """
    values = np.full((len(ra), len(bands), size, size), np.nan, np.float32)
    chosen = np.full((len(ra), len(bands)), -1, np.int64)
    best = np.zeros((len(ra), len(bands)), np.int64)
    for number, image in enumerate(images.images):
        if image.band not in bands:
            continue
        channel = list(bands).index(image.band)
        x, y = image.positions(ra, dec)
        reach = size / 2.0 * ((pixel_arcsec or image.pixel_arcsec) / image.pixel_arcsec) * DIAGONAL + 1.0
        with np.errstate(invalid="ignore"):
            near = (np.abs(x - image.shape[1] / 2) < image.shape[1] / 2 + reach) & (
                np.abs(y - image.shape[0] / 2) < image.shape[0] / 2 + reach
            )
        for row in np.flatnonzero(near):
            pixels = images.pixels(number)
            if pixel_arcsec is None:
                one = _native(pixels, x[row], y[row], size)
            else:
                one = _resampled(
                    pixels, image.wcs, (ra[row], dec[row]), (x[row], y[row]), size, pixel_arcsec, reach
                )
            count = int(np.isfinite(one).sum())
            if count > best[row, channel]:
                values[row, channel], chosen[row, channel], best[row, channel] = one, number, count
    return Cut(values, chosen)


def _native(pixels: NDArray[np.float32], x: float, y: float, size: int) -> NDArray[np.float32]:
    from astropy.nddata import Cutout2D
    from astropy.nddata.utils import NoOverlapError

    try:
        cut = Cutout2D(pixels, (x, y), size, mode="partial", fill_value=np.nan)
    except NoOverlapError:
        return np.full((size, size), np.nan, np.float32)
    return np.asarray(cut.data, np.float32)


def _resampled(  # noqa: PLR0917 - one call, all of it geometry
    pixels: NDArray[np.float32],
    wcs: Any,
    sky: tuple[float, float],
    at: tuple[float, float],
    size: int,
    pixel_arcsec: float,
    reach: float,
) -> NDArray[np.float32]:
    from astropy.nddata import Cutout2D
    from astropy.nddata.utils import NoOverlapError
    from astropy.wcs import WCS
    from reproject import reproject_interp

    target = WCS(naxis=2)
    target.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    target.wcs.crval = list(sky)
    target.wcs.crpix = [(size + 1) / 2.0] * 2
    target.wcs.cdelt = [-pixel_arcsec / 3600.0, pixel_arcsec / 3600.0]
    try:
        around = Cutout2D(pixels, at, 2 * int(np.ceil(reach)) + 3, wcs=wcs, mode="trim")
    except NoOverlapError:
        return np.full((size, size), np.nan, np.float32)
    if min(around.data.shape) < 2:
        return np.full((size, size), np.nan, np.float32)
    made, _ = reproject_interp((around.data, around.wcs), target, shape_out=(size, size))
    return np.asarray(made, np.float32)
