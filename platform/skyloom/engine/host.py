"""The process that isolates suspects: one thread, the model, and children that may die. Or computes a task itself.

A worker starts it fresh (``python -m skyloom.engine.host``), so it has none of Dask's
threads or locks. A task comes in as a line of JSON, beats and an outcome go out as lines.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from typing import IO, Any

from skyloom.engine.child import limit_memory
from skyloom.engine.isolation import IsolatedProcessor, within
from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task, Work
from skyloom.engine.processor import Processor
from skyloom.engine.worker import attempt, processor_of
from skyloom.storage import open_store

__all__ = ["main"]

BEAT_S = 1.0


class _Beat:
    """Say that this process is alive; end it when nobody listens any more."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._parent = os.getppid()
        self._last = 0.0

    def __call__(self) -> None:
        if os.getppid() != self._parent:
            os._exit(1)  # children die with this process
        if time.monotonic() - self._last > BEAT_S:
            self._last = time.monotonic()
            say(self._out, {"beat": 1})


def say(out: IO[bytes], line: dict[str, Any]) -> None:
    """Write one line."""
    out.write(json.dumps(line).encode() + b"\n")
    out.flush()


def main() -> None:
    """Do tasks until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a model prints is no answer
    os.set_inheritable(out.fileno(), False)
    first = json.loads(sys.stdin.buffer.readline())
    work = Work.from_json(first["work"])
    limits = within(work.limits, first["memory_bytes"])
    if limits.confined:
        limit_memory(limits.memory_bytes)
    processor: Processor | None = None
    for line in sys.stdin.buffer:
        values = json.loads(line)
        task = Task(**{**values, "inputs": tuple(values["inputs"])})
        started = time.perf_counter()
        try:
            if processor is None:
                inner = processor_of(work)
                processor = IsolatedProcessor(inner, limits, _Beat(out)) if first["isolated"] else inner
        except Exception as error:  # the end of a task: whatever it was, the driver decides
            outcome = Outcome.of_error(task, error)
        else:
            outcome = attempt(work, processor, open_store(work.store), task)
        say(out, {"outcome": asdict(outcome.timed(wall_s=time.perf_counter() - started, process=os.getpid()))})


if __name__ == "__main__":
    main()
