"""Images on disk: found, their headers read, their pixels opened once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.places import files_at

__all__ = ["Image", "ImageSet", "find_images"]

ENDINGS = (".fits", ".fit", ".fits.gz", ".fz")
BAND_KEYS = ("FILTER", "BAND", "FILTER1")
OPEN_BYTES = 512_000_000
"""Decoded pixels that are kept; the images used longest ago go first."""


@dataclass(frozen=True)
class Image:
    """One image with a celestial WCS: its header is read, its pixels are not."""

    path: Path
    hdu: int
    band: str
    unit: str
    """``BUNIT``, or empty."""
    shape: tuple[int, int]
    """(rows, columns) of pixels."""
    pixel_arcsec: float
    wcs: Any = field(repr=False, compare=False)

    def positions(self, ra: NDArray[Any], dec: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return pixel coordinates (x, y), from 0; NaN where the projection has none."""
        from astropy.coordinates import SkyCoord

        with np.errstate(invalid="ignore"):
            x, y = self.wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
        return np.asarray(x, np.float64), np.asarray(y, np.float64)


def find_images(places: Sequence[str], *, band_key: str | None = None) -> list[Image]:
    """Return the images with a celestial WCS below some places, every HDU of them.

    Parameters
    ----------
    places : sequence of str
        Files, directories, or patterns; ``band=place`` says the band of what lies there.
    band_key : str, optional
        Header key of the band; ``FILTER``, ``BAND`` or ``FILTER1`` by default.

    Raises
    ------
    NotFoundError
        If a place has no FITS file.
    SpecError
        If no image has a celestial WCS.
    DataError
        If a file is no FITS.
    """
    found: list[Image] = []
    for place in places:
        band, _, pattern = place.rpartition("=")
        for path in files_at(pattern, ENDINGS, what="FITS file"):
            found += _images(path, band, (band_key,) if band_key else BAND_KEYS)
    if not found:
        msg = f"no image with a celestial WCS in {', '.join(places)}; name FITS images that have one"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    return found


def _images(path: Path, band: str, keys: Sequence[str]) -> list[Image]:
    from astropy.io import fits
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    found = []
    try:
        with fits.open(path) as hdus:
            for number, hdu in enumerate(hdus):
                if not hdu.is_image or len(hdu.shape) != 2:
                    continue
                wcs = WCS(hdu.header)
                if not wcs.has_celestial:
                    continue
                headers = (hdu.header, hdus[0].header)
                named = band or str(next((h[k] for h in headers for k in keys if k in h), "")).strip()
                scale = float(np.mean(proj_plane_pixel_scales(wcs.celestial))) * 3600.0
                unit = str(hdu.header.get("BUNIT", ""))
                found.append(Image(path, number, named, unit, tuple(hdu.shape), scale, wcs.celestial))
    except OSError as error:
        msg = f"{path} cannot be read as FITS: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error
    return found


class ImageSet:
    """Images whose pixels are opened when first needed, and kept while there is room."""

    def __init__(self, images: Sequence[Image], *, open_bytes: int = OPEN_BYTES) -> None:
        self.images = tuple(images)
        self.opened = 0
        """How often pixels were read: once per image, as long as all fit."""
        self._open_bytes = open_bytes
        self._pixels: dict[int, NDArray[np.float32]] = {}

    def pixels(self, number: int) -> NDArray[np.float32]:
        """Return the pixels of an image as float32, NaN where there are no data.

        Raises
        ------
        DataError
            If they cannot be read.
        """
        found = self._pixels.pop(number, None)
        if found is None:
            found = self._read(self.images[number])
            self.opened += 1
        self._pixels[number] = found
        while len(self._pixels) > 1 and sum(p.nbytes for p in self._pixels.values()) > self._open_bytes:
            del self._pixels[next(iter(self._pixels))]
        return found

    @staticmethod
    def _read(image: Image) -> NDArray[np.float32]:
        from astropy.io import fits

        try:
            with fits.open(image.path, memmap=False) as hdus:
                data = hdus[image.hdu].data
        except (OSError, TypeError, ValueError) as error:
            msg = f"{image.path}[{image.hdu}]: its pixels cannot be read: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(image.path)) from error
        values = np.array(np.ma.getdata(data), np.float32)
        values[np.ma.getmaskarray(data) | ~np.isfinite(values)] = np.nan
        return values
