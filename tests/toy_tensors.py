"""A system that reads images: the sum and the largest pixel of each channel pair, and how it can go wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import Column
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights
from skyloom.runtime.tensors import TensorInput, tensor_values

NAME = "toy-tensors"
TITLE = "Sums of pixels"
QUESTION = "describe"
FLAGS = (Flag(0, "NO_IMAGE", "there is no image"),)
KILLS, RAISES = 77.0, 88.0
"""First pixel of a row that kills the process, or raises."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the toy."""

    shape: tuple[int, ...] = (2, 6, 6)
    unit: str = "nJy"
    bands: tuple[str, ...] = ()
    pixel_arcsec: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "bands", tuple(self.bands))


def reads(config: Config) -> tuple[Column, ...]:
    """Nothing but the tensor."""
    return ()


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """One image."""
    return (TensorInput("cutout", config.shape, config.unit, "an image", config.bands, config.pixel_arcsec),)


def writes(config: Config) -> tuple[Column, ...]:
    """Sum, and the coverage that was given."""
    return (
        Column("total", "nJy", "sum over the pixels with data", "float64", "phot.flux"),
        Column("seen", "", "fraction of pixels with data", "float32", "stat.fit"),
    )


def build(config: Config, weights: Weights | None) -> Config:
    """Nothing to load."""
    refuse_weights(NAME, weights)
    return config


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Rows with an image."""
    values, valid = tensor_values(rows, "cutout", config.shape)
    seen = rows.column("cutout_coverage").to_numpy()
    assert not seen[~valid].any()
    arrays = {"image": values[valid], "seen": seen[valid]}
    return Inputs(arrays=arrays, flag=np.where(valid, 0, 1).astype(np.uint32), scorable=valid)


def predict(estimator: Config, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Sum the pixels of each row by itself."""
    first = arrays["image"][:, 0, 0, 0]
    if (first == KILLS).any():
        os.kill(os.getpid(), signal.SIGSEGV)
    if (first == RAISES).any():
        raise ValueError("this image is too much")
    totals = [np.nansum(image, dtype=np.float64) for image in arrays["image"]]
    return {"total": np.array(totals, np.float64), "seen": np.asarray(arrays["seen"], np.float32)}
