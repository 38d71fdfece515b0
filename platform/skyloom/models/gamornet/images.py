"""From cutouts to what the network sees, and which of them it should not see."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.runtime.contract import Flag
from skyloom.runtime.tensors import tensor_values

__all__ = ["FLAGS", "NORMALISATION", "read_cutouts", "stretch"]

NO_CUTOUT = Flag(0, "NO_CUTOUT", "no image covers the object")
LOW_COVERAGE = Flag(1, "LOW_COVERAGE", "too few px of the cutout have data")
CENTRE_MISSING = Flag(2, "CENTRE_MISSING", "a px among the middle 5 x 5 has no data")
FAINT = Flag(3, "FAINT", "the middle of the cutout does not stand out of its noise")
PATCHED = Flag(4, "PATCHED", "px without data were filled with the background", nulls=False)
OFF_CENTRE = Flag(5, "OFF_CENTRE", "the brightest source is not in the middle of the cutout", nulls=False)
FLAGS = (NO_CUTOUT, LOW_COVERAGE, CENTRE_MISSING, FAINT, PATCHED, OFF_CENTRE)

_BORDER = 4
_GAUSSIAN = 1.4826
"""Standard deviation over median absolute deviation."""
_LINEAR_SIGMAS = 3.0
_SCALE = 4.0


NORMALISATION = (
    f"median of a frame {_BORDER} px wide subtracted, in units of its noise from the median absolute deviation, "
    f"asinh(x / {_LINEAR_SIGMAS:g}) / {_SCALE:g}; px without data become 0"
)
"""What `stretch` does, in words."""


def read_cutouts(
    rows: pa.RecordBatch, size: int, *, min_coverage: float, min_snr: float
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.bool_]]:
    """Return stretched images (M, 1, size, size) of scorable rows, flags (N,) and which are scorable (N,)."""
    values, valid = tensor_values(rows, "cutout", (1, size, size))
    coverage = rows.column("cutout_coverage").fill_null(0.0).to_numpy(zero_copy_only=False)
    images = np.where(valid[:, None, None], values[:, 0], np.nan).astype(np.float32)
    finite = np.isfinite(images)
    flag = np.zeros(len(images), dtype=np.uint32)
    flag[~valid] = NO_CUTOUT.mask
    low = valid & ((coverage < min_coverage) | (finite.mean(axis=(1, 2)) < min_coverage))
    flag[low] |= np.uint32(LOW_COVERAGE.mask)
    middle = slice(size // 2 - 2, size // 2 + 3)
    blind = valid & ~low & ~finite[:, middle, middle].all(axis=(1, 2))
    flag[blind] |= np.uint32(CENTRE_MISSING.mask)
    usable = flag == 0
    images, finite = images[usable], finite[usable]
    stretched, snr, off = stretch(images)
    where = np.flatnonzero(usable)
    flag[where[snr < min_snr]] |= np.uint32(FAINT.mask)
    flag[where[off]] |= np.uint32(OFF_CENTRE.mask)
    flag[where[~finite.all(axis=(1, 2))]] |= np.uint32(PATCHED.mask)
    bright = snr >= min_snr
    scorable = np.zeros(len(flag), dtype=bool)
    scorable[where[bright]] = True
    return stretched[bright, None], flag, scorable


def stretch(
    images: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """Return images in units of their noise, pulled together by asinh.

    Background and noise are the median and the median absolute deviation of a frame 4 px wide,
    so the unit of the image has no influence. Px without data become background.

    Parameters
    ----------
    images : ndarray of float32, shape (N, size, size)

    Returns
    -------
    stretched : ndarray of float32, shape (N, size, size)
    snr : ndarray of float64, shape (N,)
        Light of the middle (a square of a quarter of the side) over its noise.
    off : ndarray of bool, shape (N,)
        Whether the brightest px, smoothed over 3 x 3, is further than an eighth of the side from the middle.
    """
    from scipy.ndimage import uniform_filter

    size = images.shape[-1]
    out = np.empty_like(images)
    snr, off = np.zeros(len(images)), np.zeros(len(images), dtype=bool)
    frame = np.ones((size, size), dtype=bool)
    frame[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    half = size // 8
    middle = slice(size // 2 - half, size // 2 + half)
    for i, image in enumerate(images):
        finite = np.isfinite(image)
        border = image[frame & finite]
        level = np.median(border) if len(border) else np.float32(0.0)
        sigma = _GAUSSIAN * float(np.median(np.abs(border - level))) if len(border) else 0.0
        clean = np.where(finite, image - level, np.float32(0.0))
        if sigma <= 0.0:
            out[i] = 0.0
            continue
        out[i] = np.arcsinh(clean / (_LINEAR_SIGMAS * sigma)) / _SCALE
        snr[i] = float(clean[middle, middle].sum(dtype=np.float64)) / (sigma * 2 * half)
        top = np.unravel_index(uniform_filter(clean, 3).argmax(), clean.shape)
        off[i] = max(abs(float(top[0]) - (size - 1) / 2), abs(float(top[1]) - (size - 1) / 2)) > half
    return out, snr, off
