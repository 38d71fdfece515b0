"""dask.dataframe: `read_parquet` into Arrow types, `map_partitions`, `to_parquet`, one process per core."""

from __future__ import annotations

import time

import pandas as pd
import pyarrow as pa

from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one
from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, partitions_of


def describe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of one partition."""
    values = Extractor()(one(pa.chunked_array(pa.array(frame["lc"]))))
    return frame[list(KEYS)].assign(**dict(zip(WRITTEN, values, strict=True)))


def main() -> None:
    """Run it."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    catalog, out = arguments()
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        files = [str(path) for path in partitions_of(catalog)]
        frame = dd.read_parquet(files, columns=[*KEYS, "lc"], dtype_backend="pyarrow")
        meta = frame._meta[list(KEYS)].assign(**{name: pd.Series([], dtype="f4") for name in WRITTEN})
        frame.map_partitions(describe, meta=meta).to_parquet(out, write_index=False)
    finish(len(pd.read_parquet(out, columns=["object_id"])), ready)


if __name__ == "__main__":
    main()
