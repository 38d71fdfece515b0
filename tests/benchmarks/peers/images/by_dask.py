"""dask.dataframe: `map_partitions` over the ids, the cutouts of each partition read inside, `to_parquet`."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from tests.benchmarks.peers.images.job import SLICE_ROWS, Predictor, arguments, finish, keys_of, open_partition

_LOADED: list[Predictor] = []


def score(key: str, store: str) -> pd.DataFrame:
    """Return the columns of one partition; the network is loaded once per process."""
    from pathlib import Path

    if not _LOADED:
        _LOADED.append(Predictor())
    ids, values = open_partition(Path(store), key)
    parts = [_LOADED[0](np.asarray(values[i : i + SLICE_ROWS])) for i in range(0, len(ids), SLICE_ROWS)]
    whole = np.concatenate(parts)
    return pd.DataFrame({"object_id": ids, **{f"c{k}": whole[:, k] for k in range(4)}})


def main() -> None:
    """Run on a cluster of one process per core."""
    import os

    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    store, out = arguments()
    cores = len(os.sched_getaffinity(0))
    with LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        meta = pd.DataFrame({"object_id": np.empty(0, "i8"), **{f"c{k}": np.empty(0, "f4") for k in range(4)}})
        frame = dd.from_map(score, keys_of(store), store=str(store), meta=meta)
        frame.to_parquet(out, write_index=False)
    rows = len(pd.read_parquet(out, columns=["object_id"]))
    finish(rows, ready)


if __name__ == "__main__":
    main()
