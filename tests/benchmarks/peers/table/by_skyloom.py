"""skyloom: the network as a system, run as a durable job on one worker per core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import Column
from skyloom.runtime.contract import Inputs
from skyloom.runtime.networks import Network
from tests.benchmarks.peers.our_job import run_job
from tests.benchmarks.peers.plain import arguments, finish
from tests.benchmarks.peers.table.job import BATCH_ROWS, READ, WRITTEN

NAME = "bench-table"
TITLE = "The network of the benchmark on a table"
QUESTION = "predict"
LIBRARIES = ("torch",)
FLAGS = ()
TILE_ROWS = BATCH_ROWS


@dataclass(frozen=True, slots=True)
class Config:
    """No settings."""


def reads(config: Config) -> tuple[Column, ...]:
    """Return the ten columns."""
    return tuple(Column(name, "", "a number", "float32", "stat.value") for name in READ)


def writes(config: Config) -> tuple[Column, ...]:
    """Return four columns."""
    return tuple(Column(name, "", "a number", "float32", "stat.value") for name in WRITTEN)


def build(config: Config, weights: object) -> Network:
    """Return the network."""
    from tests.benchmarks.peers.table.network import build as build_network

    return Network(build_network(), tile_rows=TILE_ROWS)


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Put the columns side by side."""
    x = np.stack([rows.column(name).to_numpy() for name in READ], axis=1)
    return Inputs({"input": x}, np.zeros(len(x), np.uint32), np.ones(len(x), bool))


def predict(estimator: Network, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the columns."""
    found = estimator(input=arrays["input"])["out"]
    return {name: found[:, k] for k, name in enumerate(WRITTEN)}


def main() -> None:
    """Run the job and publish its layer."""
    catalog, out = arguments()
    ready = time.perf_counter()
    finish(run_job(NAME, out, {"catalog": str(catalog)}, batch_rows=8 * BATCH_ROWS), ready)


if __name__ == "__main__":
    main()
