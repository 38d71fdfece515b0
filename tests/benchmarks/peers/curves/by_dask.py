"""dask.dataframe: `read_parquet` into Arrow types, `map_partitions`, `to_parquet`, one process per core."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one
from tests.benchmarks.peers.plain import CORES, arguments, finish, partitions_of


def describe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of one partition."""
    values = Extractor()(one(pa.chunked_array(pa.array(frame["lc"]))))
    return pd.DataFrame({"object_id": frame["object_id"].to_numpy(), **dict(zip(WRITTEN, values, strict=True))})


def main() -> None:
    """Run it."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    catalog, out = arguments()
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        files = [str(path) for path in partitions_of(catalog)]
        frame = dd.read_parquet(files, columns=["object_id", "lc"], dtype_backend="pyarrow")
        meta = pd.DataFrame({"object_id": np.empty(0, "i8"), **{name: np.empty(0, "f4") for name in WRITTEN}})
        frame.map_partitions(describe, meta=meta).to_parquet(out, write_index=False)
    finish(len(pd.read_parquet(out, columns=["object_id"])), ready)


if __name__ == "__main__":
    main()
