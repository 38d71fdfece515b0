"""The same network fed from memory: what the cores can do if nothing is read or written."""

from __future__ import annotations

import time

import pyarrow.parquet as pq

from tests.benchmarks.peers.partitions import read
from tests.benchmarks.peers.plain import CORES, arguments, finish, on_every_core, partitions_of
from tests.benchmarks.peers.table.job import READ
from tests.benchmarks.peers.table.network import Predictor


def main() -> None:
    """Score as many rows as the catalog has, one process per core, each the same partition over and over."""
    catalog, _ = arguments()
    paths = partitions_of(catalog)
    table = read(paths[0], READ)
    columns = [table.column(name).to_numpy() for name in READ]
    predict = Predictor()
    ready = time.perf_counter()

    def score(core: int) -> None:
        for _ in paths[core::CORES]:
            predict(columns)

    on_every_core(score)
    finish(sum(pq.read_metadata(path).num_rows for path in paths), ready)


if __name__ == "__main__":
    main()
