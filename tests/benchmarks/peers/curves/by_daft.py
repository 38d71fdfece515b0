"""Daft: `read_parquet`, a class that holds the extractor, a struct of columns, `write_parquet`."""

from __future__ import annotations

import time

import daft
import pyarrow as pa
from daft import DataType, Series

from tests.benchmarks.peers.curves.features import POINTS, WRITTEN, Extractor
from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, partitions_of

COLUMNS = DataType.struct({name: DataType.float32() for name in WRITTEN})


@daft.cls(max_concurrency=CORES, use_process=True)
class Describe:
    """The extractor, made once per process."""

    def __init__(self) -> None:
        self.extract = Extractor()

    @daft.method.batch(return_dtype=COLUMNS)
    def __call__(self, curves: Series) -> pa.Array:
        """Return the columns of a batch as one of structs."""
        held = curves.to_arrow()
        # Daft's lists are large ones, and the library's are not.
        lists = [held.field(name).cast(pa.list_(kind)) for name, kind in POINTS.items()]
        values = self.extract(pa.StructArray.from_arrays(lists, names=list(POINTS)))
        return pa.StructArray.from_arrays([pa.array(column) for column in values], names=list(WRITTEN))


def main() -> None:
    """Run on this machine."""
    catalog, out = arguments()
    ready = time.perf_counter()
    table = daft.read_parquet([str(path) for path in partitions_of(catalog)]).select(*KEYS, "lc")
    describe = Describe()
    found = table.select(*KEYS, describe(daft.col("lc")).alias("f"))
    found.select(*KEYS, *(daft.col("f")[name].alias(name) for name in WRITTEN)).write_parquet(str(out))
    finish(daft.read_parquet(f"{out}/*.parquet").count_rows(), ready)


if __name__ == "__main__":
    main()
