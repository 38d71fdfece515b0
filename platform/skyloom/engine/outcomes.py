"""Outcome: what became of one task, small enough to send by the million."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from skyloom.engine.plan import Task
from skyloom.engine.records import Record
from skyloom.errors import ConflictError, ErrorKind, SkyloomError, SpecError, TransientError, without_secrets

__all__ = ["Outcome", "Status"]

Status = Literal["computed", "lost-race", "recovered", "reused", "failed"]

MESSAGE_LENGTH = 2_000
"""Characters of an error's text that travel to the driver."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task."""

    key: str
    rows: int
    status: Status
    flagged: int = 0
    quarantined: int = 0
    size_bytes: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    process: int = 0
    kind: str = ""
    """The `ErrorKind` of a failure, or the name of a foreign exception."""
    message: str = ""
    retry: bool = False
    """Whether another attempt may succeed."""
    fatal: bool = False
    """Whether every other task would fail in the same way."""

    @classmethod
    def of_record(cls, status: Status, record: Record, *, seconds: Mapping[str, float] | None = None) -> Outcome:
        """Return the outcome of a task that has its record."""
        return cls(
            key=record.key,
            rows=record.rows,
            status=status,
            flagged=record.flagged,
            quarantined=record.quarantined,
            size_bytes=record.size_bytes,
            seconds=dict(seconds or {}),
        )

    @classmethod
    def of_error(cls, task: Task, error: BaseException) -> Outcome:
        """Return the outcome of a task that raised."""
        if isinstance(error, SkyloomError):
            kind, message = str(error.kind), error.message
        else:
            last = traceback.extract_tb(error.__traceback__)[-1:]
            where = f" (at {last[0].filename.rsplit('/', 1)[-1]}:{last[0].lineno})" if last else ""
            kind, message = type(error).__name__, f"{type(error).__name__}: {error}{where}"
        return cls(
            key=task.key,
            rows=task.rows,
            status="failed",
            kind=kind,
            message=without_secrets(message)[:MESSAGE_LENGTH],
            retry=isinstance(error, TransientError | MemoryError | OSError) and kind != ErrorKind.STORE_FULL,
            fatal=isinstance(error, ConflictError | SpecError) or kind == ErrorKind.STORE_FULL,
        )

    def timed(self, *, wall_s: float, process: int) -> Outcome:
        """Return the outcome with how long it took, and where."""
        return replace(self, wall_s=wall_s, process=process)
