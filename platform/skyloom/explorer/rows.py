"""Columns of a catalog and its layers partition by partition, and single rows, each checked by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog import Partition, read_partition
from skyloom.catalog.files import join, open_source, parquet_errors, read_footer
from skyloom.columns import Column
from skyloom.errors import ConflictError, DataError, ErrorKind, SpecError, close_matches
from skyloom.jobs import CatalogView
from skyloom.jobs.layers import Layer

__all__ = ["Cell", "columns_by_partition", "owner_of", "read_row"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of one object, with what its column means."""

    column: Column
    layer: str
    """Name of the layer that it is of; ``""`` for the catalog itself."""
    value: pa.Array
    """Of length 1."""


def owner_of(view: CatalogView, name: str) -> Layer | None:
    """Return the layer that adds a column; None where it is of the catalog itself.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN.
    """
    if name in view.base.schema.names:
        return None
    for layer in view.layers:
        if any(column.name == name for column in layer.columns):
            return layer
    msg = f"no column {name!r}; {close_matches(name, [column.name for column in view.columns])}"
    raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)


def columns_by_partition(
    view: CatalogView, names: Sequence[str], layer: Layer | None = None
) -> Iterator[pa.Table]:
    """Yield columns of the catalog, or of one of its layers, partition by partition.

    Raises
    ------
    DataError
        ROW_ORDER if a layer's rows are not those of the catalog, by id.
    ConflictError
        SNAPSHOT_CHANGED if a file is not the one that was opened.
    """
    base = view.base
    files = {} if layer is None else _files(layer)
    keys = [name for name in (base.id_column or base.healpix_column,) if name]
    for partition in base.partitions():
        if layer is None:
            yield read_partition(base.root, partition, names, schema=base.schema)
            continue
        location = files[partition.key]
        with parquet_errors(location), open_source(location) as source:
            table = pq.ParquetFile(source).read(columns=[*keys, *names])
        for key in keys:
            wanted = read_partition(base.root, partition, [key], schema=base.schema)[key]
            if not table[key].equals(wanted):
                raise _misaligned(layer, partition, key)
        yield table.select(list(names))


def read_row(view: CatalogView, partition: Partition, row: int, id_: object) -> list[Cell]:
    """Read one object: every column of the catalog and of its layers.

    One row group of one file is read of each; nothing else.

    Parameters
    ----------
    view : CatalogView
    partition : Partition
    row : int
        Place in the partition.
    id_ : object
        The id that the row must have; not looked at where the catalog has no id column.

    Raises
    ------
    ConflictError
        SNAPSHOT_CHANGED if another object is there.
    """
    base = view.base
    found = _row_in([join(base.root, file) for file in partition.files], row)
    _check_id(found, base.id_column, id_, f"{base.root}/{partition.key}")
    cells = [Cell(Column.of_field(field), "", found[field.name].combine_chunks()) for field in base.schema]
    for layer in view.layers:
        location = _files(layer)[partition.key]
        found = _row_in([location], row)
        _check_id(found, base.id_column, id_, location)
        cells += [Cell(column, layer.name, found[column.name].combine_chunks()) for column in layer.columns]
    return cells


def _files(layer: Layer) -> dict[str, str]:
    return {entry.key: file for file, entry in zip(layer.files, layer.published.files, strict=True)}


def _row_in(locations: Sequence[str], row: int) -> pa.Table:
    """Return the row of a partition's files, read by row groups."""
    left = row
    for location in locations:
        metadata = read_footer(location).metadata()
        if left >= metadata.num_rows:
            left -= metadata.num_rows
            continue
        with parquet_errors(location), open_source(location) as source:
            file = pq.ParquetFile(source, metadata=metadata)
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                if left < rows:
                    return file.read_row_group(group).slice(left, 1)
                left -= rows
    msg = f"{', '.join(locations)} has no row {row}: the catalog changed; start the page again"
    raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, file=locations[0])


def _check_id(found: pa.Table, id_column: str | None, wanted: object, where: str) -> None:
    if id_column is None:
        return
    there = found[id_column][0].as_py()
    if there != wanted:
        msg = (
            f"{where} has {id_column}={there!r} where {wanted!r} was read before: it changed; start the page again"
        )
        raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, file=where)


def _misaligned(layer: Layer, partition: Partition, key: str) -> DataError:
    msg = (
        f"layer {layer.name}, partition {partition.key}: column {key!r} is not that of the catalog, row for row; "
        "run `skyloom layer verify`, or its job again"
    )
    return DataError(msg, kind=ErrorKind.ROW_ORDER, layer=layer.name, key=partition.key)
