"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skyloom.engine.events import Event, Listener

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
        self.started = time.monotonic()
        self.rows = self.rows_left = self.total = 0
        self.partitions = self.partitions_total = 0

    def update(self, event: Event) -> None:
        values = event.values
        if event.kind == "planned":
            self.started = time.monotonic()
            self.total, self.rows_left = values["rows"], values["rows_left"]
            self.partitions_total = values["partitions"]
            self.partitions = self.partitions_total - values["partitions_left"]
            self.rows = 0
        elif event.kind in {"partition", "failed"}:
            self.rows += values.get("rows", 0)
            self.partitions += 1

    @property
    def rate(self) -> float:
        """Rows per second of this run."""
        return self.rows / max(1e-9, time.monotonic() - self.started)

    @property
    def done(self) -> int:
        """Rows that are committed."""
        return self.total - self.rows_left + self.rows


class _Bar(_Counts):
    def __init__(self, bar: Progress, title: str) -> None:
        super().__init__(title)
        self.bar = bar
        self.task: TaskID = bar.add_task(title, total=1, rate=0.0, partitions="")

    def __call__(self, event: Event) -> None:
        self.update(event)
        self.bar.update(
            self.task,
            total=max(self.total, 1),
            completed=self.done,
            rate=self.rate,
            partitions=f"{self.partitions}/{self.partitions_total}",
        )


class _Lines(_Counts):
    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.last = time.monotonic()

    def __call__(self, event: Event) -> None:
        self.update(event)
        now = time.monotonic()
        finished = event.kind == "partition" and self.partitions == self.partitions_total
        if event.kind == "failed":
            self._say(f"{event.values['key']} failed: {event.values.get('message', '')}")
        if finished or (event.kind == "partition" and now - self.last > LINE_EVERY_S):
            self.last = now
            left = (self.total - self.done) / max(self.rate, 1e-9)
            self._say(
                f"{self.done:,} of {self.total:,} rows, {self.partitions} of {self.partitions_total} partitions, "
                f"{self.rate:,.0f} rows/s, {left:.0f} s left"
            )

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self.title}: {text}\n")
        sys.stderr.flush()
