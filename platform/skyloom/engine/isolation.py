"""Isolation: compute a partition in a child process, and find the rows that kill it.

Pieces are cut so that each takes about as long as a few forks, so little is lost with a
child. A piece that fails is cut into many small ones, which one child does in turn until
the next death: two deaths find a row among dozens, where halving would take six.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa

from skyloom.engine.child import MEMORY, TIMEOUT, Attempt, Child
from skyloom.engine.limits import Limits
from skyloom.engine.plan import Task
from skyloom.engine.processor import Computed, Fault, Piece, Processor, Rows, Splittable, counts_of
from skyloom.errors import ErrorKind, PartitionError

__all__ = ["IsolatedProcessor", "Pace", "isolated"]

TARGET_S = 0.05
"""Time of a piece: some forks, and little enough to lose."""
FAN = 32
"""Pieces that a failed piece is cut into."""
SLACK_S, PATIENCE = 0.1, 3.0
"""A piece is late after this, plus so many times what it should take: a mistake costs work, nothing else."""
PROBE = 0.1
"""Fraction of the shortest deadline for a row that is only to show the pace."""
VERDICT_S = 0.4
"""A row alone gets this much more before it is blamed."""


class Pace:
    """How fast pieces go in this process: learnt from those that succeed."""

    def __init__(self, unknown_s: float) -> None:
        self._unknown_s = unknown_s
        self._row_s: float | None = None
        self._first_s = 0.0
        self._slowest_s = 0.0

    def rows(self) -> int:
        """Return the rows of the next piece."""
        return 1 if self._row_s is None else max(1, int(TARGET_S / self._row_s))

    @property
    def is_known(self) -> bool:
        """Whether any piece succeeded yet."""
        return self._row_s is not None

    def limit_s(self, rows: int, *, fresh: bool) -> float:
        """Return the time for a piece; longer in a `fresh` child, which has yet to warm up."""
        if self._row_s is None:
            return self._unknown_s
        expected_s = max(self._row_s * rows, self._slowest_s, self._first_s if fresh else 0.0)
        return SLACK_S + PATIENCE * expected_s + (VERDICT_S if rows == 1 else 0.0)

    def learn(self, rows: int, cost_s: float, *, fresh: bool, cut: bool) -> None:
        """Note a success; small pieces cut from a failed one (`cut`) say little of the pace."""
        if fresh:
            self._first_s = max(self._first_s, cost_s)
        else:
            self._slowest_s = max(0.98 * self._slowest_s, cost_s)
        if self._row_s is None or not (fresh or cut):
            self._row_s = max(cost_s, 1e-6) / rows


class IsolatedProcessor:
    """Does the tasks of a processor in child processes, where the processor can split them.

    Parameters
    ----------
    processor : Processor
    limits : Limits
    beat : callable
        Called often while there is progress, or a child is watched.
    """

    def __init__(self, processor: Processor, limits: Limits, beat: Callable[[], None]) -> None:
        self._processor = processor
        self._limits = limits
        self._beat = beat
        self._pace = Pace(limits.deadline_s)

    def process(self, task: Task) -> Computed:
        """Compute every row that can be computed; the others are null, flagged and in quarantine.

        Raises
        ------
        PartitionError
            If more rows are bad than the limits allow, or the rows do not fit into memory.
        """
        if not isinstance(self._processor, Splittable):
            return self._processor.process(task)
        started = time.perf_counter()
        try:
            rows = self._processor.split(task)
        except MemoryError:
            raise _too_large(task, 0, task.rows, self._limits) from None
        read = time.perf_counter()
        pieces = list(isolated(task, rows, self._limits, self._pace, self._beat))
        return Computed(
            table=pa.concat_tables([piece.table for piece in pieces]) if pieces else rows.compute(0, 0).table,
            row_keys=rows.row_keys,
            faults=[fault for piece in pieces for fault in piece.faults],
            flag_column=rows.flag_column,
            seconds={"read_s": read - started, "isolated_s": time.perf_counter() - read},
            counts=counts_of(rows),
        )


def isolated(
    task: Task, rows: Rows, limits: Limits, pace: Pace, beat: Callable[[], None] = lambda: None
) -> Iterator[Piece]:
    """Yield the pieces of a partition in order, all rows in them.

    Raises
    ------
    PartitionError
        If more rows fail, or more children die, than `limits` allow.
    """
    search = _Search(task, rows, limits, pace, beat)
    try:
        yield from search.pieces()
    finally:
        search.close()


class _Search:
    def __init__(self, task: Task, rows: Rows, limits: Limits, pace: Pace, beat: Callable[[], None]) -> None:
        self.task, self.rows, self.limits, self.pace, self.beat = task, rows, limits, pace, beat
        self.child: Child | None = None
        self.lost = self.bad = 0

    def close(self) -> None:
        if self.child is not None:
            self.child.close()

    def probe(self) -> None:
        """Compute some row, to learn the pace: if the first of all hung, it would cost a deadline."""
        n = self.task.rows
        for row in dict.fromkeys((n // 2, n // 3, n // 5, n - 1)):
            if self.pace.is_known:
                break
            self.once(row, row + 1, cut=False, limit_s=self.limits.deadline_s * PROBE)
        self.lost = 0

    def pieces(self) -> Iterator[Piece]:
        if self.task.rows and not self.pace.is_known:
            self.probe()
        todo = deque([(0, self.task.rows, False)] if self.task.rows else [])
        while todo:
            start, stop, cut = todo.popleft()
            if not cut and stop - start > self.pace.rows():
                middle = start + self.pace.rows()
                todo.appendleft((middle, stop, False))
                stop = middle
            attempt = self.attempt(start, stop, cut=cut)
            if attempt.piece is not None:
                yield attempt.piece
            elif stop - start > 1:
                step = -(-(stop - start) // FAN)
                todo.extendleft(
                    (first, min(first + step, stop), True) for first in reversed(range(start, stop, step))
                )
            else:
                yield self.blamed(start, attempt)

    def attempt(self, start: int, stop: int, *, cut: bool) -> Attempt:
        found = self.once(start, stop, cut=cut)
        if found.cause == "signal 9" and stop - start == 1:
            # Somebody else may have killed the child: the row is blamed if it happens again.
            return self.once(start, stop, cut=cut)
        return found

    def once(self, start: int, stop: int, *, cut: bool, limit_s: float | None = None) -> Attempt:
        if self.child is None or not self.child.alive:
            self.child = Child(self.rows, self.limits.memory_bytes)
        fresh = self.child.fresh
        limit_s = limit_s or self.pace.limit_s(stop - start, fresh=fresh)
        found = self.child.compute(start, stop, limit_s=limit_s, beat=self.beat)
        if found.piece is not None:
            self.pace.learn(stop - start, found.cost_s, fresh=fresh, cut=cut)
        elif not self.child.alive:
            self.lost += 1
            self.check(f"{self.lost} processes died on it")
        return found

    def blamed(self, row: int, attempt: Attempt) -> Piece:
        self.bad += 1
        self.check(f"{self.bad} of {self.task.rows} rows cannot be computed")
        message = attempt.message
        if attempt.cause == MEMORY:
            message = _too_large(self.task, row, row + 1, self.limits).message
        elif attempt.cause == TIMEOUT:
            message = f"row {row} of partition {self.task.key} gave {message}"
        fault = Fault(row, attempt.cause, message, self.rows.input_digest(row))
        return Piece(self.rows.quarantined(row, attempt.cause), [fault])

    def check(self, found: str) -> None:
        if self.bad <= self.limits.bad_rows(self.task.rows) and self.lost <= self.limits.max_isolations:
            return
        msg = (
            f"partition {self.task.key}: {found}, and max_bad_fraction={self.limits.max_bad_fraction} allows "
            f"{self.limits.bad_rows(self.task.rows)} bad rows and {self.limits.max_isolations} lost processes: "
            "the model, not the row, is broken"
        )
        raise PartitionError(msg, kind=ErrorKind.TOO_MANY_BAD_ROWS, key=self.task.key, bad=self.bad)


def _too_large(task: Task, start: int, stop: int, limits: Limits) -> PartitionError:
    msg = (
        f"partition {task.key} rows {start} to {stop - 1} exceeded {limits.memory_bytes} bytes: "
        "lower batch_rows or raise the workers' memory"
    )
    return PartitionError(msg, kind=ErrorKind.BAD_PARTITION, key=task.key)


def within(limits: Limits, memory_bytes: int | None) -> Limits:
    """Return `limits` with no more memory than a worker has."""
    return replace(limits, memory_bytes=min(limits.memory_bytes, memory_bytes)) if memory_bytes else limits
