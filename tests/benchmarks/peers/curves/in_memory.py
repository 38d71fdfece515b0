"""The same statistics of light curves in memory: what the cores can do if nothing is read or written."""

from __future__ import annotations

import time

import pyarrow.parquet as pq

from tests.benchmarks.peers.curves.features import Extractor, one
from tests.benchmarks.peers.partitions import read
from tests.benchmarks.peers.plain import CORES, arguments, finish, on_every_core, partitions_of


def main() -> None:
    """Describe as many rows as the catalog has, one process per core, each the same partition over and over."""
    catalog, _ = arguments()
    paths = partitions_of(catalog)
    held = one(read(paths[0], ("lc",)).column("lc"))
    extract = Extractor()
    ready = time.perf_counter()

    def describe(core: int) -> None:
        for _ in paths[core::CORES]:
            extract(held)

    on_every_core(describe)
    finish(sum(pq.read_metadata(path).num_rows for path in paths), ready)


if __name__ == "__main__":
    main()
