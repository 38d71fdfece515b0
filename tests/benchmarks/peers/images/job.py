"""The job on images in plain pieces, which every contestant is made of: slices of a store, batches, columns.

A store is a Zarr v3 group per partition (`values` (N, 5, 64, 64), `keys/object_id` (N,)), as
`skyloom cutouts` writes it. Imports numpy, torch, zarr and pyarrow only: peers have an environment of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peers.plain import arguments, finish

__all__ = [
    "BATCH_ROWS",
    "SHAPE",
    "SLICE_ROWS",
    "WRITTEN",
    "Predictor",
    "arguments",
    "finish",
    "keys_of",
    "open_partition",
    "slices_of",
]

SHAPE = (5, 64, 64)
"""Of one cutout: passbands, height, width."""
WRITTEN = ("c0", "c1", "c2", "c3")
"""Columns of the output: probabilities of four classes."""
BATCH_ROWS = 64
SLICE_ROWS = 256
"""Rows read at once: 21 MB."""


def keys_of(store: Path) -> list[str]:
    """Return the partitions of a store."""
    return sorted(str(path.parent.parent.relative_to(store)) for path in store.rglob("values/zarr.json"))


def open_partition(store: Path, key: str) -> tuple[np.ndarray, Any]:
    """Return the ids of a partition, and its cutouts as a Zarr array."""
    import zarr

    group = zarr.open_group(store / key, mode="r")
    return np.asarray(group["keys/object_id"][:]), group["values"]


def slices_of(store: Path, keys: list[str]) -> Iterator[tuple[str, int, int]]:
    """Yield (partition, first row, last row) of what is read at once."""
    import zarr

    for key in keys:
        rows = zarr.open_group(store / key, mode="r")["values"].shape[0]
        for start in range(0, rows, SLICE_ROWS):
            yield key, start, min(start + SLICE_ROWS, rows)


class Predictor:
    """The network, on one thread, on batches of a fixed number of rows."""

    def __init__(self, threads: int = 1) -> None:
        import torch

        from tests.benchmarks.peers.images.network import build

        torch.set_num_threads(threads)
        self.torch = torch
        self.network = build()

    def __call__(self, cutouts: np.ndarray) -> np.ndarray:
        """Return probabilities (N, 4) of cutouts (N, 5, 64, 64)."""
        out = np.empty((len(cutouts), 4), np.float32)
        with self.torch.inference_mode():
            for start in range(0, len(cutouts), BATCH_ROWS):
                batch = self.torch.from_numpy(cutouts[start : start + BATCH_ROWS])
                out[start : start + BATCH_ROWS] = self.network(batch).numpy()
        return out
