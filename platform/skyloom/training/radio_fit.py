"""Fit the networks of radio-galaxy: five members on MiraBest, and three on FR-DEEP that show what transfer brings.

Every network leaves out a tenth of the training objects, another one for each member, and keeps
the weights of the epoch in which those were told apart best. Calibration and held-out objects are
not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skyloom.evaluation.radio import RadioSet, radio_parts, read_radio, scorable_radio
from skyloom.evaluation.radio_overlap import sky_names, survey_parts
from skyloom.evaluation.radio_transfer import TRANSFERS
from skyloom.models import radio_galaxy
from skyloom.models.radio_galaxy import MEMBERS, shape_of
from skyloom.models.radio_galaxy.network import RadioLeNet, make_lenet
from skyloom.runtime.device import DeviceSettings
from skyloom.training.loop import ArrayExamples, LoopConfig, Tick, fit
from skyloom.training.radio_augmentation import turn_at_random

__all__ = ["Fitting", "Recipe", "class_loss", "fit_members", "fit_transfers"]

_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the networks of one form are trained."""

    form: str = "equivariant"
    """``equivariant`` or ``plain``."""
    epochs: int = 60
    batch_rows: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    transfer_epochs: int = 40
    """Of each network of FR-DEEP."""
    transfer_rate: float = 3e-4
    """Learning rate of the network that goes on from FIRST to NVSS."""

    def __post_init__(self) -> None:
        radio_galaxy.Config(form=self.form)  # refuses one that there is not
        for epochs in (self.epochs, self.transfer_epochs):
            LoopConfig(epochs, self.batch_rows, self.learning_rate, self.weight_decay)


@dataclass(frozen=True, slots=True)
class Fitting:
    """Where a training run keeps its checkpoints, on what it computes, and whom it tells."""

    folder: Path
    seed: int = 0
    resume: bool = False
    device: DeviceSettings | None = None
    progress: Callable[[Tick], None] | None = None


def class_loss(outputs: dict[str, Tensor], target: Tensor) -> Tensor:
    """Return the mean cross-entropy of the logits."""
    return functional.cross_entropy(outputs["logits"], target)


@dataclass(frozen=True, slots=True)
class _Stage:
    """One of a run's networks."""

    name: str
    epochs: int
    rate: float
    seed: int
    fold: int = 0
    """The tenth of the training objects that judges each epoch."""


def fit_members(data: RadioSet, recipe: Recipe, run: Fitting) -> list[RadioLeNet]:
    """Train the members on the training objects of scorable images, from seeds of their own."""
    learn, members = radio_parts(data).train, []
    for k in range(MEMBERS):
        stage = _Stage(f"member-{k}", recipe.epochs, recipe.learning_rate, 100 * run.seed + k, fold=k)
        net = make_lenet(shape_of(recipe.form), seed=stage.seed)
        _fit(net, data, learn, stage, recipe=recipe, run=run)
        members.append(net)
    return members


def fit_transfers(folder: Path | None, recipe: Recipe, run: Fitting) -> dict[str, RadioLeNet]:
    """Train one network on FIRST, one on NVSS, and one on FIRST that goes on with NVSS: sources of FR-DEEP.

    Parameters
    ----------
    folder : path, optional
        As `skyloom.evaluation.radio.read_radio` has it.
    recipe : Recipe
    run : Fitting
    """
    first, nvss = (scorable_radio(read_radio(f"frdeep-{name}", folder)) for name in ("first", "nvss"))
    of_first, of_nvss = survey_parts(first, nvss)
    seed, epochs, rate = 100 * run.seed + 50, recipe.transfer_epochs, recipe.learning_rate
    nets = {name: make_lenet(shape_of(recipe.form), seed=seed) for name in TRANSFERS}
    stages = {name: _Stage(f"frdeep-{name}", epochs, rate, seed) for name in TRANSFERS}
    _fit(nets["first"], first, of_first.train, stages["first"], recipe=recipe, run=run)
    _fit(nets["nvss"], nvss, of_nvss.train, stages["nvss"], recipe=recipe, run=run)
    nets["first-nvss"].load_state_dict(nets["first"].state_dict())
    further = replace(stages["first-nvss"], rate=recipe.transfer_rate)
    _fit(nets["first-nvss"], nvss, of_nvss.train, further, recipe=recipe, run=run)
    return nets


def _fit(
    net: RadioLeNet, data: RadioSet, learn: NDArray[np.bool_], stage: _Stage, *, recipe: Recipe, run: Fitting
) -> None:
    aside = learn & (_folds(data.objects) == stage.fold)
    learning, validation = (
        ArrayExamples({"image": data.images[rows]}, data.target[rows]) for rows in (learn & ~aside, aside)
    )
    fit(
        net,
        learning,
        validation,
        loss=class_loss,
        config=LoopConfig(stage.epochs, recipe.batch_rows, stage.rate, recipe.weight_decay, seed=stage.seed),
        folder=run.folder / stage.name,
        augment=turn_at_random,
        device=run.device,
        progress=run.progress,
        resume=run.resume,
    )


def _folds(objects: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return which tenth each object is in: a hash of the name that it has in every survey."""
    names = sky_names(objects).tolist()
    return np.array([int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _FOLDS for name in names])
