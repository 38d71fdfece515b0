"""The process of a query, seen from outside: its limits, its environment, its end."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from skyloom.errors import ErrorKind, SkyloomError, SpecError

__all__ = ["Limits", "answer_of", "cores"]

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
    """Bytes of the result in Arrow, held in the memory of the caller."""
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


def answer_of(request: bytes, limits: Limits) -> bytes:
    """Start a query process, hand it `request`, and return all that it wrote.

    Raises
    ------
    SpecError
        QUERY_LIMIT if it was out of time, or was killed by its limits; BAD_QUERY if it failed.
    """
    command = [sys.executable, "-P", "-S", "-m", "skyloom.query.child"]
    child = subprocess.Popen(  # noqa: S603 (no shell, and nothing of the request is in the command)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        cwd="/",
    )
    try:
        answer, trouble = child.communicate(request, timeout=limits.wall_s)
    except subprocess.TimeoutExpired:
        msg = (
            f"the query was stopped after wall_s={limits.wall_s:g} s: restrict it with WHERE, select fewer "
            f"columns, or raise the limit"
        )
        raise SpecError(msg, kind=ErrorKind.QUERY_LIMIT, wall_s=limits.wall_s) from None
    finally:
        # Also after Ctrl-C: no query outlives its caller.
        if child.poll() is None:
            child.kill()
            child.communicate()
    if child.returncode != 0 or not answer.endswith(b"}\n"):
        raise _died(child.returncode, trouble, limits)
    return answer


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
        "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path if p),  # noqa: PTH100
        "PYTHONDONTWRITEBYTECODE": "1",
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
