"""What can be asked in SQL: a catalog with its layers, or pairs of two catalogs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from skyloom.query import Limits, Source, check_output, query_source, streamed, write_stream
from skyloom.sky import Region

__all__ = ["Explained", "Queryable"]


@dataclass(frozen=True, slots=True)
class Explained:
    """What a query would read."""

    partitions: int
    """Whose files are opened."""
    partitions_of: int
    """That the catalog has."""
    rows: int
    """In these partitions; of a cross-match, in those of the first catalog."""
    bytes: int
    """Of their files, of the catalogs and of all layers; columns that are not named are not read."""
    regions: tuple[str, ...]
    """Of each region function in the SQL: whether it chooses partitions, or why it only tests rows. Last, what a
    cross-match reads of the other catalog."""
    plan: str
    """DuckDB's own."""


class Queryable(ABC):
    """A table ``catalog`` that SQL runs over."""

    @abstractmethod
    def _source(self, *, compare_rows: bool) -> AbstractContextManager[Source]:
        """Return where its files come from, and let go of them afterwards."""

    @abstractmethod
    def explain(self, sql: str, *, region: Region | None = None, limits: Limits | None = None) -> Explained:
        """Say what a query would read, and how DuckDB would run it; nothing but footers is read.

        Parameters and errors are those of `query`.
        """

    def query(
        self,
        sql: str,
        *,
        region: Region | None = None,
        limits: Limits | None = None,
        first: int | None = None,
        unnest: Sequence[str] = (),
        compare_rows: bool = False,
    ) -> pa.Table:
        """Run one SELECT over ``catalog``: the catalog's columns and the layers', row by row.

        Parameters
        ----------
        sql : str
            DuckDB's SQL. Each layer is also a table under its own name, with ``-`` as ``_``. The functions
            ``in_cone``, ``in_box``, ``in_polygon`` and ``in_moc`` choose partitions as `region` does.
        region : Region, optional
            A `skyloom.sky.Cone`, ``Box``, ``Polygon`` or ``MocRegion``: no row outside it is seen, and no file
            of a partition that it does not touch is opened.
        limits : Limits, optional
            Memory, time and rows that the query may take.
        first : int, optional
            Stop after so many rows, without error.
        unnest : sequence of str
            Nested columns of the result, such as ``lc``, to be given with one row for each of their points.
        compare_rows : bool
            Compare the row id and HEALPix index of every row of a layer with the catalog's. Otherwise a layer
            is trusted if its files are those that were committed for the catalog's files as they are now.

        Returns
        -------
        pyarrow.Table
            Units and descriptions of selected columns are in the fields' metadata.

        Raises
        ------
        SpecError
            If the statement is not one SELECT, is wrong, or hits a limit.
        ConflictError
            If a layer was computed from other files than the catalog's.
        DataError
            If a file of a layer is not the one that was committed, or its rows are not those of the catalog.
        """
        with self._source(compare_rows=compare_rows) as source:
            return query_source(sql, source, limits=limits, region=region, first=first, unnest=unnest)

    def query_to(
        self,
        path: str | Path,
        sql: str,
        *,
        region: Region | None = None,
        limits: Limits | None = None,
        unnest: Sequence[str] = (),
        compare_rows: bool = False,
        overwrite: bool = False,
    ) -> int:
        """Write a query's rows to a file as they come; see `query` and `skyloom.query.write_stream`.

        A Parquet or CSV file may be larger than memory; the rows of the other formats are gathered first.

        Returns
        -------
        int
            Rows written.
        """
        check_output(path, overwrite=overwrite)
        with (
            self._source(compare_rows=compare_rows) as source,
            streamed(sql, source, limits=limits, region=region, unnest=unnest) as answer,
        ):
            return write_stream(answer, path, overwrite=overwrite)
