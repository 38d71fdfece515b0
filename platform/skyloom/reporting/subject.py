"""What a report is about: a layer, what made it, and what can still be read of its catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skyloom.catalog import Catalog
from skyloom.columns import Column
from skyloom.engine.tally import Tally
from skyloom.models.card import Card
from skyloom.models.eligibility import Step
from skyloom.reporting.rows import LayerRows
from skyloom.tensors import TensorStore

__all__ = ["Finished", "Run", "Subject", "TensorPlace"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, from its log."""

    log: str
    """Name of the log."""
    tally: Tally
    slowest: Sequence[tuple[float, str, int]]
    """Seconds, key and rows of the partitions that took longest."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor that the model read."""

    name: str
    store: TensorStore | None
    """None where nobody says where it lies, or nothing is there."""
    trouble: str = ""
    """Why there is none, or why it is not the one that was read."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A published version."""

    version: int
    columns: Sequence[Column]
    """Those that the layer adds, its flag last."""
    position: tuple[str, str]
    row_id: str
    """The column that names a row; empty for none."""
    rows: LayerRows
    manifest: Mapping[str, Any]
    quarantine: Sequence[tuple[int, int]]
    """Number of the partition and rows in quarantine, of those that have any."""
    funnel: Sequence[Step]
    criteria: Sequence[str]
    """In the order of their bits: the first has bit 23."""
    card: Card | None
    flags: Mapping[str, str] = field(default_factory=dict)
    """Meanings of flags by name, for a model without a card: those of the model that is installed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A layer, finished or not."""

    layer: str
    store: str
    """Where it lies."""
    job_id: str
    folder: str
    """Of the job, in the store: what names of files begin with."""
    state: str
    """Of the newest run, as `skyloom status` says it; empty where there is no log."""
    identity: Mapping[str, Any]
    """What identifies the job: everything that may change a value."""
    question: str
    planned: Sequence[tuple[str, int]]
    """Key and rows of each partition."""
    committed: Mapping[str, int]
    """Rows, flagged and quarantined rows and partitions that have a record."""
    finished: Finished | None
    catalog: Catalog | None
    catalog_said: str
    """Who said where the catalog lies."""
    catalog_trouble: str
    """Why it is not read; empty where it is."""
    tensors: Sequence[TensorPlace] = ()
    runs: Sequence[Run] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    """Warnings that stand at the top."""
    written: str = ""
    """When the report was made; UTC."""
    code: str = ""
    """Version of the program that made it."""

    @property
    def headline(self) -> str:
        """What a reader should know first."""
        rows = sum(rows for _, rows in self.planned)
        model = self.identity.get("model", {})
        what = (
            f"{model.get('name', 'unknown model')}, weights {model.get('weights') or 'none'}, over {rows:,} rows"
        )
        if self.finished is None:
            return f"Not finished ({self.state}): {what}."
        return f"Version {self.finished.version}: {what}."

    def file(self, name: str) -> str:
        """Return a file of the job as a source is written: below `folder`, which the page names once."""
        return name
