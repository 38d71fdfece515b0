"""A hand-written loop on every core: reads ahead and writes in threads; with ``plain``, all in turn."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.peers.images.job import Predictor, arguments, finish, keys_of, open_partition, slices_of
from tests.benchmarks.peers.plain import CORES, on_every_core, read_ahead


def write(path: Path, ids: np.ndarray, values: np.ndarray) -> None:
    """Write one partition."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"object_id": ids, **{f"c{k}": values[:, k] for k in range(4)}}
    pq.write_table(pa.table(columns), path, use_dictionary=False, compression="zstd", compression_level=1)


def run(store: Path, out: Path, keys: list[str], *, threads: bool) -> None:
    """Do the job over some partitions."""
    predict = Predictor()
    reader = ThreadPoolExecutor(1) if threads else None
    writer = ThreadPoolExecutor(1) if threads else None
    parts: dict[str, list[np.ndarray]] = {}
    written = []

    def load(cut: tuple[str, int, int]) -> np.ndarray:
        key, start, stop = cut
        return np.asarray(open_partition(store, key)[1][start:stop])

    for (key, _, _), cutouts in read_ahead(slices_of(store, keys), load, reader):
        parts.setdefault(key, []).append(predict(cutouts))
        ids, values = open_partition(store, key)
        if sum(map(len, parts[key])) == values.shape[0]:
            whole = np.concatenate(parts.pop(key))
            job = (out / f"{key}.parquet", ids, whole)
            if writer:
                written.append(writer.submit(write, *job))
            else:
                write(*job)
    for each in written:
        each.result()
    for pool in (reader, writer):
        if pool:
            pool.shutdown()


def main() -> None:
    """Share the partitions between as many processes as there are cores."""
    store, out = arguments()
    keys = keys_of(store)
    threads = "plain" not in sys.argv
    ready = time.perf_counter()
    on_every_core(lambda core: run(store, out, keys[core::CORES], threads=threads))
    rows = sum(open_partition(store, key)[1].shape[0] for key in keys)
    finish(rows, ready)


if __name__ == "__main__":
    main()
