"""What a training run tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

from skyloom.training.curves import Epoch

__all__ = ["Tick"]


@dataclass(frozen=True, slots=True)
class Tick:
    """How far a training run is."""

    epoch: int = 0
    """The one under way or just ended, from 1; 0 before the first."""
    epochs: int = 0
    """How many there will be at most; 0 where work has no epochs."""
    rows_done: int = 0
    rows: int = 0
    """Of this epoch."""
    ended: Epoch | None = None
    """The epoch that has just ended."""
    stage: str = ""
    """Which part of a recipe."""
