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
_BLOCK = 32
"""Images stretched at once: of 64 px, half a megabyte."""


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
    if not len(images):
        return images.copy(), np.zeros(0), np.zeros(0, dtype=bool)
    blocks = [_stretched(images[start : start + _BLOCK]) for start in range(0, len(images), _BLOCK)]
    stretched, snr, off = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return stretched, snr, off


def _stretched(
    images: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """Stretch as many images as a processor's cache holds."""
    from scipy.ndimage import uniform_filter

    n, size = len(images), images.shape[-1]
    half = size // 8
    middle = slice(size // 2 - half, size // 2 + half)
    finite = np.isfinite(images)
    level, sigma = _background(images, finite)
    there = sigma > 0.0
    scale = np.where(there, sigma, 1.0)
    clean = np.where(finite, images - level[:, None, None], np.float32(0.0))
    unit = (_LINEAR_SIGMAS * scale).astype(np.float32)[:, None, None]
    stretched = np.asarray(np.arcsinh(clean / unit) / np.float32(_SCALE), dtype=np.float32)
    stretched[~there] = 0.0
    snr = clean[:, middle, middle].reshape(n, -1).sum(axis=1, dtype=np.float64) / (scale * 2 * half)
    brightest = uniform_filter(clean, (1, 3, 3)).reshape(n, -1).argmax(axis=1)
    away = np.abs(np.stack(np.unravel_index(brightest, (size, size))) - (size - 1) / 2).max(axis=0)
    return stretched, np.where(there, snr, 0.0), np.asarray(there & (away > half))


def _background(
    images: NDArray[np.float32], finite: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return level and noise (N,) of the frames of images; 0 where a frame has no data."""
    frame = np.ones(images.shape[1:], dtype=bool)
    frame[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    border, usable = images[:, frame], finite[:, frame]
    level, spread = np.zeros(len(images), np.float32), np.zeros(len(images), np.float32)
    whole = usable.all(axis=1)
    if whole.any():  # all at once: a call of median costs more than its work on one frame
        level[whole] = np.median(border[whole], axis=1)
        spread[whole] = np.median(np.abs(border[whole] - level[whole, None]), axis=1)
    for i in np.flatnonzero(~whole & usable.any(axis=1)):
        known = border[i, usable[i]]
        level[i] = np.median(known)
        spread[i] = np.median(np.abs(known - level[i]))
    return level, _GAUSSIAN * spread.astype(np.float64)
