"""Fit the networks of radio-galaxy: five members on MiraBest, and three on FR-DEEP that show what transfer brings.

Every network leaves out a tenth of the training objects, another one for each member, and keeps
the weights of the epoch in which those were told apart best. Calibration and held-out objects are
not looked at.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.radio import RadioSet, radio_parts, read_radio, scorable_radio
from skyloom.evaluation.radio_overlap import sky_names, survey_parts
from skyloom.evaluation.radio_transfer import TRANSFERS
from skyloom.models import radio_galaxy
from skyloom.models.radio_galaxy import MEMBERS, shape_of
from skyloom.models.radio_galaxy.network import RadioLeNet, make_lenet
from skyloom.training.learners import TrainRequest
from skyloom.training.loop import ArrayExamples, History, LoopConfig, fit
from skyloom.training.radio_augmentation import turn_at_random

__all__ = ["Recipe", "class_loss", "fit_members", "fit_transfers", "folder_of"]

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


def fit_members(
    data: RadioSet, recipe: Recipe, request: TrainRequest
) -> tuple[list[RadioLeNet], dict[str, History]]:
    """Train the members on the training objects of scorable images, from seeds of their own.

    Returns
    -------
    members : list of RadioLeNet
    curves : dict of str to History
        By the names of the folders that hold them.
    """
    learn, members, curves = radio_parts(data).train, [], {}
    for k in range(MEMBERS):
        stage = _Stage(f"member-{k}", recipe.epochs, recipe.learning_rate, 100 * request.seed + k, fold=k)
        net = make_lenet(shape_of(recipe.form), seed=stage.seed)
        curves[stage.name] = _fit(net, data, learn, stage, recipe=recipe, request=request)
        members.append(net)
    return members, curves


def fit_transfers(recipe: Recipe, request: TrainRequest) -> tuple[dict[str, RadioLeNet], dict[str, History]]:
    """Train one network on FIRST, one on NVSS, and one on FIRST that goes on with NVSS: sources of FR-DEEP.

    Returns
    -------
    nets : dict of str to RadioLeNet
        By the names of `skyloom.evaluation.radio_transfer.TRANSFERS`.
    curves : dict of str to History
        By the names of the folders that hold them.
    """
    folder = folder_of(request)
    first, nvss = (scorable_radio(read_radio(f"frdeep-{name}", folder)) for name in ("first", "nvss"))
    of_first, of_nvss = survey_parts(first, nvss)
    seed, epochs, rate = 100 * request.seed + 50, recipe.transfer_epochs, recipe.learning_rate
    nets = {name: make_lenet(shape_of(recipe.form), seed=seed) for name in TRANSFERS}
    curves = {}
    for name, data, learn, step in (
        ("first", first, of_first.train, rate),
        ("nvss", nvss, of_nvss.train, rate),
        ("first-nvss", nvss, of_nvss.train, recipe.transfer_rate),
    ):
        if name == "first-nvss":
            nets[name].load_state_dict(nets["first"].state_dict())
        stage = _Stage(f"frdeep-{name}", epochs, step, seed)
        curves[stage.name] = _fit(nets[name], data, learn, stage, recipe=recipe, request=request)
    return nets, curves


def folder_of(request: TrainRequest) -> Path | None:
    """Return the folder of the published files.

    Raises
    ------
    SpecError
        If a table is given.
    """
    if request.data is None or isinstance(request.data, Path):
        return request.data
    msg = f"{radio_galaxy.NAME} learns from published files; give the folder that holds mirabest/ and frdeep/"
    raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def _fit(
    net: RadioLeNet,
    data: RadioSet,
    learn: NDArray[np.bool_],
    stage: _Stage,
    *,
    recipe: Recipe,
    request: TrainRequest,
) -> History:
    aside = learn & (_folds(data.objects) == stage.fold)
    learning, validation = (
        ArrayExamples({"image": data.images[rows]}, data.target[rows]) for rows in (learn & ~aside, aside)
    )
    return fit(
        net,
        learning,
        validation,
        loss=class_loss,
        config=LoopConfig(stage.epochs, recipe.batch_rows, stage.rate, recipe.weight_decay, seed=stage.seed),
        folder=request.folder(stage.name),
        augment=turn_at_random,
        device=request.device,
        progress=request.watch(stage.name),
        resume=request.resume,
    )


def _folds(objects: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return which tenth each object is in: a hash of the name that it has in every survey."""
    names = sky_names(objects).tolist()
    return np.array([int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _FOLDS for name in names])
