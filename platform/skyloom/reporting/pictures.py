"""Pictures of numbers: PNG as ``data:`` URLs, so that a page needs no file beside it."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHADES", "coloured_png", "grey_png", "stretched"]

MOST_PX = 128
"""Side of a picture of an object: larger ones are averaged down, so that a report stays small."""
_FAINT, _BRIGHT = 0.01, 0.995
"""Quantiles of an image that become black and white."""
_SOFTENING = 10.0
# Viridis (van der Walt & Smith 2015, CC0), at ten places.
_STOPS = (0x440154, 0x482878, 0x3E4989, 0x31688E, 0x26828E, 0x1F9E89, 0x35B779, 0x6ECE58, 0xB5DE2B, 0xFDE725)
SHADES = 255
"""Colours of a map; one more is transparent."""


def palette() -> NDArray[np.uint8]:
    """Return the colours of maps, dark to bright, shape (SHADES, 3)."""
    stops = np.array([[c >> 16, c >> 8 & 255, c & 255] for c in _STOPS], np.float64)
    at = np.linspace(0, len(stops) - 1, SHADES)
    mixed = [np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)]
    return np.stack(mixed, axis=1).round().astype(np.uint8)


def coloured_png(place: NDArray[np.float64]) -> str:
    """Return a picture of places on a colour scale.

    Parameters
    ----------
    place : ndarray, shape (H, W)
        0 darkest, 1 brightest, cut off beyond; NaN is transparent. The first row is at the top.
    """
    from PIL import Image

    there = np.isfinite(place)
    index = np.full(place.shape, SHADES, np.uint8)
    index[there] = np.clip(np.round(place[there] * (SHADES - 1)), 0, SHADES - 1).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette([*palette().reshape(-1).tolist(), 0, 0, 0])
    return _url(image, transparency=SHADES)


def grey_png(image: NDArray[np.floating]) -> str:
    """Return a picture of one channel of a cutout, its first row at the bottom as FITS has it.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        NaN, where there are no data, is transparent.
    """
    from PIL import Image

    small = _smaller(np.asarray(image, np.float64))[::-1]
    there = np.isfinite(small)
    grey = np.zeros((*small.shape, 2), np.uint8)
    grey[..., 0] = np.where(there, np.round(stretched(small) * 255), 0)
    grey[..., 1] = np.where(there, 255, 0)
    if there.all():
        return _url(Image.fromarray(grey[..., 0].copy()))
    return _url(Image.fromarray(grey))


def stretched(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return brightness from 0 to 1: inverse hyperbolic sine between two quantiles; NaN gives 0."""
    finite = image[np.isfinite(image)]
    if not len(finite):
        return np.zeros_like(image)
    low, high = np.quantile(finite, (_FAINT, _BRIGHT))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    if high <= low:
        return np.zeros_like(image)
    share = np.clip((np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / (high - low), 0, 1)
    return np.asarray(np.arcsinh(share * _SOFTENING) / np.arcsinh(_SOFTENING))


def _smaller(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average blocks of pixels until no side is longer than `MOST_PX`; half a block at an end is cut off."""
    step = -(-max(image.shape) // MOST_PX)
    if step <= 1:
        return image
    height, width = (max(1, side // step) for side in image.shape)
    cut = image[: height * step, : width * step]
    return np.asarray(cut.reshape(height, cut.shape[0] // height, width, cut.shape[1] // width).mean(axis=(1, 3)))


def _url(image: object, transparency: int | None = None) -> str:
    from PIL import Image

    assert isinstance(image, Image.Image)
    written = io.BytesIO()
    extra = {} if transparency is None else {"transparency": transparency}
    image.save(written, format="PNG", optimize=True, **extra)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
