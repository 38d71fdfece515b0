"""The same network fed from memory: what the cores can do if nothing is read or written."""

from __future__ import annotations

import os
import time

import numpy as np

from tests.benchmarks.peers.images.job import SLICE_ROWS, Predictor, arguments, finish, keys_of, open_partition


def main() -> None:
    """Score as many rows as the store has, one process per core, each from its own slice in memory."""
    store, _ = arguments()
    keys = keys_of(store)
    rows = sum(open_partition(store, key)[1].shape[0] for key in keys)
    cutouts = np.asarray(open_partition(store, keys[0])[1][:SLICE_ROWS])
    cores = len(os.sched_getaffinity(0))
    share = -(-rows // cores)
    children = [pid for _ in range(1, cores) if (pid := _child(cutouts, share))]
    predict = Predictor()
    ready = time.perf_counter()
    _score(predict, cutouts, rows - share * len(children))
    for pid in children:
        os.waitpid(pid, 0)
    finish(rows, ready)


def _child(cutouts: np.ndarray, rows: int) -> int:
    pid = os.fork()
    if pid == 0:
        _score(Predictor(), cutouts, rows)
        os._exit(0)
    return pid


def _score(predict: Predictor, cutouts: np.ndarray, rows: int) -> None:
    while rows > 0:
        predict(cutouts[: min(rows, len(cutouts))])
        rows -= len(cutouts)


if __name__ == "__main__":
    main()
