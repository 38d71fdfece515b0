"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skyloom.engine.events import Event, Listener
from skyloom.engine.tally import Tally

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["progress"]

LINE_EVERY_S = 10.0


@contextmanager
def progress(title: str, *, shown: bool = True) -> Iterator[Listener]:
    """Yield a listener that shows how far a run is, on stderr.

    Parameters
    ----------
    title : str
        The layer.
    shown : bool
        Whether to show anything.
    """
    if not shown:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _Bar(bar, title)
    else:
        yield _Lines(title)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TextColumn("{task.fields[partitions]} partitions"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class _Counts:
    """Rows and partitions so far."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.tally = Tally()

    def update(self, event: Event) -> None:
        self.tally.add({"time": time.time(), "event": event.kind, **event.values})

    @property
    def rate(self) -> float:
        """Rows per second of this run."""
        return self.tally.rate()

    @property
    def partitions(self) -> int:
        """Partitions that ended, well or not."""
        return self.tally.partitions_done + self.tally.failed


class _Bar(_Counts):
    def __init__(self, bar: Progress, title: str) -> None:
        super().__init__(title)
        self.bar = bar
        self.task: TaskID = bar.add_task(title, total=1, rate=0.0, partitions="")

    def __call__(self, event: Event) -> None:
        self.update(event)
        self.bar.update(
            self.task,
            total=max(self.tally.rows, 1),
            completed=self.tally.rows_done,
            rate=self.rate,
            partitions=f"{self.partitions}/{self.tally.partitions}",
        )


class _Lines(_Counts):
    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.last = time.monotonic()

    def __call__(self, event: Event) -> None:
        self.update(event)
        now = time.monotonic()
        tally = self.tally
        finished = event.kind == "partition" and self.partitions == tally.partitions
        if event.kind == "failed":
            self._say(f"{event.values['key']} failed: {event.values.get('message', '')}")
        if finished or (event.kind == "partition" and now - self.last > LINE_EVERY_S):
            self.last = now
            left = (tally.rows - tally.rows_done) / max(self.rate, 1e-9)
            self._say(
                f"{tally.rows_done:,} of {tally.rows:,} rows, {self.partitions} of {tally.partitions} partitions, "
                f"{self.rate:,.0f} rows/s, {left:.0f} s left"
            )

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self.title}: {text}\n")
        sys.stderr.flush()
