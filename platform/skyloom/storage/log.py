"""Logs in a store: one growing file in a directory, numbered pieces in an object store."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Protocol

from skyloom.errors import SkyloomError

__all__ = ["ChunkedLog", "read_log"]

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 30
SAVE_EVERY_CHARACTERS = 1 << 20


class _Writable(Protocol):
    def put_if_absent(self, name: str, data: bytes) -> bool: ...

    def location(self, name: str) -> str: ...


class _Readable(Protocol):
    def names(self, prefix: str) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


class ChunkedLog:
    """A log where nothing can be appended to: ``run.jsonl`` in pieces, ``run.00000.jsonl`` and so on.

    Lines are saved every half minute, every mebibyte, and at the end, so that a killed
    process loses the last half minute of its log and nothing else. The pieces one after the
    other are the log. A log is for people: if it cannot be saved the work goes on, and the
    lines are kept for the next attempt.

    Parameters
    ----------
    store : Store
        Where the pieces go.
    name : str
        Name of the whole, with a suffix.
    """

    def __init__(self, store: _Writable, name: str) -> None:
        stem, _, suffix = name.rpartition(".")
        self._store, self._name = store, f"{stem}.{{:05d}}.{suffix}"
        self._lines: list[str] = []
        self._characters = 0
        self._pieces = 0
        self._saved = time.monotonic()

    def write(self, text: str, /) -> None:
        """Append text that ends in a newline."""
        self._lines.append(text)
        self._characters += len(text)
        late = time.monotonic() - self._saved > SAVE_EVERY_S
        if late or self._characters > SAVE_EVERY_CHARACTERS:
            self._save()

    def close(self) -> None:
        """Save what is not saved yet."""
        if self._lines:
            self._save()

    def _save(self) -> None:
        data = "".join(self._lines).encode()
        self._saved, self._characters = time.monotonic(), 0
        saved = False
        while not saved:
            name = self._name.format(self._pieces)
            try:
                saved = self._store.put_if_absent(name, data)
            except SkyloomError as error:
                logger.warning("the log %s could not be saved: %s", self._store.location(name), error.message)
                return
            # A name that is taken holds lines of an earlier attempt whose answer was lost.
            self._pieces += 1
        self._lines = []


def read_log(store: _Readable, folder: str) -> Iterator[str]:
    """Yield the lines of all logs in a folder of a store, oldest log first, in their order.

    Parameters
    ----------
    store : Store
    folder : str
        Where the logs lie, such as ``"<layer>/jobs/<job_id>/log"``.
    """
    for name in store.names(folder):
        yield from store.read(f"{folder}/{name}").decode().splitlines()
