"""Tally: the counts of one line of the fault matrix."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.checking import Checked

__all__ = ["Tally"]


@dataclass
class Tally:
    """How often a fault was injected, and what became of the rows."""

    injected: int = 0
    survived: int = 0
    """Faults after which the run was finished, or which were found and named, as the row asks."""
    rows_in: int = 0
    rows_out: int = 0
    lost: int = 0
    duplicated: int = 0
    torn: int = 0
    wrong: int = 0
    note: str = ""
    skipped: str = ""
    """Why nothing was done."""

    def add(self, checked: Checked) -> None:
        """Add what the check of a layer found."""
        for name in ("rows_in", "rows_out", "lost", "duplicated", "torn", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(checked, name))

    def count(self, survived: bool) -> None:
        """Count one fault."""
        self.injected += 1
        self.survived += survived

    @property
    def ok(self) -> bool:
        """Whether something was injected, all of it was survived, and no row is amiss."""
        if self.skipped:
            return True
        amiss = self.lost or self.duplicated or self.torn or self.wrong or self.rows_in != self.rows_out
        return 0 < self.injected == self.survived and not amiss
