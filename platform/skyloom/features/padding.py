"""Lengths that rows are padded to. Imports nothing: whoever only declares a system needs no torch."""

from __future__ import annotations

__all__ = ["LENGTHS"]

LENGTHS = (16, 32, 64, 128, 256)
"""Numbers of points that rows of a Gaussian process are padded to; a row with more than the last is refused."""
