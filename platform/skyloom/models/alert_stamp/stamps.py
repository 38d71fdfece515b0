"""From an alert's three stamps and its neighbour to what the networks see, and why an alert may not be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.runtime.contract import Flag, Inputs
from skyloom.runtime.tensors import TensorInput, tensor_values

__all__ = [
    "BANDS",
    "CUTOUT",
    "CUT_PX",
    "FLAGS",
    "NORMALISATION",
    "N_CONTEXT",
    "SIDE_PX",
    "Config",
    "context",
    "inputs_of",
    "normalised",
    "reads_of",
    "tensors_of",
]

CUTOUT = "cutout"
BANDS = ("science", "template", "difference")
SIDE_PX = 63
CUT_PX = 45
"""Side of the middle that the networks see; background and noise come from the whole stamp."""
N_CONTEXT = 3
NORMALISATION = (
    "asinh((px - median) / (3 sigma)) / 4 of each stamp, sigma from its median absolute deviation; px without "
    "data are 0; the middle 45 x 45 px"
)

NO_CUTOUT = Flag(0, "NO_CUTOUT", "the store has no stamps of the alert")
STAMP_MISSING = Flag(1, "STAMP_MISSING", "one of the three stamps has no px with data")
LOW_COVERAGE = Flag(2, "LOW_COVERAGE", "a stamp has data in fewer of its px than min_coverage asks for")
CENTRE_MISSING = Flag(3, "CENTRE_MISSING", "a px among the middle 5 x 5 of a stamp has no data")
BLANK = Flag(4, "BLANK", "all px of a stamp have one value: there is no noise to scale it by")
PATCHED = Flag(5, "PATCHED", "px without data, as at a detector's edge, stand as background", nulls=False)
NO_NEIGHBOUR = Flag(
    6, "NO_NEIGHBOUR", "no Pan-STARRS1 neighbour is known: sgscore1 or distpsnr1 is missing", nulls=False
)
DOUBTFUL = Flag(
    7, "DOUBTFUL", "drb lies below min_drb: braai calls it bogus, and there is no class for that", nulls=False
)
FLAGS = (NO_CUTOUT, STAMP_MISSING, LOW_COVERAGE, CENTRE_MISSING, BLANK, PATCHED, NO_NEIGHBOUR, DOUBTFUL)

_HUGE = 1e30
"""Templates have -3.4e38 where they have no data."""
_LINEAR_SIGMAS = 3.0
_SCALE = 4.0
_GAUSSIAN = 1.4826
"""Standard deviation over median absolute deviation."""
_SEARCH_ARCSEC = 30.0
"""Radius within which the alert pipeline looks for a neighbour."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the classifier."""

    min_coverage: float = 0.4
    """Share of px with data, of the stamp that has fewest, below which an alert is not scored."""
    min_drb: float = 0.65
    """braai's score below which an alert is flagged as doubtful; its values stand."""

    def __post_init__(self) -> None:
        for name in ("min_coverage", "min_drb"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                msg = f"{name} must lie between 0 and 1, got {value}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter=name)


def tensors_of() -> tuple[TensorInput, ...]:
    """Return the three stamps, as one tensor."""
    words = "the alert's stamps, the detection in the middle, as the alert packet has them"
    return (TensorInput(CUTOUT, (len(BANDS), SIDE_PX, SIDE_PX), "*", words, bands=BANDS),)


def reads_of() -> tuple[Column, ...]:
    """Return the columns of the alert: its nearest neighbour in Pan-STARRS1, and braai's score for a flag."""
    return (
        Column("sgscore1", "", "nearest PS1 source: 0 galaxy, 1 star; negative: none", "float64", "src.class"),
        Column("distpsnr1", "arcsec", "distance to it; negative: none", "float64", "pos.angDistance"),
        Column("drb", "", "braai's real-bogus score; may be missing", "float64", "stat.probability"),
    )


def normalised(
    stamps: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return stamps in units of their noise, pulled together by asinh, cut to their middle.

    Level and noise of each stamp are its median and median absolute deviation, so neither zero
    point nor gain has an influence. Px without data become background. (braai divides each stamp
    by its norm instead: a bright neighbour then dims the detection.)

    Parameters
    ----------
    stamps : ndarray, shape (M, 3, 63, 63)
        NaN, infinity and numbers beyond 1e30 are no data. Each stamp has some.

    Returns
    -------
    images : ndarray of float32, shape (M, 3, 45, 45)
    blank : ndarray of bool, shape (M,)
        Whether a stamp has no noise: its image is zero.
    """
    there = _has_data(stamps)
    values = np.where(there, stamps, np.nan).astype(np.float64)
    level = np.nanmedian(values, axis=(2, 3), keepdims=True) if len(values) else np.zeros((0, 3, 1, 1))
    values -= level
    sigma = _GAUSSIAN * (np.nanmedian(np.abs(values), axis=(2, 3), keepdims=True) if len(values) else level)
    noisy = sigma > 0.0
    edge = (SIDE_PX - CUT_PX) // 2
    middle = values[:, :, edge : edge + CUT_PX, edge : edge + CUT_PX]
    images = np.arcsinh(middle / (_LINEAR_SIGMAS * np.where(noisy, sigma, 1.0))) / _SCALE
    images = np.where(noisy & np.isfinite(images), images, 0.0)
    return images.astype(np.float32), np.asarray(~noisy.all(axis=(1, 2, 3)))


def context(sgscore: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what the networks know of the nearest Pan-STARRS1 source, shape (M, 3), of order one.

    Parameters
    ----------
    sgscore, distance : ndarray, shape (M,)
        NaN or negative: there is none, which stands for an unknown type at the search radius.

    Returns
    -------
    ndarray of float32
        Type from -1 (galaxy) to 1 (star), distance as ``asinh(arcsec) / 4``, and whether there is none.
    """
    none = ~((sgscore >= 0.0) & (distance >= 0.0))
    kind = np.where(none, 0.0, 2.0 * np.clip(sgscore, 0.0, 1.0) - 1.0)
    away = np.arcsinh(np.where(none, _SEARCH_ARCSEC, np.minimum(distance, _SEARCH_ARCSEC))) / 4.0
    return np.stack([kind, away, none], axis=1).astype(np.float32)


def inputs_of(rows: pa.RecordBatch, config: Config) -> Inputs:
    """Turn N rows into ``image`` (M, 3, 45, 45) and ``alert`` (M, 3); flag those without usable stamps.

    Raises
    ------
    DataError
        If the rows have no such tensors, or of another shape.
    """
    values, valid = tensor_values(rows, CUTOUT, (len(BANDS), SIDE_PX, SIDE_PX))
    there = _has_data(values) & valid[:, None, None, None]
    share = there.mean(axis=(2, 3)).min(axis=1) if len(there) else np.empty(0)
    half = SIDE_PX // 2
    middle = there[:, :, half - 2 : half + 3, half - 2 : half + 3].all(axis=(1, 2, 3))
    flag = np.zeros(rows.num_rows, dtype=np.uint32)
    flag[~valid] |= np.uint32(NO_CUTOUT.mask)
    flag[valid & (share == 0.0)] |= np.uint32(STAMP_MISSING.mask)
    flag[valid & (share > 0.0) & (share < config.min_coverage)] |= np.uint32(LOW_COVERAGE.mask)
    flag[valid & (share > 0.0) & ~middle] |= np.uint32(CENTRE_MISSING.mask)
    where = np.flatnonzero(flag == 0)
    images, blank = normalised(values[where])
    flag[where[blank]] |= np.uint32(BLANK.mask)
    scorable = flag == 0
    sgscore, distance, drb = (_floats(rows, column.name) for column in reads_of())
    flag[scorable & (share < 1.0)] |= np.uint32(PATCHED.mask)
    flag[scorable & ~((sgscore >= 0.0) & (distance >= 0.0))] |= np.uint32(NO_NEIGHBOUR.mask)
    flag[scorable & (drb < config.min_drb)] |= np.uint32(DOUBTFUL.mask)
    seen = {"image": images[~blank], "alert": context(sgscore[scorable], distance[scorable])}
    return Inputs(seen, flag, scorable)


def _has_data(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(values) < _HUGE)  # false for NaN, too


def _floats(rows: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    column = rows.column(name).cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
