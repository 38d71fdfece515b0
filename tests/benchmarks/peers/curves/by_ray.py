"""Ray Data: `read_parquet`, a pool of actors that work on Arrow batches, `write_parquet`."""

from __future__ import annotations

import time

import pyarrow as pa

from tests.benchmarks.peers.curves.features import WRITTEN, Extractor, one
from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, partitions_of

BATCH_ROWS = 8192


class Describe:
    """The extractor, made once per actor."""

    def __init__(self) -> None:
        self.extract = Extractor()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return the columns of a batch."""
        values = self.extract(one(batch.column("lc")))
        return pa.table({**{key: batch.column(key) for key in KEYS}, **dict(zip(WRITTEN, values, strict=True))})


def main() -> None:
    """Run on this machine."""
    import ray

    catalog, out = arguments()
    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, object_store_memory=2_000_000_000)
    ready = time.perf_counter()
    files = [str(path) for path in partitions_of(catalog)]
    data = ray.data.read_parquet(files, columns=[*KEYS, "lc"], ray_remote_args={"num_cpus": 0.25})
    pool = ray.data.ActorPoolStrategy(size=CORES)
    data = data.map_batches(Describe, batch_size=BATCH_ROWS, batch_format="pyarrow", compute=pool, num_cpus=0.5)
    data.write_parquet(str(out), ray_remote_args={"num_cpus": 0.25})
    rows = ray.data.read_parquet(str(out)).count()
    ray.shutdown()
    finish(rows, ready)


if __name__ == "__main__":
    main()
