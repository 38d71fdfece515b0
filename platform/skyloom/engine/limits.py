"""Limits: how much trouble one partition may make before it is given up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]

FEW = 10
"""Bad rows that a partition may always have: a fraction of a small one would be none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a task may take. None of it changes a value of a row that is computed."""

    max_bad_fraction: float = 0.01
    """Rows of a partition that may kill, hang or exhaust a process; ten always may."""
    max_isolations: int = 200
    """Processes that one partition may cost."""
    memory_bytes: int = 4_000_000_000
    """Memory that a child process may add to what the loaded model takes."""
    confined: bool = True
    """Whether the system enforces `memory_bytes`, by the address space of a process. The driver of a GPU
    reserves hundreds of gigabytes of that and uses none: then no limit can be set."""
    deadline_s: float = 30.0
    """Shortest time after which a task counts as hung. Once the pace of a run is known, a task
    gets ten times the 95th percentile of it, if that is longer."""

    def bad_rows(self, rows: int) -> int:
        """Return how many of `rows` may be bad."""
        return max(FEW, int(self.max_bad_fraction * rows))
