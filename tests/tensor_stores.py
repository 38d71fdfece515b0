"""Small tensor stores, and how they break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from skyloom.tensors import Layout, PartitionWriter, TensorStore, create_store, open_tensors

KEY = "Norder=3/Dir=0/Npix=512"
SHAPE = (2, 6, 6)
CHUNK = 8


def layout_of(**changes: Any) -> Layout:
    """A layout of small cutouts: chunks of 8 rows, shards of 24."""
    said = {
        "kind": "cutouts",
        "catalog": "tiny",
        "snapshot": "sha256:0",
        "keys": ("id",),
        "shape": SHAPE,
        "chunk_rows": CHUNK,
        "shard_rows": 3 * CHUNK,
    }
    return Layout(**{**said, **changes})


def sample(rows: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Values (rows, *SHAPE) and row keys."""
    values = np.random.default_rng(seed).normal(10, 3, (rows, *SHAPE)).astype(np.float32)
    return values, {"id": np.arange(rows)}


def fill(
    root: Path, layout: Layout, values: np.ndarray, keys: dict[str, np.ndarray], *, step: int = 7
) -> TensorStore:
    """Write one partition, `step` rows at a time."""
    store = create_store(root, layout)
    with PartitionWriter(store, layout, KEY, keys) as writer:
        for start in range(0, len(values), step):
            writer.append(values[start : start + step])
        writer.commit()
    return open_tensors(root)


def shard_of(store: TensorStore, shard: int, key: str = KEY) -> Path:
    """The file of one shard of the values."""
    return Path(store.location) / key / "values" / "c" / str(shard) / "/".join("0" * len(store.layout.shape))


def damaged(store: TensorStore, how: str, *, chunk: int, key: str = KEY) -> None:
    """Flip a bit of a chunk of the first shard, or take the chunk out of the shard's index."""
    path = shard_of(store, 0, key)
    data = bytearray(path.read_bytes())
    per_shard = store.array(key, "values").shards[0] // store.array(key, "values").chunks[0]
    at = len(data) - 4 - 16 * per_shard
    index = np.frombuffer(bytes(data[at:-4]), "<u8").reshape(-1, 2).copy()
    if how == "flip":
        data[int(index[chunk, 0]) + 11] ^= 4
    else:
        index[chunk] = 2**64 - 1
        data[at:-4] = index.tobytes()
        data[-4:] = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    path.write_bytes(data)
