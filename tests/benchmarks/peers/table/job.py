"""Columns and batches of the job on a table. Imports nothing: whoever only plans needs no torch."""

from __future__ import annotations

__all__ = ["BATCH_ROWS", "READ", "WRITTEN"]

READ = tuple(f"x{i}" for i in range(10))
WRITTEN = tuple(f"y{i}" for i in range(4))
BATCH_ROWS = 8192
"""Rows that the network computes at once."""
