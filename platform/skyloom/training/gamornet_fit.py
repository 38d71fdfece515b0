"""Fit one GaMorNet: Adam, images turned and mirrored at random, the best epoch kept."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.gamornet.network import GaMorNet, outputs

__all__ = ["fit"]

_BATCH = 64


def fit(
    net: GaMorNet,
    images: NDArray[np.float32],
    label: NDArray[np.int64],
    validation: tuple[NDArray[np.float32], NDArray[np.int64]],
    *,
    epochs: int,
    rate: float,
    seed: int,
) -> list[float]:
    """Train `net` in place; afterwards it has the weights of the epoch with the least validation loss.

    Parameters
    ----------
    net : GaMorNet
        Parameters that do not require gradients stay as they are, bit for bit.
    images : ndarray of float32, shape (N, 1, size, size)
    label : ndarray of int64, shape (N,)
    validation : images and labels
    epochs : int
    rate : float
        Learning rate at the start; it falls to zero along a cosine.
    seed : int
        Of order, turns and dropout.

    Returns
    -------
    list of float
        Validation loss after each epoch.

    Raises
    ------
    SpecError
        If there is nothing to learn from, or the loss is not finite.
    """
    if not len(images) or epochs < 1:
        msg = f"training needs galaxies and at least one epoch, got {len(images)} and {epochs}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    rng = np.random.default_rng([seed, 1])
    learning = [p for p in net.parameters() if p.requires_grad]
    steps = math.ceil(len(images) / _BATCH) * epochs
    optimiser = torch.optim.Adam(learning, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    curve: list[float] = []
    best = copy.deepcopy(net.state_dict())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(epochs):
            net.train()
            order = rng.permutation(len(images))
            for start in range(0, len(images), _BATCH):
                rows = order[start : start + _BATCH]
                batch = _turned(torch.from_numpy(images[rows]), rng)
                loss = functional.cross_entropy(net(batch)["logits"], torch.from_numpy(label[rows]))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
            curve.append(_loss(net, *validation))
            if not math.isfinite(curve[-1]):
                msg = f"the loss became {curve[-1]} in epoch {len(curve)}; lower the learning rate ({rate})"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, rate=rate)
            if curve[-1] == min(curve):
                best = copy.deepcopy(net.state_dict())
    net.load_state_dict(best)
    net.eval()
    return curve


def _turned(batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Turn the whole batch by a random multiple of 90 degrees, and mirror it every other time."""
    turned = torch.rot90(batch, int(rng.integers(4)), (2, 3))
    return turned.flip(3) if rng.random() < 0.5 else turned


def _loss(net: GaMorNet, images: NDArray[np.float32], label: NDArray[np.int64]) -> float:
    logits = torch.from_numpy(outputs(net, images)[0])
    return float(functional.cross_entropy(logits, torch.from_numpy(label)))
