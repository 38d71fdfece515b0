"""Train a torch module: epochs, early stopping, checkpoints, curves.

A run that stopped, at whatever epoch, and goes on from its checkpoint gives the same bits as one
that never stopped: weights, optimiser, schedule, generators and curve are all in the checkpoint.
One seed gives one set of weights: the CPU computes with one thread, because with more of them
sums of gradients depend on how they are shared out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from skyloom.errors import ErrorKind, SpecError
from skyloom.runtime import device as devices
from skyloom.runtime.device import DeviceSettings, device_class
from skyloom.runtime.networks import module_digest
from skyloom.training.checkpoint import read_checkpoint
from skyloom.training.curves import History, write_plot, write_table
from skyloom.training.examples import ArrayExamples, Examples, examples_digest
from skyloom.training.loop_config import LoopConfig
from skyloom.training.passage import Augment, Loss, Passage
from skyloom.training.progress import Tick

__all__ = ["ArrayExamples", "Augment", "Examples", "History", "LoopConfig", "Loss", "Tick", "fit"]


def fit(
    module: torch.nn.Module,
    learning: Examples,
    validation: Examples,
    *,
    loss: Loss,
    config: LoopConfig,
    folder: Path | None = None,
    augment: Augment | None = None,
    device: DeviceSettings | None = None,
    progress: Callable[[Tick], None] | None = None,
    resume: bool = False,
) -> History:
    """Train `module` in place; afterwards it has the weights of its best epoch, on the CPU, ready to predict.

    Parameters
    ----------
    module : torch.nn.Module
        Its ``forward`` takes tensors by keyword, rows first, and returns a dict of tensors, or one
        tensor (called ``"out"``). Parameters that require no gradient stay as they are, bit for
        bit; buffers (running means) of frozen layers do not.
    learning, validation : Examples
        Rows to learn from, and rows of other objects to judge each epoch by.
    loss : callable
        From the outputs and the targets of a batch to a scalar: the mean over its rows.
    config : LoopConfig
    folder : path, optional
        Gets ``checkpoint.safetensors`` and ``curve.csv`` after each epoch, ``curve.png`` at the end.
    augment : callable, optional
        From the arrays of a batch to learn from, and a generator, to other arrays. It draws from
        that generator alone.
    device : DeviceSettings, optional
        Default: `skyloom.runtime.device.current`. The CPU computes with one thread, whatever it says.
    progress : callable, optional
        Called after each step and each epoch.
    resume : bool
        Go on from the checkpoint of `folder`; where there is none, start. Otherwise a checkpoint
        that is there is replaced.

    Returns
    -------
    History
        The curve, its best epoch, and whether patience ended it.

    Raises
    ------
    SpecError
        If there is nothing to learn from or to judge by, no parameter learns, the loss is not
        finite (the checkpoint of the epoch before is kept), the checkpoint is of another run, a
        batch is too large for the GPU, or numbers of reduced precision are asked for.
    DataError
        If the checkpoint is torn.
    """
    settings = _settings(device)
    _check(module, learning, validation)
    if resume and folder is None:
        raise SpecError("resume needs the folder of the checkpoint", kind=ErrorKind.BAD_PARAMETER)
    run = {
        **_identity(module, learning, validation),
        **{f"config.{name}": value for name, value in asdict(config).items()},
        "loss": _name(loss),
        "augmentation": _name(augment) if augment else "none",
        "device": device_class(settings),
    }
    threads = torch.get_num_threads()
    place = devices.prepare(settings)
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if place.type == "cuda" else []):
            torch.manual_seed(config.seed)
            passage = Passage(
                module.to(place), learning, validation, config, loss=loss, augment=augment, progress=progress
            )
            stored = read_checkpoint(folder, run) if resume and folder is not None else None
            if stored is not None:
                passage.restore(stored)
            while not passage.ended:
                passage.epoch()
                if folder is not None:
                    passage.save(folder, run)
                    write_table(folder, passage.epochs)
            passage.keep_best()
    finally:
        module.cpu().eval()
        torch.set_num_threads(threads)
    history = History(tuple(passage.epochs), stopped_early=len(passage.epochs) < config.epochs)
    if folder is not None:
        write_table(folder, history.epochs)
        write_plot(folder, history, title=folder.name)
    return history


def _settings(device: DeviceSettings | None) -> DeviceSettings:
    settings = replace((device or devices.current()).resolved(), threads=1)
    if settings.reduced:
        msg = "training computes in float32, in the usual memory order; leave precision and channels_last out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    return settings


def _check(module: torch.nn.Module, learning: Examples, validation: Examples) -> None:
    if not len(learning) or not len(validation):
        msg = f"training needs rows to learn from and rows to judge by, got {len(learning)} and {len(validation)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        msg = f"no parameter of {type(module).__name__} requires a gradient: there is nothing to train"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def _identity(module: torch.nn.Module, learning: Examples, validation: Examples) -> Mapping[str, Any]:
    """Return what makes a run this run: a checkpoint of another one would give weights that nobody asked for."""
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    return {
        "module at the start": module_digest(module),
        "frozen parameters": ", ".join(frozen) or "none",
        "examples to learn from": examples_digest(learning),
        "examples to judge by": examples_digest(validation),
    }


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
