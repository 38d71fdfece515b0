"""What a training run is asked for, and what its card says of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyloom.runtime.device import DeviceSettings, device_class
from skyloom.training.progress import Tick

if TYPE_CHECKING:
    import pyarrow as pa

    from skyloom.evaluation.labelled import LabelledSource
    from skyloom.models.card import Plain
    from skyloom.training.curves import History

__all__ = ["EXAMPLES", "RECIPE", "TrainRequest", "command_of"]

EXAMPLES = "examples"
"""Folder of the workspace where a labelled catalog's arrays lie while a training runs."""

RECIPE = "recipe."
"""What a recipe's settings begin with in the ``[training]`` of a card."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What a system's ``train`` gets beside its recipe."""

    output: Path
    """Folder of the bundle."""
    variant: str
    """Name of these weights."""
    seed: int = 0
    """Of the training; splits by object have seeds of their own."""
    data: pa.Table | LabelledSource | Path | None = None
    """Where the training set lies, or the training set; None: where the system looks by itself.
    A `LabelledSource` comes only to systems that say ``CATALOGS = True``."""
    device: DeviceSettings = field(default_factory=lambda: DeviceSettings("cpu", threads=1))
    resume: bool = False
    """Whether to go on from the checkpoints that an earlier run left."""
    progress: Callable[[Tick], None] | None = None
    started: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))
    """Of this sitting, in seconds: on the wall, and of the CPU."""

    @property
    def workspace(self) -> Path:
        """Folder of checkpoints and curves, beside the bundle: a bundle holds nothing but itself."""
        return self.output.with_name(f"{self.output.name}.training")

    def folder(self, stage: str) -> Path:
        """Folder of one part of the recipe: what `skyloom.training.loop.fit` writes into."""
        return self.workspace / stage

    def watch(self, stage: str) -> Callable[[Tick], None] | None:
        """Return what `skyloom.training.loop.fit` is to call for one part of the recipe."""
        told = self.progress
        return None if told is None else lambda tick: told(dataclasses.replace(tick, stage=stage))

    def say(self, stage: str) -> None:
        """Tell whoever watches that a part of the recipe without epochs begins."""
        if self.progress is not None:
            self.progress(Tick(stage=stage))

    def record(self, recipe: Any, *, network: bool = False, **histories: History) -> dict[str, Plain]:
        """Return what every card says of its run: seed, recipe, epochs, device, seconds.

        Parameters
        ----------
        recipe : dataclass
            Its fields are plain values; one that is None, which TOML cannot say, must be None by default.
        network : bool
            Whether it was trained on `device`.
        **histories : History
            What `skyloom.training.loop.fit` returned, by part of the recipe.
        """
        asked = dataclasses.asdict(recipe)
        wall_s, cpu_s = self.started
        return {
            "seed": self.seed,
            **{RECIPE + name: value for name, value in asked.items() if value is not None},
            **{f"epochs.{stage}": len(history.epochs) for stage, history in histories.items()},
            **{f"best_epoch.{stage}": history.best.epoch for stage, history in histories.items()},
            **({"device": device_class(self.device)} if network else {}),
            # Of the last sitting, where there were several.
            **({"resumed": True} if self.resume else {}),
            "wall_s": round(time.perf_counter() - wall_s, 1),
            "cpu_s": round(time.process_time() - cpu_s, 1),
        }

    def command(self, name: str, *, data: bool = False, network: bool = False) -> str:
        """Return what makes the same weights again from their card; DATA and DIR stand for folders.

        Parameters
        ----------
        name : str
            Of the system.
        data : bool
            Whether it reads a training set.
        network : bool
            Whether the device has a say in the bits.
        """
        used = {"device": device_class(self.device)} if network else {}
        return command_of(name, {"seed": self.seed, **used}, data=data)


def command_of(name: str, training: Mapping[str, Plain], *, data: bool = False) -> str:
    """Return the command that made weights, from what the ``[training]`` of their card says.

    Weights that were made of a catalog (``catalog``, ``label`` and ``tensors`` are in the card) name it.

    Examples
    --------
    >>> command_of("gamornet", {"seed": 3, "device": "cuda NVIDIA H100"})
    'skyloom model train gamornet --config card.toml --seed 3 --device cuda --output DIR'
    """
    device = f" --device {str(training['device']).split()[0]}" if "device" in training else ""
    told = " --data DATA" if data else ""
    if "catalog" in training:
        told += f" --catalog {training['catalog']} --label {training['label']}"
        told += "".join(f" --tensors {name}=STORE" for name in str(training["tensors"]).split(", ") if name)
    return f"skyloom model train {name} --config card.toml --seed {training['seed']}{device}{told} --output DIR"
