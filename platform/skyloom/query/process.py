"""The process of a query, seen from outside: its limits, its environment, its end."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

import pyarrow as pa

from skyloom import errors
from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.places import module_path

__all__ = ["Conversation", "Limits", "cores", "start_ahead", "started"]

_LEAST_MEMORY_BYTES = 200_000_000


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take. What is over a limit ends with QUERY_LIMIT, never with a part of the result."""

    memory_bytes: int = 2_000_000_000
    """Memory of the query process, its 0.1 GB of libraries not counted; at least 200 MB."""
    wall_s: float = 600.0
    """Seconds from start to the last byte; then the process is killed."""
    max_rows: int = 1_000_000
    """Rows of the result."""
    max_bytes: int = 1_000_000_000
    """Bytes of the result in Arrow, held in the memory of the caller unless it is streamed to a file."""
    threads: int = 0
    """Threads of the query; 0 is one per core that this process may use."""

    def __post_init__(self) -> None:
        if self.memory_bytes < _LEAST_MEMORY_BYTES:
            msg = (
                f"memory_bytes={self.memory_bytes:,} is less than a query needs to start ({_LEAST_MEMORY_BYTES:,})"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, memory_bytes=self.memory_bytes)
        for name, least in (("wall_s", 0.1), ("max_rows", 1), ("max_bytes", 1), ("threads", 0)):
            if getattr(self, name) < least:
                msg = f"{name} must be at least {least}, got {getattr(self, name)}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


class Conversation:
    """Lines of JSON to a query process and from it, and one Arrow stream."""

    def __init__(self, child: subprocess.Popen[bytes], limits: Limits) -> None:
        self._child, self._limits = child, limits
        self._is_late = threading.Event()
        self._timer = threading.Timer(limits.wall_s, self._stop)
        self._timer.daemon = True
        self._timer.start()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a line."""
        stdin = cast("IO[bytes]", self._child.stdin)
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._why_it_ended() from None

    def hear(self) -> dict[str, Any]:
        """Return the next line.

        Raises
        ------
        SkyloomError
            What the process says went wrong; QUERY_LIMIT if it was out of time or was killed by its
            limits; BAD_QUERY if it failed.
        """
        line = cast("IO[bytes]", self._child.stdout).readline()
        if not line.endswith(b"}\n"):
            raise self._why_it_ended()
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            kind: type[SkyloomError] = getattr(errors, message["error"])
            raise kind(message["message"], kind=ErrorKind(message["kind"]), **message["context"])
        return message

    def batches(self) -> pa.RecordBatchReader:
        """Return the Arrow stream that is next; read it to its end, then `hear` whether it is whole."""
        try:
            return pa.ipc.open_stream(self._child.stdout)
        except (pa.ArrowException, OSError):
            raise self._why_it_ended() from None

    def next_batch(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        """Return the next batch of the stream, None at its end."""
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None
        except (pa.ArrowException, OSError):
            raise self._why_it_ended() from None

    def end(self) -> None:
        """Let nothing of the process be left, whatever it is doing."""
        self._timer.cancel()
        self._child.kill()
        with contextlib.suppress(BrokenPipeError), self._child:
            pass

    def _stop(self) -> None:
        self._is_late.set()
        self._child.kill()

    def _why_it_ended(self) -> SkyloomError:
        _, trouble = self._child.communicate()
        if self._is_late.is_set():
            msg = (
                f"the query was stopped after wall_s={self._limits.wall_s:g} s: restrict it with WHERE, select "
                f"fewer columns, or raise the limit"
            )
            return SpecError(msg, kind=ErrorKind.QUERY_LIMIT, wall_s=self._limits.wall_s)
        return _died(self._child.returncode, trouble, self._limits)


@contextlib.contextmanager
def started(limits: Limits) -> Iterator[Conversation]:
    """Start a query process; kill it at the end, also after Ctrl-C: none outlives its caller."""
    conversation = Conversation(_taken_ahead() or _start(), limits)
    try:
        yield conversation
    finally:
        conversation.end()


def start_ahead() -> None:
    """Start the process of the next query, which gets ready while its caller does something else.

    One waits at a time. It knows nothing of any query, holds 50 MB, does nothing until it is asked, and ends with
    this process; the query that comes next takes it, and it serves that one alone.
    """
    with _LOCK:
        if _AHEAD.get(os.getpid()) is None:
            _AHEAD[os.getpid()] = _start()


_AHEAD: dict[int, subprocess.Popen[bytes]] = {}
"""By the process that started it: the copy that a fork makes of this is nobody's to use."""
_LOCK = threading.Lock()


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-S", "-m", "skyloom.query"]
    # No file for its errors: the process may not write any.
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(), cwd="/")  # noqa: S603


def _taken_ahead() -> subprocess.Popen[bytes] | None:
    with _LOCK:
        child = _AHEAD.pop(os.getpid(), None)
    return child if child is not None and child.poll() is None else None


@atexit.register
def _end_ahead() -> None:
    child = _taken_ahead()
    if child is not None:
        child.kill()
        with contextlib.suppress(BrokenPipeError), child:
            pass


def _died(code: int, trouble: bytes, limits: Limits) -> SkyloomError:
    last = trouble.decode(errors="replace").strip().rpartition("\n")[2][:300]
    if code > 0 and "MemoryError" not in last and "bad_alloc" not in last:
        msg = f"the query process failed with exit code {code}: {last or 'it said nothing'}"
        return SpecError(msg, kind=ErrorKind.BAD_QUERY)
    how = f"by signal {-code}" if code < 0 else f"with {last}"
    msg = (
        f"the query process ended {how}. Most likely it needs more than memory_bytes={limits.memory_bytes:,}, "
        f"or is nested too deeply: simplify it, or raise the limit"
    )
    return SpecError(msg, kind=ErrorKind.QUERY_LIMIT, memory_bytes=limits.memory_bytes)


def _environment() -> dict[str, str]:
    """Return what Python needs to start, and nothing of the caller's environment that may be secret."""
    environment = {
        "PYTHONPATH": module_path(),
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "HOME": "/nonexistent",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
    for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment
