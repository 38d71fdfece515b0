"""LSDB: `open_catalog`, `map_partitions`, `write_catalog`, on a cluster of one process per core."""

from __future__ import annotations

import time

import pandas as pd

from tests.benchmarks.peers.plain import CORES, arguments, finish
from tests.benchmarks.peers.table.by_dask import scored
from tests.benchmarks.peers.table.job import READ


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ids, places and the columns of one partition; its index goes on to be ``_healpix_29``."""
    return frame[["object_id", "ra", "dec"]].assign(**scored(frame))


def main() -> None:
    """Run it."""
    import lsdb
    from distributed import Client, LocalCluster

    catalog, out = arguments()
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        frame = lsdb.open_catalog(catalog, columns=["object_id", "ra", "dec", *READ])
        done = frame.map_partitions(beside, meta=beside(frame.meta))
        done.write_catalog(out / "layer", catalog_name="layer", progress_bar=False)
    finish(len(lsdb.open_catalog(out / "layer")), ready)


if __name__ == "__main__":
    main()
