"""The files behind a table, and the tables behind a query.

Everything here is decided from names, schemas and row counts: no data file is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["CATALOG", "TableFiles", "Tables", "chunks", "local_path", "new_columns"]

CATALOG = "catalog"
"""The table that holds the columns of the base and of all layers."""

_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class TableFiles:
    """The Parquet files of a catalog or of a layer, in partition order."""

    files: tuple[str, ...]
    """Absolute local paths or URLs; together, in this order, the rows of the table."""
    rows: tuple[int, ...] | None
    """Rows of each file; 0 is valid. None where nobody asked: enough for a table that nothing is joined to."""
    schema: pa.Schema
    """Columns to show, with unit, UCD and description in the field metadata."""

    def __post_init__(self) -> None:
        if self.rows is not None and len(self.files) != len(self.rows):
            msg = f"{len(self.files)} files with {len(self.rows)} row counts: each file has one"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        folded: dict[str, str] = {}
        for name in self.schema.names:
            if name.casefold() in folded:
                msg = (
                    f"columns {folded[name.casefold()]!r} and {name!r} differ in case at most, and SQL does "
                    f"not tell them apart: leave one of them out of the schema"
                )
                raise SpecError(msg, kind=ErrorKind.BAD_NAME, column=name)
            folded[name.casefold()] = name


@dataclass(frozen=True)
class Tables:
    """The base and its layers under the names that SQL sees, checked against each other."""

    base: TableFiles
    layers: Mapping[str, TableFiles]
    keys: tuple[str, ...]
    """Columns that must agree row by row: the row id, the HEALPix index, or one of them."""
    copies: tuple[str, ...]
    """Columns that a layer repeats from the base: the keys and the position."""

    @classmethod
    def of(
        cls,
        base: TableFiles,
        layers: Mapping[str, TableFiles],
        *,
        id_column: str | None,
        healpix_column: str,
        position_columns: Sequence[str],
    ) -> Tables:
        """Check that names, columns and row counts fit; return what SQL sees.

        Raises
        ------
        SpecError
            BAD_NAME if two layers, or two columns, have one name; UNKNOWN_COLUMN if the base has no key.
        DataError
            ROW_COUNT if a layer has more or fewer rows than the base; SCHEMA_DRIFT if it has no key.
        """
        keys = tuple(k for k in (id_column, healpix_column) if k is not None and k in base.schema.names)
        if id_column is not None and id_column not in keys:
            msg = f"the catalog has no column {id_column!r}, which is named as its row id"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=id_column)
        if layers and not keys:
            msg = f"the catalog has neither a row id nor {healpix_column!r}: its layers cannot be checked"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=healpix_column)
        tables = cls(base, _sql_names(layers), keys, (*keys, *position_columns))
        owners = {name.casefold(): "the catalog" for name in base.schema.names}
        for name, layer in tables.layers.items():
            _check_layer(name, layer, tables)
            for column in new_columns(layer, tables.copies):
                other = owners.setdefault(column.casefold(), f"layer {name!r}")
                if other != f"layer {name!r}":
                    msg = (
                        f"column {column!r} is in {other} and in layer {name!r}: query them one at a time, "
                        f"or run the job again with another layer name"
                    )
                    raise SpecError(msg, kind=ErrorKind.BAD_NAME, column=column, layer=name)
        return tables

    def named(self) -> Iterator[tuple[str, TableFiles]]:
        """Yield every set of files with the name of its table; the base comes first."""
        yield CATALOG, self.base
        yield from self.layers.items()


def _sql_names(layers: Mapping[str, TableFiles]) -> dict[str, TableFiles]:
    named: dict[str, TableFiles] = {}
    taken = {CATALOG: "the catalog itself"}
    for layer, files in layers.items():
        name = layer.replace("-", "_")
        if name.casefold() in taken:
            msg = f"layer {layer!r} would be table {name!r} in SQL, which is {taken[name.casefold()]}"
            raise SpecError(msg, kind=ErrorKind.BAD_NAME, layer=layer)
        taken[name.casefold()] = f"layer {layer!r}"
        named[name] = files
    return named


def _check_layer(name: str, layer: TableFiles, tables: Tables) -> None:
    missing = [key for key in tables.keys if key not in layer.schema.names]
    if missing:
        msg = f"layer {name!r} has no column {missing[0]!r}, by which its rows are checked: run its job again"
        raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, layer=name, column=missing[0])
    layer_rows, rows = sum(layer.rows or ()), sum(tables.base.rows or ())
    if layer_rows != rows:
        msg = (
            f"layer {name!r} has {layer_rows} rows and the catalog {rows}: it was made "
            f"from another version of the catalog; run its job again"
        )
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, layer=name)


def new_columns(layer: TableFiles, copies: Sequence[str]) -> list[str]:
    """Return the columns of `layer` that are its own, not copied from the base."""
    return [name for name in layer.schema.names if name not in copies]


def local_path(location: str) -> str:
    """Return the local path of a file that DuckDB is to read.

    Raises
    ------
    SpecError
        If it is not on this machine, or holds a character that DuckDB takes for a pattern.
    """
    url = urlsplit(location)
    if "://" in location and url.scheme != "file":
        msg = (
            f"{location} is not a local file, and queries read local files only: copy the catalog here, or use "
            f"catalog.to_lsdb(), which reads remote ones"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, file=location)
    path = os.path.abspath(unquote(url.path) if "://" in location else location)  # noqa: PTH100 (no symlinks resolved)
    if _GLOB & set(path):
        msg = f"{path} has one of * ? [ in it, which DuckDB takes for a pattern: rename the directory"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, file=path)
    return path


def chunks(tables: Sequence[TableFiles], wanted: int) -> list[tuple[slice, ...]]:
    """Cut tables of equal length into runs of whole files that hold the same rows in each.

    Files need not have the same boundaries in every table; a cut is made only where all
    of them have one.

    Parameters
    ----------
    tables : sequence of TableFiles
        Equal sums of rows.
    wanted : int
        How many runs to aim at; about equal in rows.

    Returns
    -------
    list of tuple of slice
        For each run, the slice of `files` of each table. Runs without rows are left out.
    """
    rows = [table.rows or () for table in tables]
    total = sum(rows[0])
    # Where 0-row files follow each other several cuts have the same row: the last one is taken.
    ends = [{row: i + 1 for i, row in enumerate(accumulate(counts))} for counts in rows]
    common = sorted(set.intersection(*(set(end) for end in ends)) - {0})
    cuts: list[int] = []
    for row in common:
        if row == total or row * wanted >= total * (len(cuts) + 1):
            cuts.append(row)
    starts = [0] * len(tables)
    runs = []
    for row in cuts:
        stops = [end[row] for end in ends]
        runs.append(tuple(slice(a, b) for a, b in zip(starts, stops, strict=True)))
        starts = stops
    return runs
