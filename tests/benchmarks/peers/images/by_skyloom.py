"""skyloom: the network as a system, run as a durable job on one worker per core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import Column
from skyloom.runtime.contract import Flag, Inputs
from skyloom.runtime.networks import Network
from skyloom.runtime.tensors import TensorInput, tensor_values
from tests.benchmarks.peers.images.job import SHAPE, WRITTEN, arguments, finish
from tests.benchmarks.peers.our_job import run_job

NAME = "bench-images"
TITLE = "The network of the benchmark on images"
QUESTION = "predict"
LIBRARIES = ("torch",)
TILE_ROWS = 16
"""Any is as fast on a core; the last tile of each partition is filled up, which with 64 cost 4 % of the work."""
FLAGS = (Flag(0, "NO_CUTOUT", "the row has no cutout"),)


@dataclass(frozen=True, slots=True)
class Config:
    """No settings."""


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """Return the cutout."""
    return (TensorInput("cutout", SHAPE, "*", "five passbands"),)


def reads(config: Config) -> tuple[Column, ...]:
    """Return no column."""
    return ()


def writes(config: Config) -> tuple[Column, ...]:
    """Return one probability per class."""
    return tuple(Column(name, "", "probability", "float32", "stat.probability") for name in WRITTEN)


def build(config: Config, weights: object) -> Network:
    """Return the network."""
    from tests.benchmarks.peers.images.network import build as build_network

    return Network(build_network(), tile_rows=TILE_ROWS)


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Hand the cutouts on, as they lie."""
    values, valid = tensor_values(rows, "cutout", SHAPE)
    flag = np.where(valid, 0, FLAGS[0].mask).astype(np.uint32)
    return Inputs({"cutout": values if valid.all() else values[valid]}, flag, valid)


def predict(estimator: Network, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the columns."""
    found = estimator(cutout=arrays["cutout"])["out"]
    return {name: found[:, k] for k, name in enumerate(WRITTEN)}


def main() -> None:
    """Run the job and publish its layer."""
    store, out = arguments()
    ready = time.perf_counter()
    given = {"catalog": str(store.parent / "catalog"), "tensors": {"cutout": str(store)}}
    finish(run_job(NAME, out, given, batch_rows=256), ready)


if __name__ == "__main__":
    main()
