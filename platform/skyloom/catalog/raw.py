"""Columns of a foreign table, found by name and brought into one Arrow layout."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from skyloom.catalog.nesting import is_list
from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["input_column"]


def input_column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    """Return a column of the input: dictionaries decoded, bytes as text, layouts plain.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN, with the file and the close names.
    """
    if name not in table.column_names:
        msg = f"{path} has no column {name!r}; {close_matches(name, table.column_names)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name, file=str(path))
    return _plain_layout(table[name])


def _plain_layout(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dictionaries, large and view layouts in the plain one, bytes as text."""
    dtype = values.type
    if pa.types.is_dictionary(dtype):
        return _plain_layout(values.cast(dtype.value_type))
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return values.cast(pa.string())
    if pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype) or pa.types.is_binary_view(dtype):
        return values.cast(pa.binary()).cast(pa.string())
    if is_list(dtype) and not pa.types.is_struct(dtype.value_type):
        return values.cast(pa.list_(dtype.value_type))
    return values
