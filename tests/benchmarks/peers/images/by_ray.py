"""Ray Data: slices read in tasks, a pool of actors that hold the network, `write_parquet`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peers.images.job import Predictor, arguments, finish, keys_of, open_partition, slices_of


def read(batch: dict[str, np.ndarray], store: str) -> dict[str, np.ndarray]:
    """Read the one slice of a batch."""
    ids, values = open_partition(Path(store), str(batch["key"][0]))
    start, stop = int(batch["start"][0]), int(batch["stop"][0])
    return {"object_id": ids[start:stop], "cutout": np.asarray(values[start:stop])}


class Score:
    """The network, loaded once per actor."""

    def __init__(self) -> None:
        self.predict = Predictor()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a batch."""
        found = self.predict(np.ascontiguousarray(batch["cutout"], dtype=np.float32))
        return {"object_id": batch["object_id"], **{f"c{k}": found[:, k] for k in range(4)}}


def main() -> None:
    """Run on this machine."""
    import ray

    store, out = arguments()
    cores = len(os.sched_getaffinity(0))
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, object_store_memory=2_000_000_000)
    ready = time.perf_counter()
    items = [{"key": key, "start": a, "stop": b} for key, a, b in slices_of(store, keys_of(store))]
    data = ray.data.from_items(items, override_num_blocks=len(items))
    data = data.map_batches(read, batch_size=1, fn_kwargs={"store": str(store)}, num_cpus=0.25)
    data = data.map_batches(Score, batch_size=256, compute=ray.data.ActorPoolStrategy(size=cores), num_cpus=0.75)
    data.write_parquet(str(out))
    rows = ray.data.read_parquet(str(out)).count()
    ray.shutdown()
    finish(rows, ready)


if __name__ == "__main__":
    main()
