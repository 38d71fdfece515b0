"""What a report is made of, before it is a page: facts, tables, figures and notes, each with its source.

All text is plain and is escaped where the page is made; only drawings are markup already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

__all__ = [
    "Block",
    "Fact",
    "Facts",
    "Figure",
    "Figures",
    "Note",
    "Object",
    "Objects",
    "Output",
    "Section",
    "Table",
]

OPEN_ROWS = 60
"""Rows of a table that is there at once; a longer one is folded."""
CELL_CHARS = 300
"""Characters of a cell that are kept: a message of an error may be a page."""


def cut(text: object, most: int = CELL_CHARS) -> str:
    """Return `text` as one cell holds it: without control characters, and not longer than `most`."""
    clean = "".join(c if c.isprintable() else " " for c in str(text))
    return clean if len(clean) <= most else f"{clean[:most]}…"


@dataclass(frozen=True, slots=True)
class Fact:
    """A name, what is true of it, and where that is from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts, one below the other."""

    kind: ClassVar[str] = "facts"
    rows: tuple[Fact, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells."""

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    source: str
    right: frozenset[int] = frozenset()
    """Columns of numbers."""
    strong: frozenset[int] = frozenset()
    """Rows that stand out."""

    @property
    def is_long(self) -> bool:
        """Whether it is shown on demand."""
        return len(self.rows) > OPEN_ROWS


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption."""

    drawing: Markup
    caption: str
    source: str
    wide: bool = False
    """Whether it takes a line of its own."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures side by side."""

    kind: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence on its own."""

    kind: ClassVar[str] = "note"
    text: str
    tone: str = "note"
    """``note``, or ``warning``."""


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the layer: what it is, and how its values are distributed."""

    kind: ClassVar[str] = "output"
    name: str
    about: str
    sums: str
    figures: tuple[Figure, ...]
    source: str
    folded: bool = False
    """Whether it is shown on demand: layers may have hundreds of columns."""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """A row of the catalog."""

    title: str
    facts: tuple[tuple[str, str], ...]
    drawings: tuple[Markup, ...]
    pictures: tuple[tuple[str, str], ...]
    """Caption and ``data:`` URL of each."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Objects:
    """Rows of the catalog in an order."""

    kind: ClassVar[str] = "objects"
    title: str
    objects: tuple[Object, ...]
    source: str


Block = Facts | Table | Figures | Note | Output | Objects


@dataclass(slots=True)
class Section:
    """A chapter of a report."""

    id: str
    title: str
    blocks: list[Block] = field(default_factory=list)
