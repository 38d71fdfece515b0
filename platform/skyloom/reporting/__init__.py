"""Reports: what a layer holds and what made it, as one HTML file that opens without a network."""

from __future__ import annotations

from skyloom.reporting.assemble import MOST_BYTES, compose
from skyloom.reporting.rows import LayerRows
from skyloom.reporting.subject import Finished, Run, Subject, TensorPlace

__all__ = ["MOST_BYTES", "Finished", "LayerRows", "Run", "Subject", "TensorPlace", "compose"]
