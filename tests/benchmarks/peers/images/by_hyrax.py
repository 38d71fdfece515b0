"""Hyrax: a dataset class over the store, the network as a Hyrax model, the verb `infer`; results in Lance.

Hyrax asks for one item at a time; the dataset keeps the slice around it. Loading is left to one process beside
the one that computes, whose threads are as many as there are cores: Hyrax computes in one process per device.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Of torchvision, which Hyrax imports, only wheels for CUDA may be had beside a torch without it. They lack
# their compiled operators then, of which Hyrax uses none, and want these declared.
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from hyrax import Hyrax  # noqa: E402
from hyrax.datasets import HyraxDataset  # noqa: E402
from hyrax.models.model_registry import hyrax_model  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import Dataset  # noqa: E402

from tests.benchmarks.peers.images.job import (  # noqa: E402
    BATCH_ROWS,
    SHAPE,
    SLICE_ROWS,
    arguments,
    finish,
    keys_of,
    open_partition,
    slices_of,
)
from tests.benchmarks.peers.images.network import build as build_network  # noqa: E402

CORES = len(os.sched_getaffinity(0))


class Stamps(HyraxDataset, Dataset):
    """The cutouts of a store, in the order of its partitions."""

    def __init__(self, config: dict[str, Any], data_location: str) -> None:
        store = Path(data_location)
        self.store, keys = store, keys_of(store)
        self.slices = list(slices_of(store, keys))
        self.first = np.cumsum([0, *(stop - start for _, start, stop in self.slices)])
        self.ids = np.concatenate([open_partition(store, key)[0] for key in keys])
        self.held, self.cutouts = -1, np.empty((0, *SHAPE), np.float32)
        super().__init__(config)

    def __len__(self) -> int:
        """Return the number of cutouts."""
        return len(self.ids)

    def get_image(self, idx: int) -> np.ndarray:
        """Return one cutout; its slice is read when it is not the one at hand."""
        number = int(np.searchsorted(self.first, idx, side="right")) - 1
        if number != self.held:
            key, start, stop = self.slices[number]
            self.held, self.cutouts = number, np.asarray(open_partition(self.store, key)[1][start:stop])
        return np.asarray(self.cutouts[idx - self.first[number]])

    def get_object_id(self, idx: int) -> str:
        """Return the id of one."""
        return str(self.ids[idx])


@hyrax_model
class Scorer(nn.Module):
    """The network of the benchmark."""

    def __init__(self, config: dict[str, Any], data_sample: Any = None) -> None:
        super().__init__()
        self.config = config
        self.network = build_network()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return probabilities, by batches of the size that everybody computes."""
        with torch.inference_mode():
            return torch.cat([self.network(part) for part in images.split(BATCH_ROWS)])

    def infer_batch(self, batch: Any) -> torch.Tensor:
        """Return the probabilities of a batch."""
        found: torch.Tensor = self(batch[0] if isinstance(batch, (tuple, list)) else batch)
        return found

    def train_batch(self, batch: Any) -> dict[str, float]:
        """Refuse: Hyrax wants the method to be there."""
        raise NotImplementedError("the benchmark trains nothing")

    validate_batch = test_batch = train_batch

    @staticmethod
    def prepare_inputs(data_dict: dict[str, Any]) -> tuple[np.ndarray]:
        """Take the image."""
        return (np.asarray(data_dict["data"]["image"], dtype=np.float32),)


def main() -> None:
    """Infer, and hand the rows on as Parquet, which is left out of the time."""
    import lance
    import pyarrow.parquet as pq

    store, out = arguments()
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.pth")
        torch.save({f"network.{name}": each for name, each in build_network().state_dict().items()}, weights)
        hyrax = Hyrax()
        hyrax.config["general"]["results_dir"] = folder
        hyrax.config["model"]["name"] = "Scorer"
        hyrax.config["infer"]["model_weights_file"] = str(weights)
        hyrax.config["data_loader"] |= {"batch_size": SLICE_ROWS, "num_workers": 1}
        hyrax.config["data_request"] = {
            "infer": {
                "data": {
                    "dataset_class": "Stamps",
                    "data_location": str(store),
                    "fields": ["image"],
                    "primary_id_field": "object_id",
                }
            }
        }
        ready = time.perf_counter()
        hyrax.infer()
        done = time.perf_counter()
        found = lance.dataset(next(Path(folder).rglob("*.lance"))).to_table()
        shutil.rmtree(out)
        out.mkdir()
        pq.write_table(_columns(found), out / "rows.parquet")
    finish(found.num_rows, ready, done)


def _columns(found: Any) -> Any:
    import pyarrow as pa

    ids = pa.array([int(i) for i in found["object_id"].to_pylist()])
    values = np.stack(found["data"].to_pylist()).astype(np.float32)
    return pa.table({"object_id": ids, **{f"c{k}": values[:, k] for k in range(4)}})


if __name__ == "__main__":
    main()
