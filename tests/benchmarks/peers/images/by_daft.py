"""Daft: a table of slices, a class that holds the network, one row out per cutout, `write_parquet`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import daft
import numpy as np
from daft import DataType, Series

from tests.benchmarks.peers.images.job import Predictor, arguments, finish, keys_of, open_partition, slices_of

COLUMNS = {"object_id": DataType.int64(), **{f"c{k}": DataType.float32() for k in range(4)}}


@daft.cls(max_concurrency=len(os.sched_getaffinity(0)), use_process=True)
class Score:
    """The network, loaded once per process."""

    def __init__(self, store: str) -> None:
        self.store, self.predict = Path(store), Predictor()

    @daft.method.batch(return_dtype=DataType.list(DataType.struct(COLUMNS)), batch_size=1)
    def __call__(self, key: Series, start: Series, stop: Series) -> list[list[dict[str, float]]]:
        """Return the rows of each slice."""
        found = []
        for k, a, b in zip(key.to_pylist(), start.to_pylist(), stop.to_pylist(), strict=True):
            ids, values = open_partition(self.store, k)
            columns = self.predict(np.asarray(values[a:b])).tolist()
            rows = zip(ids[a:b].tolist(), columns, strict=True)
            found.append([{"object_id": i, **{f"c{n}": c for n, c in enumerate(row)}} for i, row in rows])
        return found


def main() -> None:
    """Run on this machine."""
    store, out = arguments()
    ready = time.perf_counter()
    slices = list(slices_of(store, keys_of(store)))
    table = daft.from_pydict(
        {"key": [s[0] for s in slices], "start": [s[1] for s in slices], "stop": [s[2] for s in slices]}
    )
    score = Score(str(store))
    rows = table.select(score(table["key"], table["start"], table["stop"]).alias("row")).explode("row")
    rows.select(*(daft.col("row")[name].alias(name) for name in COLUMNS)).write_parquet(str(out))
    count = daft.read_parquet(f"{out}/*.parquet").count_rows()
    finish(count, ready)


if __name__ == "__main__":
    main()
