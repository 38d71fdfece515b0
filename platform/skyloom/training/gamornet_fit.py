"""Fit one GaMorNet: Adam along a cosine, images turned and mirrored at random, the best epoch kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skyloom.evaluation.gamornet_galaxies import Sample
from skyloom.models.gamornet.network import GaMorNet
from skyloom.training.learners import TrainRequest
from skyloom.training.loop import ArrayExamples, History, LoopConfig, fit

__all__ = ["fit_stage", "turned"]

_BATCH = 64


def fit_stage(
    net: GaMorNet, part: Sample, *, request: TrainRequest, stage: str, epochs: int, rate: float, seed: int
) -> History:
    """Train `net` in place on nine tenths of a sample; the last tenth says which epoch is the best.

    Parameters
    ----------
    net : GaMorNet
        Parameters that do not require gradients stay as they are, bit for bit.
    part : Sample
        In no order.
    request : TrainRequest
    stage : str
        Name of this part of the recipe.
    epochs : int
    rate : float
        Learning rate at the start.
    seed : int
        Of order, turns and dropout.

    Raises
    ------
    SpecError, DataError
        As `skyloom.training.loop.fit`.
    """
    n = len(part.label) - max(1, len(part.label) // 10)
    return fit(
        net,
        ArrayExamples({"image": part.images[:n]}, part.label[:n]),
        ArrayExamples({"image": part.images[n:]}, part.label[n:]),
        loss=_cross_entropy,
        config=LoopConfig(epochs=epochs, batch_rows=_BATCH, learning_rate=rate, seed=seed),
        folder=request.folder(stage),
        augment=turned,
        device=request.device,
        progress=request.watch(stage),
        resume=request.resume,
    )


def turned(arrays: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Turn the whole batch by a random multiple of 90 degrees, and mirror it every other time."""
    image = np.rot90(arrays["image"], int(rng.integers(4)), (2, 3))
    return {"image": np.flip(image, 3) if rng.random() < 0.5 else image}


def _cross_entropy(outputs: dict[str, Tensor], target: Tensor) -> Tensor:
    return functional.cross_entropy(outputs["logits"], target)
