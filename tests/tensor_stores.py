"""Small tensor stores, and how they break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from skyloom.catalog import open_catalog, read_partition
from skyloom.jobs.plan import row_keys_of
from skyloom.tensors import Layout, PartitionWriter, TensorStore, create_store, key_arrays, open_tensors

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


def images(keys: Any, *, special: Any = ()) -> np.ndarray:
    """An image per row that its id decides, whatever partition the row is in; `special` sets first pixels."""
    made = np.stack(
        [np.random.default_rng(int(i)).normal(5, 1, SHAPE) for i in keys["object_id"]] or [np.empty(SHAPE)]
    )
    made = made[: len(keys["object_id"])].astype(np.float32)
    made[keys["object_id"] % 11 == 0] = np.nan
    made[keys["object_id"] % 7 == 0, :, :3] = np.nan
    for object_id, first in special:
        made[keys["object_id"] == object_id, 0, 0, 0] = first
    return made


def write_tensors(root: Path, location: Path, *, skip: int = 0, special: Any = (), **changes: Any) -> Path:
    """Write a store of `images` for a catalog, but for the first `skip` partitions."""
    catalog = open_catalog(location)
    said = {
        "kind": "cutouts",
        "catalog": catalog.name,
        "snapshot": catalog.snapshot(),
        "keys": row_keys_of(catalog),
        "shape": SHAPE,
        "unit": "nJy",
        "chunk_rows": CHUNK,
        "shard_rows": 2 * CHUNK,
    }
    layout = Layout(**{**said, **changes})
    store = create_store(root, layout)
    for partition in catalog.partitions()[skip:]:
        keys = key_arrays(read_partition(catalog.root, partition, list(layout.keys)), layout.keys)
        with PartitionWriter(store, layout, partition.key, keys) as writer:
            made = images(keys, special=special)
            widths = keys["object_id"][:, None] % 5 * np.float32([0.5, 1.0]) if layout.extras else None
            writer.append(np.resize(made, (len(made), *layout.shape)), psf_fwhm_arcsec=widths)
            writer.commit()
    return root
