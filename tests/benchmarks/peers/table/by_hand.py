"""A hand-written loop on every core: reads ahead and writes in threads; with ``plain``, all in turn."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, in_turn, on_every_core, partitions_of
from tests.benchmarks.peers.table.job import READ, WRITTEN
from tests.benchmarks.peers.table.network import Predictor


def read(path: Path) -> pa.Table:
    """Read keys and columns of one partition."""
    return pq.ParquetFile(path).read(columns=[*KEYS, *READ], use_threads=False)


def write(path: Path, keys: pa.Table, values: np.ndarray) -> None:
    """Write one partition."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table([*keys.columns, *values], names=[*KEYS, *WRITTEN])
    pq.write_table(table, path, use_dictionary=False, compression="zstd", compression_level=1)


def run(catalog: Path, out: Path, paths: list[Path], *, threads: bool) -> None:
    """Do the job over some partitions."""
    predict = Predictor()
    with ThreadPoolExecutor(1) if threads else nullcontext() as writer:
        behind: list[Future[None]] = []

        def work(path: Path, table: pa.Table) -> int:
            values = predict([table.column(name).to_numpy() for name in READ])
            job = (out / path.relative_to(catalog), table.select(KEYS), values)
            if writer is None:
                write(*job)
            else:
                behind.append(writer.submit(write, *job))
                if len(behind) > 1:
                    behind.pop(0).result()
            return table.num_rows

        in_turn(paths, read, work, threads=threads)
        for future in behind:
            future.result()


def main() -> None:
    """Share the partitions between as many processes as there are cores."""
    catalog, out = arguments()
    paths = partitions_of(catalog)
    threads = "plain" not in sys.argv
    ready = time.perf_counter()
    on_every_core(lambda core: run(catalog, out, paths[core::CORES], threads=threads))
    finish(sum(pq.read_metadata(path).num_rows for path in paths), ready)


if __name__ == "__main__":
    main()
