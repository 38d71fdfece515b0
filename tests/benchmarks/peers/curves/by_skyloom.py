"""skyloom: the statistics as a system, run as a durable job on one worker per core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import ANY_UNIT, Column
from skyloom.runtime.contract import Inputs
from tests.benchmarks.peers.curves.features import WRITTEN, Extractor
from tests.benchmarks.peers.our_job import run_job
from tests.benchmarks.peers.plain import arguments, finish

NAME = "bench-curves"
TITLE = "The statistics of the benchmark on light curves"
QUESTION = "describe"
LIBRARIES = ("light-curve",)
FLAGS = ()


@dataclass(frozen=True, slots=True)
class Config:
    """No settings."""


def reads(config: Config) -> tuple[Column, ...]:
    """Return times, fluxes and errors."""
    return (
        Column("lc.mjd", "d", "time of each point", "list<double>", "time.epoch"),
        Column("lc.flux", ANY_UNIT, "flux of each point", "list<float>", "phot.flux"),
        Column("lc.flux_err", ANY_UNIT, "1-sigma error of each point", "list<float>", "stat.error"),
    )


def writes(config: Config) -> tuple[Column, ...]:
    """Return a column per statistic."""
    return tuple(Column(name, "", "a statistic", "float32", "stat.value") for name in WRITTEN)


def build(config: Config, weights: object) -> Extractor:
    """Return the extractor."""
    return Extractor()


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Hand the light curves on, as they lie."""
    n = rows.num_rows
    return Inputs({"curves": rows.column("lc")}, np.zeros(n, np.uint32), np.ones(n, bool))


def predict(estimator: Extractor, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the columns."""
    return dict(zip(WRITTEN, estimator(arrays["curves"]), strict=True))


def main() -> None:
    """Run the job and publish its layer."""
    catalog, out = arguments()
    ready = time.perf_counter()
    finish(run_job(NAME, out, {"catalog": str(catalog)}, batch_rows=8192), ready)


if __name__ == "__main__":
    main()
