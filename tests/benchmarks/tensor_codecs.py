"""Codecs, types and chunks of tensor stores, taking turns: ``python -m tests.benchmarks.tensor_codecs``.

Read MB per CPU-second (MB of float32, whatever is stored) and size over that of float32
uncompressed, of seeded noisy stamps of 3x63x63, each with crc32c, read in slices of 20 MB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from skyloom.tensors import Layout, PartitionWriter, TensorStore, create_store, open_tensors
from tests.benchmarks.interleaved import take_turns

KEY = "Norder=0/Dir=0/Npix=0"
SHAPE = (3, 63, 63)
CANDIDATES = [
    ("none", "float32", 64),
    ("none", "float32", 256),
    ("none", "float32", 1024),
    ("blosc-lz4", "float32", 64),
    ("blosc-zstd", "float32", 64),
    ("zstd", "float32", 64),
    ("none", "float16", 64),
    ("blosc-lz4", "float16", 64),
]


def stamps(rows: int) -> np.ndarray:
    """Noise with a source in the middle, as float32 of a sky-subtracted image is."""
    y, x = np.mgrid[-31:32, -31:32]
    source = 50 * np.exp(-(x**2 + y**2) / 8.0)
    noise = np.random.default_rng(0).normal(0, 5, (rows, *SHAPE)).astype(np.float32)
    return noise + source.astype(np.float32)


def write(root: Path, codec: str, dtype: str, chunk: int, values: np.ndarray) -> TensorStore:
    """Make a store of one partition."""
    layout = Layout("cutouts", "bench", "-", ("id",), SHAPE, dtype, codec=codec, chunk_rows=chunk, shard_rows=1024)
    store = create_store(root, layout)
    with PartitionWriter(store, layout, KEY, {"id": np.arange(len(values))}) as writer:
        writer.append(values)
        writer.commit()
    return open_tensors(root)


def read(store: TensorStore, rows: int, _: int) -> None:
    """Read everything, slice by slice."""
    partition, step = store.open_partition(KEY), store.slice_rows()
    for start in range(0, rows, step):
        found = partition.read(start, min(start + step, rows))
        assert not found.faults.any()


def main(rows: int, rounds: int) -> None:
    """Print one line per candidate."""
    values = stamps(rows)
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            f"{codec} {dtype} {chunk}": write(Path(folder) / str(n), codec, dtype, chunk, values)
            for n, (codec, dtype, chunk) in enumerate(CANDIDATES)
        }
        taken = take_turns({name: partial(read, store, rows) for name, store in stores.items()}, rounds)
        for name, store in stores.items():
            speeds = [values.nbytes / 1e6 / one.cpu_s for one in taken[name]]
            size = store.statement(KEY).size_bytes / values.nbytes
            low, high = min(speeds), max(speeds)
            middle = f"{statistics.median(speeds):7.0f} MB/CPU-s"
            sys.stdout.write(f"{name:<26} {middle} ({low:.0f} to {high:.0f})  size {size:.3f}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    main(given.rows, given.rounds)
