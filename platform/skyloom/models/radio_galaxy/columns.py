"""What radio-galaxy reads and why a row may have no class: settings, cutouts, flags, preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.runtime.contract import Flag, Inputs
from skyloom.runtime.tensors import TensorInput, tensor_values

__all__ = [
    "BLANK_IMAGE",
    "CUTOUT",
    "FLAGS",
    "FORMS",
    "LOW_COVERAGE",
    "NON_FINITE",
    "NORMALISATION",
    "NO_CUTOUT",
    "SIDE_PX",
    "Config",
    "inputs_of",
    "prepared",
    "tensors_of",
]

FORMS = ("equivariant", "plain")

CUTOUT = "cutout"
SIDE_PX = 150

NO_CUTOUT = Flag(0, "NO_CUTOUT", "the store has no cutout for the row: it is off every image")
LOW_COVERAGE = Flag(1, "LOW_COVERAGE", "fewer pixels of the cutout have data than min_coverage asks for")
BLANK_IMAGE = Flag(2, "BLANK_IMAGE", "no pixel of the cutout stands min_peak_sigma above its noise")
NON_FINITE = Flag(3, "NON_FINITE", "a pixel of the cutout is infinite")
FLAGS = (NO_CUTOUT, LOW_COVERAGE, BLANK_IMAGE, NON_FINITE)

_CLIP_SIGMA = 3.0
_PIXEL_SD = 0.033
"""Standard deviation of MiraBest's pixels when 255 is 1 (0.0326 measured): brings inputs to order one."""
_MAD_TO_SIGMA = 1.4826


NORMALISATION = (
    f"what is below {_CLIP_SIGMA:g} sigma of the image's noise (from the median absolute deviation) becomes 0, "
    f"then the brightest px becomes 1 / {_PIXEL_SD}; px without data become 0"
)
"""What `prepared` does, in words."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the classifier."""

    form: str = "equivariant"
    """``equivariant`` or ``plain``: the twins have weights of their own."""
    min_coverage: float = 0.9
    """Share of the cutout's pixels with data below which a row is not scored."""
    min_peak_sigma: float = 5.0
    """Brightest pixel in units of the cutout's noise below which a row is not scored."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            msg = f"form must be {' or '.join(FORMS)}, got {self.form!r}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, form=self.form)
        if not 0.0 < self.min_coverage <= 1.0 or self.min_peak_sigma < _CLIP_SIGMA:
            msg = (
                f"min_coverage lies in (0, 1] and min_peak_sigma is at least {_CLIP_SIGMA}; "
                f"got {self.min_coverage} and {self.min_peak_sigma}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def tensors_of() -> tuple[TensorInput, ...]:
    """Return the one cutout that the system reads."""
    return (
        TensorInput(
            CUTOUT,
            (1, SIDE_PX, SIDE_PX),
            unit="*",
            description="radio continuum image centred on the galaxy, in any unit of brightness, 4.5 arcmin wide",
            pixel_arcsec=1.8,
        ),
    )


def prepared(images: NDArray[np.floating], min_peak_sigma: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Clip noise and scale images as those of MiraBest were (github fmporter/MiraBest).

    What lies below 3 sigma of the image's own noise (from the median of absolute values about the
    median) becomes zero, then the brightest pixel gets one value in every image. Images that were
    clipped before have no noise left, and are only scaled.

    Parameters
    ----------
    images : ndarray, shape (M, 1, H, W)
        NaN where there are no data: counts as empty sky.
    min_peak_sigma : float
        Brightest pixel, in units of the noise, that a source needs.

    Returns
    -------
    scaled : ndarray of float32, shape (M, 1, H, W)
        Zero where there is no source; all zero in blank images.
    blank : ndarray of bool, shape (M,)
        Images without a source.
    """
    scaled = np.zeros(images.shape, dtype=np.float32)
    blank = np.ones(len(images), dtype=bool)
    for k, image in enumerate(images):
        there = image[np.isfinite(image)].astype(np.float64)
        if not there.size:
            continue
        noise = _MAD_TO_SIGMA * float(np.median(np.abs(there - np.median(there))))
        peak = float(there.max())
        if peak <= 0.0 or peak < min_peak_sigma * noise:
            continue
        blank[k] = False
        clipped = np.where(image >= max(_CLIP_SIGMA * noise, 0.0), image, 0.0)
        scaled[k] = np.where(np.isfinite(clipped), clipped, 0.0) / (peak * _PIXEL_SD)
    return scaled, blank


def inputs_of(rows: pa.RecordBatch, config: Config) -> Inputs:
    """Turn N rows into images (M, 1, 150, 150) named ``image``; flag the rows that have none to score.

    Raises
    ------
    DataError
        If the rows have no such tensors, or of another shape.
    """
    values, valid = tensor_values(rows, CUTOUT, (1, SIDE_PX, SIDE_PX))
    flag = np.zeros(rows.num_rows, dtype=np.uint32)
    flag[~valid] |= np.uint32(NO_CUTOUT.mask)
    infinite = valid & np.isinf(values).any(axis=(1, 2, 3))
    flag[infinite] |= np.uint32(NON_FINITE.mask)
    covered = np.isfinite(values).mean(axis=(1, 2, 3))
    if f"{CUTOUT}_coverage" in rows.schema.names:
        told = rows.column(f"{CUTOUT}_coverage").to_numpy(zero_copy_only=False).astype(np.float64)
        covered = np.fmin(covered, told)
    flag[valid & ~infinite & (covered < config.min_coverage)] |= np.uint32(LOW_COVERAGE.mask)
    candidates = np.flatnonzero(flag == 0)
    images, blank = prepared(values[candidates], config.min_peak_sigma)
    flag[candidates[blank]] |= np.uint32(BLANK_IMAGE.mask)
    return Inputs(arrays={"image": images[~blank]}, flag=flag, scorable=flag == 0)
