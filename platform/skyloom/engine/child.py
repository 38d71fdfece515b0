"""A child process that computes pieces of a partition, and may die of them.

It is forked from a host process that has one thread, the model and the rows, so a new
child costs a fork, and no lock or thread of Dask can come along.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import multiprocessing
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, runtime_checkable

import psutil  # type: ignore[import-untyped]
import pyarrow as pa

from skyloom import errors
from skyloom.engine.processor import Fault, Piece, Rows
from skyloom.errors import ErrorKind, RowError, SkyloomError

__all__ = ["MEMORY", "TIMEOUT", "Attempt", "Child", "Forkable", "limit_memory"]

MEMORY, TIMEOUT = "memory", "timeout"
TICK_S, LOOKS = 0.02, 8
"""Shortest time between two looks at a child, and looks within a limit."""
LONGEST_STEP_S = 0.1
"""The most that one look at a child may add to its sleep: the machine may have slept, not the child."""
ASLEEP = 0.1
"""A child that used less than this fraction of a core, and sleeps, is charged for its sleep."""
_SLEEPING = (psutil.STATUS_SLEEPING, psutil.STATUS_STOPPED)
GROWTH_BYTES = 2 << 20
"""A child that grows by more between two looks is on its way to its memory limit, not hung."""
PATIENCE = (60.0, 10.0)
"""Seconds of wall clock, and multiple of the limit, after which even a child that gets no core is killed."""
MESSAGE_CHARS = 500
_HAS_CLOCKS = sys.platform.startswith("linux")
_SPAN = struct.Struct("<qq")
_PR_SET_PDEATHSIG = 1


@runtime_checkable
class Forkable(Protocol):
    """Rows that have something to do before a process is forked that computes them."""

    def before_fork(self) -> None:
        """Let go of all that threads of this process serve; cheap if it was done before."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a piece."""

    piece: Piece | None = None
    cause: str = ""
    """Why there is none; see `Fault.cause`."""
    message: str = ""
    cost_s: float = 0.0
    """Time that the child used, or slept; not time in which other processes had its core."""


class Child:
    """One child process; lives until a piece kills it.

    Parameters
    ----------
    rows : Rows
        Inherited by the child; they may be `Forkable`.
    memory_bytes : int or None
        What the child may allocate beyond what it inherits; None for no limit.
    """

    def __init__(self, rows: Rows, memory_bytes: int | None) -> None:
        if isinstance(rows, Forkable):
            rows.before_fork()
        self._pipe, theirs = multiprocessing.Pipe()
        self.fresh = True
        self.alive = True
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._pipe.close()
                _serve(theirs, rows, memory_bytes)
            finally:
                os._exit(0)
        theirs.close()

    def compute(self, start: int, stop: int, *, limit_s: float, beat: Callable[[], None]) -> Attempt:
        """Have rows `start` to `stop` computed.

        Parameters
        ----------
        limit_s : float
            Time that the child may use or sleep; waiting for a core does not count.
        beat : callable
            Called while waiting.

        Raises
        ------
        SkyloomError
            As the model raised it, if it is not about a row.
        """
        clock = _Clock(self.pid)
        try:
            self._pipe.send_bytes(_SPAN.pack(start, stop))
            tick_s = min(LONGEST_STEP_S, max(TICK_S, limit_s / LOOKS))
            while not self._pipe.poll(tick_s):
                beat()
                if clock.spent_s() > limit_s or clock.wall_s() > PATIENCE[0] + PATIENCE[1] * limit_s:
                    self.close()
                    return Attempt(cause=TIMEOUT, message=f"no answer within {limit_s:.2g} s", cost_s=limit_s)
            cost_s = clock.cost_s()
            answer = json.loads(self._pipe.recv_bytes())
            self.fresh = False
            return self._attempt(answer, cost_s)
        except (EOFError, OSError):
            cause = self._buried()
            return Attempt(cause=cause, message=f"the process ended with {cause}")

    def _attempt(self, answer: dict[str, object], cost_s: float) -> Attempt:
        _warm(answer)
        if "error" in answer:
            raise _error(answer)
        if "cause" in answer:
            if answer["cause"] == MEMORY:
                self.close()
            return Attempt(cause=str(answer["cause"]), message=str(answer["message"]), cost_s=cost_s)
        table = pa.ipc.open_stream(self._pipe.recv_bytes()).read_all()
        faults = [Fault(*values) for values in answer["faults"]]  # type: ignore[attr-defined]
        return Attempt(Piece(table, faults), cost_s=cost_s)

    def close(self) -> None:
        """Kill the child."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._buried()

    def _buried(self) -> str:
        self.alive = False
        self._pipe.close()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return f"signal {-code}" if code < 0 else f"exit {code}"


class _Clock:
    """Time that a process used or slept. One that waits for a core, or whose machine was paused, is not late."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._process = psutil.Process(pid)
        self._started = self._last = time.monotonic()
        self._first_s = self._cpu_s = self._used_s()
        self._rss_bytes: int = self._process.memory_info().rss
        self._spent_s = 0.0

    def _used_s(self) -> float:
        if _HAS_CLOCKS:
            # clock_getcpuclockid(3), which Python does not have; psutil would tell 10 ms from nothing.
            return time.clock_gettime((~self._pid << 3) | 2)
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def wall_s(self) -> float:
        return time.monotonic() - self._started

    def cost_s(self) -> float:
        """Return what counts for the pace: also what was used while the process grew."""
        spent_s = self.spent_s()
        return max(spent_s, self._cpu_s - self._first_s)

    def spent_s(self) -> float:
        """Return what counts against a limit."""
        with contextlib.suppress(psutil.Error, OSError):
            now, cpu_s = time.monotonic(), self._used_s()
            step_s, used_s = now - self._last, cpu_s - self._cpu_s
            rss_bytes = self._process.memory_info().rss
            if rss_bytes > self._rss_bytes + GROWTH_BYTES:
                used_s = 0.0  # not for long: it ends at its memory limit, which is the better reason
            elif used_s < ASLEEP * step_s and self._process.status() in _SLEEPING:
                used_s = min(step_s, LONGEST_STEP_S)
            self._spent_s += used_s
            self._last, self._cpu_s, self._rss_bytes = now, cpu_s, rss_bytes
        return self._spent_s


def _warm(answer: dict[str, object]) -> None:
    """Import here what the model imported in its child, so that the next child has it from the start."""
    for name in answer.pop("modules", ()):  # type: ignore[attr-defined]
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _error(answer: dict[str, object]) -> SkyloomError:
    found = getattr(errors, str(answer["error"]), SkyloomError)
    error: SkyloomError = found(str(answer["message"]), kind=ErrorKind(str(answer["kind"])))
    return error


def _serve(pipe: Connection, rows: Rows, memory_bytes: int | None) -> None:
    """Compute what is asked for, until there is nobody to ask."""
    _confine(memory_bytes)
    known = set(sys.modules)
    with contextlib.suppress(EOFError, OSError):
        while True:
            answer, body = _answer(rows, *_SPAN.unpack(pipe.recv_bytes()))
            answer["modules"] = sorted(set(sys.modules) - known)
            known.update(sys.modules)
            pipe.send_bytes(json.dumps(answer).encode())
            if body is not None:
                pipe.send_bytes(body)


def _answer(rows: Rows, start: int, stop: int) -> tuple[dict[str, object], pa.Buffer | None]:
    try:
        piece = rows.compute(start, stop)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, piece.table.schema) as writer:
            writer.write_table(piece.table)
        faults = [[f.row, f.cause, f.message, f.input_digest] for f in piece.faults]
        return {"faults": faults}, sink.getvalue()
    except MemoryError as error:
        return {"cause": MEMORY, "message": str(error)[:MESSAGE_CHARS]}, None
    except BaseException as error:  # a model may raise anything, SystemExit too
        if isinstance(error, SkyloomError) and not isinstance(error, RowError):
            return {"error": type(error).__name__, "kind": str(error.kind), "message": error.message}, None
        return {"cause": type(error).__name__, "message": str(error)[:MESSAGE_CHARS]}, None


def _confine(memory_bytes: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        limit_memory(memory_bytes)
    with contextlib.suppress(OSError, AttributeError):  # Linux: die with the host
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_memory(more_bytes: int) -> None:
    """Let this process allocate `more_bytes` beyond what it has now, where the system can say what that is."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
