"""What happens during a run: told to a listener, and kept as JSON lines."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Event", "EventLog", "Listener"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    kind: str
    """``"planned"``, ``"started"``, ``"partition"``, ``"failed"``, ``"sealed"``, ``"published"``, …"""
    values: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


class EventLog:
    """Append events to a file of this run alone: one JSON object per line, with the time.

    Parameters
    ----------
    folder : Path
        The log directory of a job; must exist.
    listener : callable, optional
        Told of every event too.
    """

    def __init__(self, folder: Path, listener: Listener | None = None) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.path = folder / f"{stamp}-{uuid.uuid4().hex[:8]}.jsonl"
        self._listener = listener
        self._file = self.path.open("a", buffering=1)

    def __call__(self, event: Event) -> None:
        """Write one event, and pass it on."""
        line = {"time": round(time.time(), 3), "event": event.kind, **event.values}
        self._file.write(json.dumps(line, default=str) + "\n")
        if self._listener is not None:
            self._listener(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self(Event("stopped", {"reason": f"{type(error).__name__}: {error}"[:2000]}))
        self._file.close()


def values_of(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that say something."""
    return {key: value for key, value in asdict(instance).items() if value not in ("", 0, {}, False)}
