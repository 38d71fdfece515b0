"""The data of the job on images: a seeded catalog and its cutouts, in a store as `skyloom cutouts` writes it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa

from skyloom.catalog import open_catalog
from skyloom.catalog.partition import read_partition
from skyloom.jobs.plan import row_keys_of
from skyloom.tensors import Layout, PartitionWriter, create_store, key_arrays
from tests.benchmarks.peers.images.job import SHAPE
from tests.tiny_catalogs import write_hats

__all__ = ["make"]

SKY, WIDTH_PIXELS = 10.0, 4.0
STEP = 256


def make(folder: Path, *, rows: int, threshold: int, seed: int = 0) -> None:
    """Write ``catalog`` and ``store`` below `folder`: noisy galaxies in five passbands.

    Parameters
    ----------
    rows : int
    threshold : int
        Rows that a partition has at most.
    seed : int
        A row's cutout depends on it and on the row's id alone.
    """
    from hats.pixel_math import compute_spatial_index

    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, rows), np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
    table = pa.table(
        {
            "_healpix_29": compute_spatial_index(ra, dec),
            "object_id": np.arange(rows),
            "ra": pa.array(ra),
            "dec": pa.array(dec),
        }
    ).sort_by("_healpix_29")
    catalog = open_catalog(write_hats(folder / "catalog", table, threshold=threshold))
    layout = Layout(
        kind="cutouts",
        catalog=catalog.name,
        snapshot=catalog.snapshot(),
        keys=row_keys_of(catalog),
        shape=SHAPE,
        unit="nJy",
        bands=("g", "r", "i", "z", "y"),
        pixel_arcsec=0.2,
    )
    store = create_store(folder / "store", layout)
    for partition in catalog.partitions():
        rows_of = read_partition(catalog.root, partition, ["object_id", *layout.keys])
        with PartitionWriter(store, layout, partition.key, key_arrays(rows_of, layout.keys)) as writer:
            ids = rows_of.column("object_id").to_numpy()
            for start in range(0, len(ids), STEP):
                writer.append(cutouts(ids[start : start + STEP], seed))
            writer.commit()


def cutouts(ids: np.ndarray, seed: int) -> np.ndarray:
    """Return the cutouts of some objects, float32 (N, 5, 64, 64) in nJy."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in SHAPE[1:])
    radius2 = y[:, None] ** 2 + x**2
    out = np.empty((len(ids), *SHAPE), np.float32)
    for row, number in enumerate(ids):
        rng = np.random.default_rng([seed, int(number)])
        width, height = rng.uniform(1, 3) * WIDTH_PIXELS, rng.lognormal(3, 1, SHAPE[0])
        out[row] = height[:, None, None] * np.exp(-radius2 / (2 * width**2)) + rng.normal(0, SKY, SHAPE)
    return out


def main() -> None:
    """Write them from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--threshold", type=int, default=300)
    options = parser.parse_args()
    make(options.folder, rows=options.rows, threshold=options.threshold)


if __name__ == "__main__":
    main()
