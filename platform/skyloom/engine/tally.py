"""Tally: what a run's events come to, in sums that do not grow with the run.

The progress of a terminal, `skyloom status`, the page in the Dask dashboard and its metrics are
all this one sum over the same events, so they agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Tally", "WorkerTally"]

RATE_WINDOW_S = 60.0
"""Rows per second are those of the last minute: a run that slows down says so."""


@dataclass(slots=True)
class WorkerTally:
    """What one worker process has done."""

    partitions: int = 0
    rows: int = 0
    busy_s: float = 0.0
    """Time spent in partitions; those that it reads ahead overlap."""
    seconds: dict[str, float] = field(default_factory=dict)
    """The same by what it went into, such as ``model`` and ``commit_s``"""

    def add(self, event: Mapping[str, Any]) -> None:
        """Add a partition that ended."""
        self.partitions += 1
        self.rows += event.get("rows", 0)
        self.busy_s += event.get("wall_s", 0.0)
        for name, seconds in event.get("seconds", {}).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


@dataclass(slots=True)
class Tally:
    """Sums over the events of one run, each a line of its log."""

    planned: Mapping[str, Any] = field(default_factory=dict)
    ended: int = 0
    """Partitions that have their record, of those that this run had to do."""
    failed: int = 0
    """Partitions given up; the same command tries them again."""
    rows_ended: int = 0
    flagged: int = 0
    quarantined: int = 0
    stopped: str = ""
    """Why the run stopped, in its own words."""
    failure: str = ""
    """The first partition that failed, and why."""
    begun_s: float = 0.0
    last_s: float = 0.0
    """Times of the first and the last event, seconds since 1970."""
    workers: dict[int, WorkerTally] = field(default_factory=dict)
    """By process id."""
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, event: Mapping[str, Any]) -> None:
        """Add one event: a mapping with ``time``, ``event`` and what is said of it."""
        now, kind, rows = event["time"], event["event"], event.get("rows", 0)
        self.begun_s = self.begun_s or now
        self.last_s = now
        if kind == "planned":
            self.planned = event
        elif kind == "stopped":
            self.stopped = event["reason"]
        elif kind == "failed":
            self.failed += 1
            self.failure = self.failure or f"{event['key']}: {event.get('message', '')}"
        elif kind == "partition":
            self.ended += 1
            self.rows_ended += rows
            self.flagged += event.get("flagged", 0)
            self.quarantined += event.get("quarantined", 0)
            self._recent.append((now, rows))
            self.workers.setdefault(event.get("process", 0), WorkerTally()).add(event)
        self._forget(now)

    def _forget(self, now_s: float) -> None:
        while self._recent and self._recent[0][0] < now_s - RATE_WINDOW_S:
            self._recent.popleft()

    @property
    def partitions(self) -> int:
        """Partitions of the layer."""
        return int(self.planned.get("partitions", 0))

    @property
    def partitions_done(self) -> int:
        """Partitions that are committed, those of earlier runs too."""
        return self.partitions - int(self.planned.get("partitions_left", 0)) + self.ended

    @property
    def rows(self) -> int:
        """Rows of the layer."""
        return int(self.planned.get("rows", 0))

    @property
    def rows_done(self) -> int:
        """Rows that are committed, those of earlier runs too."""
        return self.rows - int(self.planned.get("rows_left", 0)) + self.rows_ended

    def rate(self, now_s: float | None = None) -> float:
        """Return rows per second: of the last minute up to `now_s`, or of the whole run."""
        if now_s is None:
            return self.rows_ended / (self.last_s - self.begun_s) if self.last_s > self.begun_s else 0.0
        self._forget(now_s)
        since = max(self.begun_s, now_s - RATE_WINDOW_S)
        return sum(rows for _, rows in self._recent) / (now_s - since) if now_s > since else 0.0

    def seconds_left(self, now_s: float) -> float | None:
        """Return how long the rest takes at the present pace; None where there is none."""
        rate = self.rate(now_s)
        return (self.rows - self.rows_done) / rate if rate else None
