"""Images on disk: found, their headers read, their pixels opened once."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.imaging.psf import psf_fwhm
from skyloom.places import files_at

__all__ = ["Image", "find_images", "unit_vectors"]

ENDINGS = (".fits", ".fit", ".fits.gz", ".fz")
BAND_KEYS = ("FILTER", "BAND", "FILTER1")
OTHER_PLANES = re.compile(
    r"AREA|BKG|BACKGROUND|CON|CONTEXT|D2IMARR|DQ|ERR(OR)?|I(NV)?VAR|MASK|RMS|SKY|STDDEV|UNC(ERT|ERTAINTY)?|"
    r"VAR(IANCE)?|VAR_\w+|WCSDVARR|WEIGHTS?|WG?T|WHT",
    re.IGNORECASE,
)
"""Names of HDUs that lie beside an image, with its WCS, and are no image: not taken unless asked for."""
FIELD_MARGIN = 1.1
"""Over the largest distance of the image's edge from its middle: rows farther away are not projected."""


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
    psf_fwhm_arcsec: float = math.nan
    """NaN where the header has none."""
    psf_key: str = ""
    """What said it, with its unit."""
    centre: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Unit vector of the middle."""
    radius_deg: float = 180.0
    """All of the image is within this distance of the middle."""
    leading: int = 0
    """Axes of length 1 before rows and columns, such as the frequency and polarisation of a radio image."""

    def positions(self, ra: NDArray[Any], dec: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return pixel coordinates (x, y), from 0; NaN where the projection has none.

        Far from the image, where a distortion was never fitted, it may say anything: ask
        `may_hold` first.
        """
        from astropy.coordinates import SkyCoord

        with np.errstate(invalid="ignore"):
            x, y = self.wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg"))
        return np.asarray(x, np.float64), np.asarray(y, np.float64)

    def may_hold(self, vectors: NDArray[np.float64], reach_arcsec: float) -> NDArray[np.bool_]:
        """Return which positions, as `unit_vectors` gives them, are on the image or so near to it."""
        radius = math.radians(min(180.0, self.radius_deg + reach_arcsec / 3600.0))
        # Of a chord, not of a cosine: that loses small angles to rounding.
        chord = 2.0 * math.sin(radius / 2.0) * (1.0 + 1e-9)
        return np.asarray(np.linalg.norm(vectors - np.array(self.centre), axis=1) <= chord)


def unit_vectors(ra: NDArray[Any], dec: NDArray[Any]) -> NDArray[np.float64]:
    """Return unit vectors (N, 3) of positions in degrees."""
    lon, lat = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def find_images(
    places: Sequence[str], *, band_key: str | None = None, psf_key: str | None = None, hdu: str | None = None
) -> list[Image]:
    """Return the images with a celestial WCS below some places, every HDU of them.

    Parameters
    ----------
    places : sequence of str
        Files, directories, or patterns; ``band=place`` says the band of what lies there. In
        directories and patterns, files without such an image are passed over.
    band_key : str, optional
        Header key of the band; ``FILTER``, ``BAND`` or ``FILTER1`` by default.
    psf_key : str, optional
        Header key of the PSF's width; see `skyloom.imaging.psf.psf_fwhm`.
    hdu : str, optional
        Name (``EXTNAME``) or number of the HDU to take. By default all two-dimensional ones with a
        WCS, axes of length 1 aside, whose name is not that of an error, weight or mask.

    Raises
    ------
    NotFoundError
        If a place has no FITS file.
    SpecError
        If no image, or a file that was named, has no celestial WCS.
    DataError
        If a file is no FITS.
    """
    found: list[Image] = []
    for place in places:
        band, pattern = _band_and_place(place)
        named = Path(pattern).is_file()
        for path in files_at(pattern, ENDINGS, what="FITS file"):
            images = _images(path, band, (band_key,) if band_key else BAND_KEYS, psf_key, hdu)
            if named and not images:
                raise _no_wcs(str(path), hdu)
            found += images
    if not found:
        raise _no_wcs(", ".join(places), hdu)
    return found


def _band_and_place(text: str) -> tuple[str, str]:
    """Split ``band=place``; a path may have an equals sign, too, behind its first slash or as a whole."""
    band, equals, place = text.partition("=")
    if not equals or "/" in band or Path(text).exists():
        return "", text
    return band, place


def _no_wcs(where: str, hdu: str | None) -> SpecError:
    what = "two-dimensional image" + (f" in HDU {hdu}" if hdu else "")
    msg = f"there is no {what} with a celestial WCS in {where}; name FITS images that have one"
    return SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def _images(path: Path, band: str, keys: Sequence[str], psf_key: str | None, wanted: str | None) -> list[Image]:
    from astropy.io import fits
    from astropy.wcs import WCS, FITSFixedWarning
    from astropy.wcs.utils import proj_plane_pixel_scales

    found = []
    try:
        with fits.open(path) as hdus, warnings.catch_warnings():
            # Of dates and telescopes that a header writes in another way than the standard.
            warnings.simplefilter("ignore", FITSFixedWarning)
            for number, hdu in enumerate(hdus):
                if not hdu.is_image or not _wanted(hdu.name, number, wanted):
                    continue
                leading = len(hdu.shape) - 2
                if leading < 0 or any(length != 1 for length in hdu.shape[:leading]):
                    continue
                # With the file: distortions may be tables in HDUs of their own.
                wcs = WCS(hdu.header, hdus).celestial
                if not wcs.has_celestial:
                    continue
                headers = (hdu.header, hdus[0].header)
                named = band or str(next((h[k] for h in headers for k in keys if k in h), "")).strip()
                scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600.0
                unit = str(hdu.header.get("BUNIT", "")).strip()
                shape = (int(hdu.shape[-2]), int(hdu.shape[-1]))
                width = psf_fwhm(headers, scale, key=psf_key)
                place = _field(wcs, shape)
                found.append(Image(path, number, named, unit, shape, scale, wcs, *width, *place, leading))
    except OSError as error:
        msg = f"{path} cannot be read as FITS: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error
    return found


def _wanted(name: str, number: int, wanted: str | None) -> bool:
    if wanted is None:
        return OTHER_PLANES.fullmatch(name) is None
    return wanted in {str(number), name} or wanted.upper() == name.upper()


def _field(wcs: Any, shape: tuple[int, int]) -> tuple[tuple[float, float, float], float]:
    """Return the middle of an image as a unit vector, and a radius around it that holds all of it."""
    height, width = shape
    y, x = (np.linspace(-0.5, length - 0.5, 17) for length in (height, width))
    xs = np.concatenate([x, x, np.full(17, -0.5), np.full(17, width - 0.5), [(width - 1) / 2]])
    ys = np.concatenate([np.full(17, -0.5), np.full(17, height - 0.5), y, y, [(height - 1) / 2]])
    with np.errstate(invalid="ignore"):
        sky = wcs.pixel_to_world(xs, ys).icrs
    vectors = unit_vectors(sky.ra.deg, sky.dec.deg)
    centre = vectors[-1]
    if not np.isfinite(vectors).all():  # a map of the whole sky: its edges may lie in no place of it
        return (1.0, 0.0, 0.0), 180.0
    chord = float(np.linalg.norm(vectors - centre, axis=1).max())
    radius = math.degrees(2.0 * math.asin(min(1.0, chord / 2.0))) * FIELD_MARGIN
    # The edge bounds what is inside of it only where the image is less than half a sky.
    return (float(centre[0]), float(centre[1]), float(centre[2])), radius if radius < 60.0 else 180.0
