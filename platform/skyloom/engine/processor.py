"""Processor: what the engine asks of the code that does the tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

import pyarrow as pa

from skyloom.engine.plan import Task

__all__ = [
    "Computed",
    "Fault",
    "Piece",
    "Processor",
    "Rows",
    "Splittable",
    "Whole",
    "begin",
    "counts_of",
    "process",
]


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
    counts: Mapping[str, int] = field(default_factory=dict)
    """Rows counted by the processor, a function of the input alone; kept in the partition's record."""


class Whole(Protocol):
    """A processor that does its tasks in one go; a row that kills its process cannot be found."""

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

    A row's output must not depend on the piece that it is in. Rows that count something have ``counts``
    too, as `Computed` has.
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
    """A processor whose tasks can be done in pieces: only then can a row that kills be found.

    One task may be read by a thread while another one computes the rows of the last.
    """

    def split(self, task: Task) -> Rows:
        """Read the rows of `task`."""
        ...


Processor = Whole | Splittable
"""Does the tasks of one plan; loaded once per worker process."""


def begin(processor: Processor, task: Task) -> Callable[[], Computed]:
    """Read the rows of `task`, where that can be done apart, and return what computes it."""
    if not isinstance(processor, Splittable):
        return partial(processor.process, task)
    started = time.perf_counter()
    rows = processor.split(task)
    return partial(_compute, task, rows, time.perf_counter() - started)


def process(processor: Processor, task: Task) -> Computed:
    """Read and compute `task`."""
    return begin(processor, task)()


def _compute(task: Task, rows: Rows, read_s: float) -> Computed:
    started = time.perf_counter()
    piece = rows.compute(0, task.rows)
    seconds = {"read_s": read_s, "model_s": time.perf_counter() - started}
    return Computed(piece.table, rows.row_keys, piece.faults, rows.flag_column, seconds, counts_of(rows))


def counts_of(rows: Rows) -> Mapping[str, int]:
    """Return what the rows of a task count, if they count anything."""
    return dict(getattr(rows, "counts", {}))
