"""A driver tells the scheduler what happens in its run, so that the dashboard and ``/metrics`` can."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from skyloom.engine.events import Event

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["NAME", "ROUTE", "TOPIC", "Announcer"]

NAME = TOPIC = "skyloom"
"""Of the scheduler's plugin and its page; of the Dask events that carry what drivers tell."""
ROUTE = f"/{NAME}"
SEND_EVERY_S = 0.5


class Announcer:
    """Tell the scheduler what happens in a run; a listener of events.

    Events are kept until there is a scheduler, sent twice a second at most, and never waited for.

    Parameters
    ----------
    layer, job_id : str
    """

    def __init__(self, layer: str, job_id: str) -> None:
        self._client: Client | None = None
        self._about = {"layer": layer, "job_id": job_id, "run": f"{job_id}-{time.time_ns()}"}
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @contextmanager
    def connected(self, client: Client) -> Iterator[None]:
        """Send to the scheduler of a client, which gets its monitor unless it has one, until the run ends."""
        from skyloom.cluster.monitor import Monitor

        with suppress(Exception):  # a scheduler that has no skyloom shows none; the run does not need it
            client.register_plugin(Monitor())
        self._client = client
        self._send()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._send(ended=True)
            self._client = None

    def __call__(self, event: Event) -> None:
        """Keep an event for the next time that something is sent."""
        with self._lock:
            self._events.append({"time": time.time(), "event": event.kind, **event.values})
            if self._timer is None and self._client is not None:
                self._timer = threading.Timer(SEND_EVERY_S, self._send)
                self._timer.daemon = True
                self._timer.start()

    def _send(self, *, ended: bool = False) -> None:
        with self._lock:
            if self._client is None:
                return
            events, self._events, self._timer = self._events, [], None
            with suppress(Exception):  # the scheduler may be gone, and the run finds that out by itself
                self._client.log_event(TOPIC, {**self._about, "events": events, "ended": ended})
