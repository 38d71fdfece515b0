"""dask.dataframe: `read_parquet`, `map_partitions`, `to_parquet`, on a cluster of one process per core."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from tests.benchmarks.peers.plain import CORES, arguments, finish, partitions_of
from tests.benchmarks.peers.table.network import READ, WRITTEN, Predictor

_LOADED: list[Predictor] = []


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of one partition; the network is loaded once per process."""
    if not _LOADED:
        _LOADED.append(Predictor())
    values = _LOADED[0]([frame[name].to_numpy() for name in READ])
    return pd.DataFrame({"object_id": frame["object_id"].to_numpy(), **dict(zip(WRITTEN, values, strict=True))})


def main() -> None:
    """Run it."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    catalog, out = arguments()
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        frame = dd.read_parquet([str(p) for p in partitions_of(catalog)], columns=["object_id", *READ])
        meta = pd.DataFrame({"object_id": np.empty(0, "i8"), **{name: np.empty(0, "f4") for name in WRITTEN}})
        frame.map_partitions(score, meta=meta).to_parquet(out, write_index=False)
    finish(len(pd.read_parquet(out, columns=["object_id"])), ready)


if __name__ == "__main__":
    main()
