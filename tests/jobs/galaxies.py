"""A store of made-up galaxies for a small catalog, as gamornet reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skyloom.catalog import open_catalog, read_partition
from skyloom.jobs.plan import row_keys_of
from skyloom.tensors import Layout, PartitionWriter, create_store, key_arrays

SIDE = 64


def store_of_galaxies(root: Path, location: Path) -> Path:
    """Write round exponential galaxies on noise, one per row, which its id decides."""
    catalog = open_catalog(location)
    layout = Layout(
        kind="cutouts",
        catalog=catalog.name,
        snapshot=catalog.snapshot(),
        keys=row_keys_of(catalog),
        shape=(1, SIDE, SIDE),
        unit="nJy",
        pixel_arcsec=0.396,
    )
    store = create_store(root, layout)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for partition in catalog.partitions():
        keys = key_arrays(read_partition(catalog.root, partition, list(layout.keys)), layout.keys)
        with PartitionWriter(store, layout, partition.key, keys) as writer:
            for object_id in keys["object_id"]:
                rng = np.random.default_rng(int(object_id))
                image = 3e3 * np.exp(-np.hypot(x, y) / rng.uniform(1.5, 6.0)) + rng.normal(0, 20, x.shape)
                writer.append(image[None, None].astype(np.float32))
            writer.commit()
    return root
