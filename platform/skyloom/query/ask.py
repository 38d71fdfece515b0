"""One SELECT over a catalog and its layers, in a process of its own.

The caller's process never runs the SQL, nor parses it: it starts a child with a minimal
environment, hears from it which regions the statement names, chooses files, reads Arrow IPC,
and kills the child when time is up. What the child may do is in `sandbox`; what SQL may hold, in
`statement`; which regions choose files, in `calls`; how layers are joined to the catalog, in `views`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from skyloom.errors import ErrorKind, SpecError
from skyloom.query.inside import condition_of, read_calls, region_of
from skyloom.query.metadata import with_metadata
from skyloom.query.process import Conversation, Limits, cores, started
from skyloom.query.source import Chosen, Source
from skyloom.query.tables import Tables
from skyloom.query.views import quoted
from skyloom.sky import MocRegion, Region

__all__ = ["Answer", "Plan", "check_source", "explain_source", "query_source", "streamed"]


@dataclass(frozen=True)
class Plan:
    """How a query would be run."""

    text: str
    """DuckDB's own words."""
    regions: tuple[str, ...]
    """Of each region function in the statement: whether it chooses partitions, or why it only tests rows."""
    chosen: Chosen
    """The files that are left."""


class Answer:
    """Rows of a result as they come."""

    schema: pa.Schema
    """With unit, UCD and description of the columns that are plain selections."""
    is_whole: bool = False
    """Whether all rows came: known after the last one, and false only where so many were not asked for."""

    def __init__(self, child: Conversation, said: Mapping[str, Any], schemas: Sequence[pa.Schema]) -> None:
        self._child = child
        self._reader = child.batches()
        self.schema = with_metadata(self._reader.schema, schemas, **said)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield batches.

        Raises
        ------
        SkyloomError
            Where the query ended before its last row.
        """
        while (batch := self._child.next_batch(self._reader)) is not None:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
        self.is_whole = self._child.hear()["is_whole"]

    def table(self) -> pa.Table:
        """Return all rows; errors as those of iteration."""
        return pa.Table.from_batches(list(self), self.schema)


@contextmanager
def streamed(
    sql: str,
    source: Source,
    *,
    limits: Limits | None = None,
    region: Region | None = None,
    first: int | None = None,
    unnest: Sequence[str] = (),
) -> Iterator[Answer]:
    """Run one SELECT, and yield its rows as they come.

    Parameters
    ----------
    sql : str
        See `query`.
    source : Source
        Catalog and layers.
    limits, region
        See `query`.
    first : int, optional
        Stop after so many rows.
    unnest : sequence of str
        Nested columns of the result, such as ``lc``, to be given with one row for each of their points;
        a light curve without points gives none.

    Raises
    ------
    SkyloomError
        See `query`.
    """
    limits = limits or Limits()
    with started(limits) as child:
        _open(child, "query", sql, source, limits, first=first, unnest=list(unnest))
        _choose(child, source, region)
        yield Answer(child, child.hear(), [source.base, *source.layers.values()])


def query_source(
    sql: str,
    source: Source,
    *,
    limits: Limits | None = None,
    region: Region | None = None,
    first: int | None = None,
    unnest: Sequence[str] = (),
) -> pa.Table:
    """Run one SELECT and return its rows; parameters and errors are those of `streamed`."""
    with streamed(sql, source, limits=limits, region=region, first=first, unnest=unnest) as answer:
        return answer.table()


def explain_source(
    sql: str, source: Source, *, limits: Limits | None = None, region: Region | None = None
) -> Plan:
    """Say how a query would be run; nothing but footers of the files that it would read is read."""
    limits = limits or Limits()
    with started(limits) as child:
        _open(child, "explain", sql, source, limits)
        chosen, regions = _choose(child, source, region)
        return Plan(str(child.hear()["plan"]), regions, chosen)


def check_source(source: Source, *, limits: Limits | None = None) -> None:
    """Compare the keys of every row of every layer; see `skyloom.query.check_alignment`."""
    limits = limits or Limits()
    with started(limits) as child:
        _open(child, "check", "", source, limits)
        _choose(child, source, None)
        child.hear()


def _open(
    child: Conversation,
    what: str,
    sql: str,
    source: Source,
    limits: Limits,
    *,
    first: int | None = None,
    unnest: Sequence[str] = (),
) -> None:
    """Say what is asked, of which columns."""
    tables = source.tables()
    child.tell(
        {
            "what": what,
            "sql": sql,
            "first": first,
            "unnest": unnest,
            "limits": {**asdict(limits), "threads": limits.threads or cores()},
            "place": [*source.position_columns[-2:], source.index_column],
            "keys": tables.keys,
            "copies": tables.copies,
            "schemas": {
                name: base64.b64encode(table.schema.serialize()).decode() for name, table in tables.named()
            },
        }
    )


def _choose(child: Conversation, source: Source, region: Region | None) -> tuple[Chosen, tuple[str, ...]]:
    """Hear which regions the statement names, choose files by them, and hand these on."""
    heard = child.hear()
    calls = read_calls(heard["calls"])
    named = [region_of(call) for call in calls]
    pruning = [
        found for call, found in zip(calls, named, strict=True) if found is not None and not call.kept_from_pruning
    ]
    needed = frozenset(name for name in source.layers if name.replace("-", "_") in heard["used"])
    chosen = source.choose([*pruning, *([region] if region else [])], needed)
    tables = source.tables(chosen)
    child.tell(
        {
            "conditions": [condition_of(call, found) for call, found in zip(calls, named, strict=True)],
            "where": _condition(region, tables, source),
            "aligned": [name.replace("-", "_") for name in sorted(chosen.aligned)],
            "files": {name: {"files": table.files, "rows": table.rows} for name, table in tables.named()},
        }
    )
    said = tuple(
        f"{call.text}: "
        + (
            f"tests rows only, because {call.kept_from_pruning}"
            if call.kept_from_pruning
            else "chooses partitions"
        )
        for call in calls
    )
    return chosen, said


def _condition(region: Region | None, tables: Tables, source: Source) -> str:
    """Return an SQL condition on rows; empty for none."""
    if region is None:
        return ""
    names = tables.base.schema.names
    missing = [name for name in source.position_columns if name not in names]
    if missing:
        msg = f"the catalog has no column {missing[0]!r}: without positions there is no region"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=missing[0])
    index = quoted(source.index_column) if source.index_column in names else None
    if index is None and isinstance(region, MocRegion):
        msg = "a MOC is compared with a HEALPix index of order 29, which the catalog has not: give another region"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    ra, dec = map(quoted, source.position_columns[-2:])
    return region.sql(ra, dec, index)
