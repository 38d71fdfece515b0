"""Train a system by name."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.labelled import LabelledSource, is_labelled
from skyloom.models.card import Card
from skyloom.runtime.device import DeviceSettings, use
from skyloom.training.checkpoint import CHECKPOINT
from skyloom.training.learners import TrainRequest, learner
from skyloom.training.progress import Tick
from skyloom.training.recipes import read_recipe
from skyloom.training.request import EXAMPLES

__all__ = ["train"]


def train(
    name: str,
    output: str | Path,
    *,
    recipe: Any = None,
    data: pa.Table | LabelledSource | str | Path | None = None,
    seed: int = 0,
    device: DeviceSettings | None = None,
    resume: bool = False,
    progress: Callable[[Tick], None] | None = None,
) -> Card:
    """Train the system called `name` and write its bundle.

    Parameters
    ----------
    name : str
    output : path
        Folder that gets ``card.toml`` and ``model.safetensors``; its name is that of the weights.
        Checkpoints and learning curves go to ``<output>.training`` beside it.
    recipe : Recipe or path, optional
        Of the system, or a file as `skyloom.training.recipes.read_recipe` has it; default: its own.
    data : table, LabelledSource or path, optional
        The training set, or its folder; for systems that read one. Default ``$SKYLOOM_DATA``.
    seed : int
        Of the training; the split by object has its own, fixed one.
    device : DeviceSettings, optional
        Where networks are trained; default: the CPU, with one thread.
    resume : bool
        Go on from the checkpoints of an earlier run that was stopped.
    progress : callable, optional
        Called often with how far it is.

    Returns
    -------
    Card
        With the scores on held-out objects.

    Raises
    ------
    SpecError
        If there is no such model, it learns nothing, or not from catalogs, the recipe is refused, or
        there are checkpoints of an earlier run and `resume` is false.
    NotFoundError
        If there are no data; the message says how to get them.
    """
    module, output = learner(name), Path(output)
    if is_labelled(data) and not getattr(module, "CATALOGS", False):
        msg = f"model {name} does not learn from labelled catalogs; leave --catalog out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
    settings = dataclasses.replace(device or DeviceSettings("cpu"), threads=1)
    if recipe is None or isinstance(recipe, str | Path):
        recipe = module.Recipe() if recipe is None else read_recipe(name, module.Recipe, Path(recipe))
    request = TrainRequest(
        output=output,
        variant=output.name,
        seed=seed,
        data=Path(data) if isinstance(data, str) else data,
        device=settings,
        resume=resume,
        progress=progress,
    )
    left = sorted(request.workspace.glob(f"**/{CHECKPOINT}"))
    if left and not resume:
        msg = (
            f"{request.workspace} holds {len(left)} checkpoints of a training that did not end: say --resume "
            "(resume=True) to go on from them, or remove that folder to start over"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, folder=str(request.workspace))
    with use(settings), threadpool_limits(1):  # sums in one order: weights of a seed are these bytes, on any cores
        card = module.train(request, recipe)
    for path in request.workspace.glob(f"**/{CHECKPOINT}"):
        path.unlink()
    shutil.rmtree(request.folder(EXAMPLES), ignore_errors=True)
    return card
