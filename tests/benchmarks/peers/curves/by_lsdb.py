"""LSDB: `open_catalog` with nested light curves, `map_partitions`, `write_catalog`, one process per core."""

from __future__ import annotations

import time

import pandas as pd
import pyarrow as pa

from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one
from tests.benchmarks.peers.plain import CORES, arguments, finish


def describe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ids, places and the columns of one partition."""
    kept = frame[["object_id", "ra", "dec"]]
    if not len(frame):
        return kept.assign(**{name: pd.Series([], dtype="f4") for name in WRITTEN})
    values = Extractor()(one(pa.chunked_array(pa.array(frame["lc"].array.to_arrow_ext_array().__arrow_array__()))))
    return kept.assign(**dict(zip(WRITTEN, values, strict=True)))


def main() -> None:
    """Run it."""
    import lsdb
    from distributed import Client, LocalCluster

    catalog, out = arguments()
    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        ready = time.perf_counter()
        frame = lsdb.open_catalog(catalog, columns=["object_id", "ra", "dec", "lc"])
        done = frame.map_partitions(describe, meta=describe(frame.meta))
        done.write_catalog(out / "layer", catalog_name="layer", progress_bar=False)
    finish(len(lsdb.open_catalog(out / "layer")), ready)


if __name__ == "__main__":
    main()
