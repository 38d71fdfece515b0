"""Fit the networks of alert-stamp: one a fold, and those that they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.alert_folds import FOLD_SEED
from skyloom.evaluation.alerts import Alerts
from skyloom.evaluation.folds import folds_of
from skyloom.models.alert_stamp import CLASSES
from skyloom.models.alert_stamp.network import StampNet, build_network
from skyloom.nn.dihedral import transform
from skyloom.training.learners import TrainRequest
from skyloom.training.loop import ArrayExamples, History, LoopConfig, fit

__all__ = ["Fitting", "Recipe", "learning_rows", "shared_out", "turned", "weighted_entropy"]

_SYMMETRIES = 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """How each network is trained, the same for all; chosen by the judging objects of one fold, of four tried."""

    epochs: int = 100
    batch_rows: int = 32
    learning_rate: float = 6e-3
    weight_decay: float = 1e-2
    dropout: float = 0.3
    judges: int = 5
    """One in so many of the objects to learn from judges the epochs instead."""

    def __post_init__(self) -> None:
        if self.judges < 2 or not 0.0 <= self.dropout < 1.0:
            msg = f"judges is at least 2 and dropout lies in [0, 1), got {self.judges} and {self.dropout}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True, slots=True)
class Fitting:
    """A request, its recipe, and the curves of the networks fitted so far, by their names."""

    request: TrainRequest
    recipe: Recipe
    curves: dict[str, History] = field(default_factory=dict)

    def network(self, alerts: Alerts, *, n_context: int, seed: int, stage: str) -> StampNet:
        """Return a network that learned from labelled alerts; its epoch is chosen by some of their objects.

        Parameters
        ----------
        alerts : Alerts
            None of them may be one that the network is to be scored on.
        n_context : int
            Numbers of the alert that it sees beside the stamps: all, or 0.
        seed : int
            Of weights at the start, order, turns and dropout.
        stage : str
            Name of this network: where checkpoint and curves go.
        """
        recipe, request = self.recipe, self.request
        learns = learning_rows(alerts, recipe)
        net = build_network(n_context, seed=seed, dropout=recipe.dropout)
        config = LoopConfig(
            epochs=recipe.epochs,
            batch_rows=recipe.batch_rows,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            optimiser="adamw",
            seed=seed,
        )
        self.curves[stage] = fit(
            net,
            _examples(alerts.take(learns)),
            _examples(alerts.take(~learns)),
            loss=weighted_entropy,
            config=config,
            folder=request.folder(stage),
            augment=turned,
            device=request.device,
            progress=request.watch(stage),
            resume=request.resume,
        )
        return net


def learning_rows(alerts: Alerts, recipe: Recipe) -> NDArray[np.bool_]:
    """Return which alerts are learned from; the others' objects judge the epochs."""
    return np.asarray(folds_of(alerts.objects, alerts.target, folds=recipe.judges, seed=FOLD_SEED + 1) != 0)


def shared_out(objects: tuple[str, ...], target: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return targets (N, K) for `weighted_entropy`: an object's alerts share its weight; the mean weight is 1."""
    _, place, count = np.unique(np.array(objects), return_inverse=True, return_counts=True)
    weight = len(objects) / (len(count) * count[place])
    return (np.eye(len(CLASSES))[target] * weight[:, None]).astype(np.float32)


def weighted_entropy(outputs: Mapping[str, Tensor], target: Tensor) -> Tensor:
    """Return the cross-entropy of ``logits`` (B, K) with targets (B, K) that carry each row's weight."""
    return -(target * torch.log_softmax(outputs["logits"], dim=1)).sum(dim=1).mean()


def turned(arrays: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Turn and mirror each image by itself, by one of the eight symmetries of the square."""
    image = arrays["image"].copy()
    element = rng.integers(0, _SYMMETRIES, len(image))
    for g in range(1, _SYMMETRIES):
        of = element == g
        image[of] = transform(torch.from_numpy(image[of]), g).numpy()
    return {**arrays, "image": image}


def _examples(alerts: Alerts) -> ArrayExamples:
    arrays = {"image": alerts.image, "alert": alerts.alert}
    return ArrayExamples(arrays, shared_out(alerts.objects, alerts.target))
