"""Processor: what the engine asks of the code that does the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import pyarrow as pa

from skyloom.engine.plan import Task

__all__ = ["Computed", "Fault", "Piece", "Processor", "Rows", "Splittable"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row in quarantine."""

    row: int
    """Position in the partition."""
    cause: str
    """``"signal 11"``, ``"exit 3"``, ``"memory"``, ``"timeout"``, or the class of an exception."""
    message: str
    input_digest: str = ""
    """Digest of what the row holds, to find it again in another version of its catalog."""


@dataclass(frozen=True, slots=True)
class Computed:
    """The output of one task: every row of the input, in its order."""

    table: pa.Table
    row_keys: str
    """`rows_digest` over the row keys of the *input*."""
    faults: Sequence[Fault] = ()
    flag_column: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Where the time went, such as ``{"read": 0.1, "model": 2.0}``."""


class Processor(Protocol):
    """Does the tasks of one plan; loaded once per worker process."""

    def process(self, task: Task) -> Computed:
        """Compute the output of `task`."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """The output of some consecutive rows of a task."""

    table: pa.Table
    faults: Sequence[Fault] = ()
    """Rows are counted from the start of the partition."""


class Rows(Protocol):
    """The rows of one task, read once, computed piece by piece.

    A row's output must not depend on the piece that it is in.
    """

    row_keys: str
    flag_column: str | None

    def compute(self, start: int, stop: int) -> Piece:
        """Compute rows `start` to `stop`; called in a child process that it may kill."""
        ...

    def quarantined(self, row: int, cause: str) -> pa.Table:
        """Return the output of one row that cannot be computed: nulls, and a flag for `cause`."""
        ...

    def input_digest(self, row: int) -> str:
        """Return a digest of what one row holds."""
        ...


@runtime_checkable
class Splittable(Protocol):
    """A processor whose tasks can be done in pieces: only then can a row that kills be found."""

    def split(self, task: Task) -> Rows:
        """Read the rows of `task`."""
        ...
