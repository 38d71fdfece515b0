"""A system that reads spectra: the mean flux of each, weighted by inverse variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import Column
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights
from skyloom.runtime.tensors import TensorInput, tensor_values
from skyloom.spectra import Grid

NAME = "toy-spectra"
TITLE = "Mean flux of spectra"
QUESTION = "describe"
FLAGS = (Flag(0, "NO_SPECTRUM", "there is no spectrum"),)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the toy."""

    pixels: int = 120
    start: float = 3.58
    medium: str = "vacuum"
    unit: str = "1e-17 erg / (s cm2 Angstrom)"
    any_grid: bool = False


def reads(config: Config) -> tuple[Column, ...]:
    """Nothing but the spectrum."""
    return ()


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """One spectrum with its weights, on the system's own grid."""
    grid = Grid(config.pixels, start=config.start, step=1e-4, log10=True, medium=config.medium)
    return (
        TensorInput(
            "spec", (2, config.pixels), config.unit, "a spectrum", bands=("flux", "ivar"),
            grid=None if config.any_grid else grid,
        ),
    )  # fmt: skip


def writes(config: Config) -> tuple[Column, ...]:
    """Mean, and the coverage that was given."""
    return (
        Column(
            "mean_flux", "1e-17 erg / (s cm2 Angstrom)", "mean over good pixels", "float64", "phot.flux.density"
        ),
        Column("seen", "", "fraction of good pixels", "float32", "stat.fit"),
    )


def build(config: Config, weights: Weights | None) -> Config:
    """Nothing to load."""
    refuse_weights(NAME, weights)
    return config


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Rows with a spectrum."""
    values, valid = tensor_values(rows, "spec", (2, config.pixels))
    seen = rows.column("spec_coverage").to_numpy()
    arrays = {"flux": values[valid, 0], "ivar": values[valid, 1], "seen": seen[valid]}
    return Inputs(arrays=arrays, flag=np.where(valid, 0, 1).astype(np.uint32), scorable=valid)


def predict(estimator: Config, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Average each row by itself."""
    means = [
        np.average(flux[ivar > 0].astype(np.float64), weights=ivar[ivar > 0].astype(np.float64))
        for flux, ivar in zip(arrays["flux"], arrays["ivar"], strict=True)
    ]
    return {"mean_flux": np.array(means, np.float64), "seen": np.asarray(arrays["seen"], np.float32)}
