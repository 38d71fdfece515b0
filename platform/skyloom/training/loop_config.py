"""The settings of a training run of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from skyloom.errors import ErrorKind, SpecError

__all__ = ["LoopConfig"]

Optimiser = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How a module is trained.

    Raises
    ------
    SpecError
        If a number is out of its range, or a word is not one of those there are.
    """

    epochs: int
    batch_rows: int = 64
    """Rows of a step; the last one of an epoch has what is left (a row alone joins the step before)."""
    learning_rate: float = 1e-3
    """At the start."""
    weight_decay: float = 0.0
    optimiser: Optimiser = "adam"
    momentum: float = 0.9
    """Of ``sgd``."""
    schedule: Schedule = "cosine"
    """``cosine`` falls to zero over all `epochs`, step by step."""
    patience: int | None = None
    """Epochs without a lower validation loss after which training stops; None: never."""
    seed: int = 0
    """Of order, augmentation and dropout. Weights at the start are the module's own."""
    clip_norm: float | None = None
    """Longest gradient of a step, over all parameters; None: any."""

    def __post_init__(self) -> None:
        for name, word, known in (
            ("optimiser", self.optimiser, get_args(Optimiser)),
            ("schedule", self.schedule, get_args(Schedule)),
        ):
            if word not in known:
                msg = f"{name} must be one of {', '.join(known)}, got {word!r}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, **{name: str(word)})
        for name, least in (("epochs", 1), ("batch_rows", 1), ("patience", 1), ("seed", 0)):
            count = getattr(self, name)
            if count is not None and count < least:
                msg = f"{name} must be at least {least}, got {count}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, **{name: count})
        for name, holds, words in (
            ("learning_rate", self.learning_rate > 0, "positive"),
            ("weight_decay", self.weight_decay >= 0, "not negative"),
            ("momentum", 0 <= self.momentum < 1, "from 0 to below 1"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "positive"),
        ):
            value = getattr(self, name)
            if not holds or (value is not None and not math.isfinite(value)):
                msg = f"{name} must be {words}, got {value}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, **{name: value})
