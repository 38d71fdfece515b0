"""What a person wants to know about a catalog first."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skyloom.catalog.value import Catalog
from skyloom.columns import Column

__all__ = ["Description", "describe"]


@dataclass(frozen=True, slots=True)
class Description:
    """A catalog in figures and words; `str()` of it is for a terminal."""

    name: str
    title: str
    description: str
    root: str
    rows: int
    partitions: int
    orders: Mapping[int, int]
    """HEALPix order -> partitions at that order."""
    bytes: int
    rows_min: int
    rows_median: float
    rows_max: int
    """Rows per partition: a maximum far above the median is skew."""
    id_column: str | None
    ra_column: str
    dec_column: str
    columns: tuple[Column, ...]
    licence: str
    citation: str
    snapshot: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        orders = ", ".join(f"{n} at order {order}" for order, n in self.orders.items())
        lines = [
            f"{self.name}: {self.title}" if self.title else self.name,
            f"  at          {self.root}",
            f"  rows        {self.rows:,}, {self.bytes:,} bytes",
            f"  partitions  {self.partitions:,} ({orders}) of "
            f"{self.rows_min:,} to {self.rows_max:,} rows, median {self.rows_median:,.0f}",
            f"  id          {self.id_column or '(none)'}; position {self.ra_column}, {self.dec_column}",
            f"  licence     {self.licence or '(not stated)'}",
            f"  cite        {self.citation or '(not stated)'}",
            f"  snapshot    {self.snapshot}",
        ]
        lines += [f"  {self.description}"] if self.description else []
        wide = max((len(column.name) for column in self.columns), default=0)
        for c in self.columns:
            words = f"{c.dtype:<14} {c.unit or '-':<8} {c.ucd or '-':<28} {c.description}"
            lines.append(f"    {c.name:<{wide}}  {words}".rstrip())
        return "\n".join(lines)


def describe(catalog: Catalog) -> Description:
    """Count a catalog's partitions, rows and bytes from its footers.

    Raises
    ------
    DataError
        If a partition's file is missing or truncated.
    """
    found = catalog.partitions()
    rows = [partition.rows for partition in found] or [0]
    return Description(
        name=catalog.name,
        title=catalog.notes.get("title", ""),
        description=catalog.notes.get("description", ""),
        root=catalog.root,
        rows=sum(rows),
        partitions=len(found),
        orders=dict(sorted(Counter(partition.order for partition in found).items())),
        bytes=sum(partition.bytes for partition in found),
        rows_min=min(rows),
        rows_median=float(statistics.median(rows)),
        rows_max=max(rows),
        id_column=catalog.id_column,
        ra_column=catalog.ra_column,
        dec_column=catalog.dec_column,
        columns=catalog.columns,
        licence=catalog.notes.get("licence", ""),
        citation=catalog.notes.get("citation", ""),
        snapshot=catalog.snapshot(),
    )
