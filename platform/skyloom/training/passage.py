"""The moving part of a training run: one epoch after the other, and what a checkpoint of it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyloom.errors import ErrorKind, SpecError
from skyloom.runtime.networks import load_state, state_arrays
from skyloom.training.checkpoint import Checkpoint, load_optimiser, optimiser_arrays, write_checkpoint
from skyloom.training.curves import Epoch
from skyloom.training.examples import Examples
from skyloom.training.loop_config import LoopConfig
from skyloom.training.progress import Tick

__all__ = ["Augment", "Loss", "Passage"]

Loss = Callable[[dict[str, Tensor], Tensor], Tensor]
Augment = Callable[[Mapping[str, NDArray[Any]], np.random.Generator], Mapping[str, NDArray[Any]]]


class Passage:
    """A module on its way through the epochs.

    Parameters
    ----------
    module : torch.nn.Module
        On its device; trained in place.
    learning, validation : Examples
    config : LoopConfig
    loss, augment, progress : callable
        As `skyloom.training.loop.fit` has them.
    """

    epochs: list[Epoch]
    """Those that have ended."""

    def __init__(
        self,
        module: torch.nn.Module,
        learning: Examples,
        validation: Examples,
        config: LoopConfig,
        *,
        loss: Loss,
        augment: Augment | None,
        progress: Callable[[Tick], None] | None,
    ) -> None:
        self.module, self.config = module, config
        self.epochs = []
        self._learning, self._validation = learning, validation
        self._loss, self._augment = loss, augment
        self._progress = progress or (lambda tick: None)
        self._learns = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._device = self._learns[0].device
        self._rng = np.random.default_rng([config.seed, 1])
        self._optimiser = _optimiser(self._learns, config)
        self._schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(
                self._optimiser, config.epochs * len(_steps(np.arange(len(learning)), config.batch_rows))
            )
            if config.schedule == "cosine"
            else None
        )
        self._best = state_arrays(module, "")

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        done, patience = len(self.epochs), self.config.patience
        return done >= self.config.epochs or (patience is not None and done - self._best_epoch >= patience)

    @property
    def _best_epoch(self) -> int:
        return min(self.epochs, key=lambda each: each.validation_loss).epoch if self.epochs else 0

    def epoch(self) -> None:
        """Show every row once, in random order, and judge the result.

        Raises
        ------
        SpecError
            If a loss is not finite, or a batch is too large for the GPU.
        """
        rate = float(self._optimiser.param_groups[0]["lr"])
        number, size = len(self.epochs) + 1, self.config.batch_rows
        try:
            learning_loss = self._learn(number)
            validation_loss = self._judge()
        except torch.OutOfMemoryError as error:
            msg = f"batch_rows = {size} is too large for the memory of {self._device}; lower it"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, batch_rows=size) from error
        if not (math.isfinite(learning_loss) and math.isfinite(validation_loss)):
            msg = (
                f"epoch {number}: the loss became {learning_loss} on rows learnt from, {validation_loss} on the "
                f"others. Lower the learning rate ({self.config.learning_rate}), set clip_norm, or look for rows "
                f"without values; what stands on disk is the end of epoch {number - 1}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, epoch=number, rate=self.config.learning_rate)
        self.epochs.append(Epoch(number, learning_loss, validation_loss, rate))
        if self._best_epoch == number:
            self._best = state_arrays(self.module, "")
        rows = len(self._learning)
        self._progress(Tick(number, self.config.epochs, rows, rows, self.epochs[-1]))

    def keep_best(self) -> None:
        """Give the module the weights of its best epoch."""
        load_state(self.module, self._best, "")

    def save(self, folder: Path, run: Mapping[str, Any]) -> None:
        """Write all that the next epoch depends on."""
        arrays = state_arrays(self.module, "module.") | {f"best.{name}": a for name, a in self._best.items()}
        arrays |= optimiser_arrays(self._optimiser)
        arrays["generator.cpu"] = torch.get_rng_state().numpy().copy()
        if self._device.type == "cuda":
            arrays["generator.cuda"] = torch.cuda.get_rng_state(self._device).numpy().copy()
        state = {
            "epochs": [asdict(each) for each in self.epochs],
            "generator": self._rng.bit_generator.state,
            "rates": [group["lr"] for group in self._optimiser.param_groups],
            "schedule": self._schedule.state_dict() if self._schedule else None,
        }
        write_checkpoint(folder, Checkpoint(run, state, arrays))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where `save` was called."""
        arrays, state = checkpoint.arrays, checkpoint.state
        load_state(self.module, {n: a for n, a in arrays.items() if n.startswith("module.")}, "module.")
        self._best = {n.removeprefix("best."): a for n, a in arrays.items() if n.startswith("best.")}
        load_optimiser(self._optimiser, arrays)
        torch.set_rng_state(torch.tensor(arrays["generator.cpu"]))
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(torch.tensor(arrays["generator.cuda"]), self._device)
        self.epochs = [Epoch(**each) for each in state["epochs"]]
        self._rng.bit_generator.state = state["generator"]
        for group, rate in zip(self._optimiser.param_groups, state["rates"], strict=True):
            group["lr"] = rate
        if self._schedule is not None:
            self._schedule.load_state_dict(state["schedule"])

    def _learn(self, number: int) -> float:
        self.module.train()
        order = self._rng.permutation(len(self._learning))
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        done = 0
        for rows in _steps(order, self.config.batch_rows):
            arrays, target = self._learning.take(rows)
            loss = self._loss_of(self._augment(arrays, self._rng) if self._augment else arrays, target)
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if self.config.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._learns, self.config.clip_norm)
            self._optimiser.step()
            if self._schedule is not None:
                self._schedule.step()
            # Added up on the device: to fetch each loss would make a GPU wait at every step.
            total += loss.detach() * len(rows)
            done += len(rows)
            self._progress(Tick(number, self.config.epochs, done, len(order)))
        return float(total) / len(order)

    def _judge(self) -> float:
        self.module.eval()
        total, n, size = 0.0, len(self._validation), self.config.batch_rows
        with torch.no_grad():
            for start in range(0, n, size):
                rows = np.arange(start, min(start + size, n))
                total += float(self._loss_of(*self._validation.take(rows))) * len(rows)
        return total / n

    def _loss_of(self, arrays: Mapping[str, NDArray[Any]], target: NDArray[Any]) -> Tensor:
        found = self.module(**{name: self._tensor(values) for name, values in arrays.items()})
        loss = self._loss(found if isinstance(found, dict) else {"out": found}, self._tensor(target))
        if loss.ndim:
            msg = (
                f"the loss has shape {tuple(loss.shape)}; it must be one number: the mean over the rows of a batch"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return loss

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        kind = np.float32 if values.dtype.kind == "f" else values.dtype
        return torch.from_numpy(np.require(values, kind, ["C", "W"])).to(self._device)


def _steps(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut an epoch into steps; a last row alone joins the step before: one row has no spread to divide by."""
    cuts = list(range(size, len(order), size))
    return np.split(order, cuts[:-1] if cuts and len(order) - cuts[-1] == 1 and size > 1 else cuts)


def _optimiser(learns: list[torch.nn.Parameter], config: LoopConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimiser == "sgd":
        return torch.optim.SGD(learns, lr=rate, momentum=config.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(learns, lr=rate, weight_decay=decay)
