"""dask.dataframe: `read_parquet`, `map_partitions`, `to_parquet`, on a cluster of one process per core."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, partitions_of
from tests.benchmarks.peers.table.job import READ, WRITTEN
from tests.benchmarks.peers.table.network import Predictor

_LOADED: list[Predictor] = []


def scored(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what was computed of one partition; the network is loaded once per process."""
    if not _LOADED:
        _LOADED.append(Predictor())
    return dict(zip(WRITTEN, _LOADED[0]([frame[name].to_numpy() for name in READ]), strict=True))


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of one partition."""
    return frame[list(KEYS)].assign(**scored(frame))


def main() -> None:
    """Run it."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    catalog, out = arguments()
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        frame = dd.read_parquet([str(p) for p in partitions_of(catalog)], columns=[*KEYS, *READ])
        frame.map_partitions(score, meta=score(frame._meta)).to_parquet(out, write_index=False)
    finish(len(pd.read_parquet(out, columns=["object_id"])), ready)


if __name__ == "__main__":
    main()
