"""Simulated radio sources of two lobes, and files of them laid out like the published ones.

FR I: a bright core between lobes that fade outwards; FR II: two hot spots, the core faint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIDE_PX = 150


def two_lobes(n: int, *, seed: int = 0, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Images of grey levels (n, 150, 150), noise clipped away, and labels (n,): 0 FR I, 1 FR II, in turn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - (SIDE_PX - 1) / 2
    label = np.arange(n) % 2
    images = np.zeros((n, SIDE_PX, SIDE_PX))
    for k in range(n):
        angle, reach = rng.uniform(0, np.pi), size * rng.uniform(15, 35)
        for share, height in ((0.0, (1.0, 0.15)[label[k]]), (0.5, 0.4), (1.0, (0.15, 1.0)[label[k]])):
            for side in (-1, 1):
                away = side * share * reach * rng.uniform(0.9, 1.1)
                dx, dy = x - away * np.cos(angle), y - away * np.sin(angle)
                images[k] += height * np.exp(-(dx**2 + dy**2) / (2 * (2.0 + 2 * size) ** 2))
        images[k] *= 255.0 / images[k].max()
    return np.where(images < 8.0, 0.0, images).astype(np.uint8), label


def write_published(folder: Path, *, n: int = 60, seed: int = 0) -> Path:
    """Write sources where and as `read_radio` finds MiraBest and FR-DEEP; return `folder`.

    FR-DEEP's sources are in both surveys, in NVSS a third as large.
    """
    images, label = two_lobes(n, seed=seed)
    names = [f"{100 + 100 * label[k]}_{10 + k:07.3f}_+{k:06.3f}.png" for k in range(n)]
    _write(folder / "mirabest" / "mirabest_batches_792_150x150.parquet", names, images, label)
    for survey, size, ends in (
        ("first", 1.0, ("_FRICAT_FR1_example", "_example")),
        ("nvss", 0.3, ("_FRICAT_FR1_", "a")),
    ):
        images, label = two_lobes(n, seed=seed + 1, size=size)
        names = [f"{k}{ends[label[k]]}.png" for k in range(n)]
        _write(folder / "frdeep" / f"frdeep_{survey}_600_150x150.parquet", names, images, label)
    return folder


def _write(path: Path, names: list[str], images: np.ndarray, label: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), SIDE_PX**2)
    columns = {"filename": names, "batch": ["made"] * len(names), "label": label, "image_u8": pixels}
    pq.write_table(pa.table(columns), path)
