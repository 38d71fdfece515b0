"""Ray Data: `read_parquet`, a pool of actors that hold the network, `write_parquet`."""

from __future__ import annotations

import time

import numpy as np

from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, partitions_of
from tests.benchmarks.peers.table.job import READ, WRITTEN
from tests.benchmarks.peers.table.network import Predictor

BATCH_ROWS = 65_536


class Score:
    """The network, loaded once per actor."""

    def __init__(self) -> None:
        self.predict = Predictor()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the columns of a batch."""
        values = self.predict([batch[name] for name in READ])
        return {**{key: batch[key] for key in KEYS}, **dict(zip(WRITTEN, values, strict=True))}


def main() -> None:
    """Run on this machine."""
    import ray

    catalog, out = arguments()
    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, object_store_memory=2_000_000_000)
    ready = time.perf_counter()
    files = [str(path) for path in partitions_of(catalog)]
    data = ray.data.read_parquet(files, columns=[*KEYS, *READ], ray_remote_args={"num_cpus": 0.25})
    pool = ray.data.ActorPoolStrategy(size=CORES)
    data = data.map_batches(Score, batch_size=BATCH_ROWS, compute=pool, num_cpus=0.5)
    data.write_parquet(str(out), ray_remote_args={"num_cpus": 0.25})
    rows = ray.data.read_parquet(str(out)).count()
    ray.shutdown()
    finish(rows, ready)


if __name__ == "__main__":
    main()
