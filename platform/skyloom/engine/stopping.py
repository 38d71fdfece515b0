"""Ctrl-C: once ends a run after what is running, twice ends it at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "stopping"]


class Stop:
    """Whether a run was asked to end."""

    requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: note the first, raise `KeyboardInterrupt` at the second."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        sys.stderr.write(
            "\nstopping: partitions that are running are finished and kept, no others are started; "
            "Ctrl-C again stops at once. The same command goes on from there\n"
        )


@contextmanager
def stopping() -> Iterator[Stop]:
    """Yield what says whether Ctrl-C was pressed; only the main thread can take signals."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
