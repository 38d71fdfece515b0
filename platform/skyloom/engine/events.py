"""What happens during a run: told to a listener, and kept as JSON lines."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any, Self

from skyloom.storage import Store

__all__ = ["Event", "EventLog", "Listener", "both"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    kind: str
    """``"planned"``, ``"started"``, ``"partition"``, ``"failed"``, ``"sealed"``, ``"published"``, …"""
    values: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def both(first: Listener, second: Listener) -> Listener:
    """Return a listener that tells two."""

    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell


class EventLog:
    """Append events to a log of this run alone: one JSON object per line, with the time.

    `skyloom.storage.read_log` reads it back, wherever the store is.

    Parameters
    ----------
    store : Store
    folder : str
        The log directory of a job; must exist.
    listener : callable, optional
        Told of every event too.
    """

    def __init__(self, store: Store, folder: str, listener: Listener | None = None) -> None:
        now_s = time.time()  # to the millisecond: the newest log is the one whose name is last
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_s)) + f".{int(now_s * 1000) % 1000:03d}Z"
        self._listener = listener
        self._log = store.log(f"{folder}/{stamp}-{uuid.uuid4().hex[:8]}.jsonl")

    def __call__(self, event: Event) -> None:
        """Write one event, and pass it on."""
        line = {"time": round(time.time(), 3), "event": event.kind, **event.values}
        self._log.write(json.dumps(line, default=str) + "\n")
        if self._listener is not None:
            self._listener(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self(Event("stopped", {"reason": f"{type(error).__name__}: {error}"[:2000]}))
        self._log.close()


def values_of(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that say something."""
    values = {field.name: getattr(instance, field.name) for field in fields(instance)}
    return {key: value for key, value in values.items() if value not in ("", 0, {}, False)}
