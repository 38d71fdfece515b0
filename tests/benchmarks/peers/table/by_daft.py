"""Daft: `read_parquet`, a class that holds the network, a struct of four columns, `write_parquet`."""

from __future__ import annotations

import time

import daft
import numpy as np
import pyarrow as pa
from daft import DataType, Series

from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, partitions_of
from tests.benchmarks.peers.table.job import READ, WRITTEN
from tests.benchmarks.peers.table.network import Predictor

COLUMNS = DataType.struct({name: DataType.float32() for name in WRITTEN})


@daft.cls(max_concurrency=CORES, use_process=True)
class Score:
    """The network, loaded once per process."""

    def __init__(self) -> None:
        self.predict = Predictor()

    @daft.method.batch(return_dtype=COLUMNS)
    def __call__(self, *columns: Series) -> pa.Array:
        """Return the columns of a batch as one of structs."""
        values = self.predict([np.asarray(column.to_arrow()) for column in columns])
        return pa.StructArray.from_arrays([pa.array(column) for column in values], names=list(WRITTEN))


def main() -> None:
    """Run on this machine."""
    catalog, out = arguments()
    ready = time.perf_counter()
    table = daft.read_parquet([str(path) for path in partitions_of(catalog)]).select(*KEYS, *READ)
    score = Score()
    found = table.select(*KEYS, score(*(daft.col(name) for name in READ)).alias("y"))
    found.select(*KEYS, *(daft.col("y")[name].alias(name) for name in WRITTEN)).write_parquet(str(out))
    finish(daft.read_parquet(f"{out}/*.parquet").count_rows(), ready)


if __name__ == "__main__":
    main()
