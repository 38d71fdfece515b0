"""A system with a network over one column of the catalog, which may be made to run out of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from skyloom.columns import Column
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights
from skyloom.runtime.networks import Network

NAME = "toy-network"
TITLE = "Two layers"
QUESTION = "predict"
LIBRARIES = ("torch",)
FLAGS = (Flag(0, "NO_DUST", "there is no reddening"),)
BREAKS: float | None = None
"""What a row holds after which a GPU would refuse all work."""
LIMIT: int | None = None
"""Rows at once beyond which memory runs out."""
ERROR: type[Exception] = MemoryError


@dataclass(frozen=True, slots=True)
class Config:
    """No settings."""


class Net(nn.Module):
    """Wide enough for products to be rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1, 64), nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B,) of (B, 1)."""
        if BREAKS is not None and (x == BREAKS).any():
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        if LIMIT is not None and len(x) > LIMIT:
            raise ERROR("out of memory")
        return self.last(torch.tanh(self.first(x)))[:, 0]


def reads(config: Config) -> tuple[Column, ...]:
    """Reddening."""
    return (Column("mwebv", "mag", "reddening", "float32"),)


def writes(config: Config) -> tuple[Column, ...]:
    """One score."""
    return (Column("score", "", "of no meaning", "float32", "stat.value"),)


def build(config: Config, weights: Weights | None) -> Network:
    """Seeded weights."""
    refuse_weights(NAME, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Network(Net())


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Rows with a number."""
    values = rows.column("mwebv").fill_null(np.nan).to_numpy(zero_copy_only=False)
    valid = np.isfinite(values)
    return Inputs({"x": values[valid][:, None]}, np.where(valid, 0, 1).astype(np.uint32), valid)


def predict(estimator: Network, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Score."""
    return {"score": estimator(x=arrays["x"])["out"]}
