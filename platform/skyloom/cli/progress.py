"""Progress of a training: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from skyloom.training.progress import Tick

__all__ = ["training_progress"]

LINE_EVERY_S = 10.0


@contextmanager
def training_progress(title: str, *, shown: bool = True) -> Iterator[Callable[[Tick], None] | None]:
    """Yield what a training calls to show, on stderr, how far it is.

    Parameters
    ----------
    title : str
        The model.
    shown : bool
        Whether to show anything.
    """
    if not shown:
        yield None
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield _Bars(bars, title)
    else:
        yield _Lines(title)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[epoch]}", markup=False),
        TextColumn("{task.fields[loss]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class _Bars:
    """One bar a stage: full when all epochs are done, or training stopped before."""

    def __init__(self, bars: Progress, title: str) -> None:
        self._bars, self._title = bars, title
        self._of: dict[str, TaskID] = {}

    def __call__(self, tick: Tick) -> None:
        if tick.stage not in self._of:
            for task in self._of.values():
                done = max(1.0, self._bars.tasks[task].completed)
                self._bars.update(task, total=done, completed=done)
            words = f"{self._title}: {tick.stage}" if tick.stage else self._title
            self._of[tick.stage] = self._bars.add_task(words, total=None, epoch="", loss="")
        if not tick.epochs:
            return
        task, past = self._of[tick.stage], tick.epoch - 1 + tick.rows_done / max(1, tick.rows)
        self._bars.update(task, total=tick.epochs, completed=past, epoch=f"epoch {tick.epoch}/{tick.epochs}")
        if tick.ended:
            self._bars.update(task, loss=f"validation loss {tick.ended.validation_loss:.4g}")


class _Lines:
    """A line when a stage begins, when its last epoch ends, and every ten seconds between."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._stage: str | None = None
        self._last = time.monotonic()

    def __call__(self, tick: Tick) -> None:
        if tick.stage != self._stage:
            self._stage = tick.stage
            self._say(f"{tick.stage or 'training'}{f', at most {tick.epochs} epochs' if tick.epochs else ''}")
        elif tick.ended and (tick.epoch == tick.epochs or time.monotonic() - self._last > LINE_EVERY_S):
            self._last = time.monotonic()
            losses = f"loss {tick.ended.learning_loss:.4g}, validation {tick.ended.validation_loss:.4g}"
            self._say(f"{tick.stage or 'training'}, epoch {tick.epoch} of {tick.epochs}: {losses}")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._title}: {text}\n")
        sys.stderr.flush()
