"""A system that writes words, a probability and a p-value, and raises on some rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import Column
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights

NAME = "toy-words"
TITLE = "Words"
QUESTION = "predict"
FLAGS = (Flag(0, "NO_REDSHIFT", "there is no redshift"),)
HOSTILE = '<script>alert("x")</script>'
"""What it calls half of the rows."""
RAISES_ABOVE = 1.4
"""Redshift from which on it raises."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the toy: none."""


def reads(config: Config) -> tuple[Column, ...]:
    """A redshift."""
    return (Column("hostgal_photoz", "", "redshift", "float64"),)


def writes(config: Config) -> tuple[Column, ...]:
    """A class, its probability, and a p-value."""
    return (
        Column("toy_class", "", "a word", "string", "src.class"),
        Column("toy_p", "", "a probability", "float32", "stat.probability"),
        Column("toy_ood", "", "a p-value", "float32", "stat.probability"),
    )


def build(config: Config, weights: Weights | None) -> Config:
    """Nothing to load."""
    refuse_weights(NAME, weights)
    return config


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Rows with a redshift."""
    z = rows.column("hostgal_photoz").to_numpy(zero_copy_only=False)
    there = np.isfinite(z)
    return Inputs(arrays={"z": z[there]}, flag=np.where(there, 0, 1).astype(np.uint32), scorable=there)


def predict(estimator: Config, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Words by redshift."""
    z = arrays["z"]
    if (z > RAISES_ABOVE).any():
        raise ValueError("too far: <b>bold</b>")
    words = np.where(z < 0.7, HOSTILE, "far").astype(object)
    return {
        "toy_class": words,
        "toy_p": (z / 1.5).astype(np.float32),
        "toy_ood": ((z * 37) % 1).astype(np.float32),
    }
