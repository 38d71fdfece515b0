"""Nested columns: a struct of equal-length lists, or the same thing as a list of structs."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

__all__ = [
    "as_struct_of_lists",
    "fields_of",
    "is_list",
    "is_list_of_structs",
    "is_nested",
    "project",
    "same_meaning",
]


def is_list(dtype: pa.DataType) -> bool:
    """Return whether a type is a variable-length list."""
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype))


def is_list_of_structs(dtype: pa.DataType) -> bool:
    """Return whether a type is ``list<struct<…>>``, the other spelling of a nested column."""
    return is_list(dtype) and bool(pa.types.is_struct(dtype.value_type))


def is_nested(dtype: pa.DataType) -> bool:
    """Return whether a type is a nested column: lists of one length per row, under names."""
    if is_list_of_structs(dtype):
        return True
    return bool(pa.types.is_struct(dtype)) and all(is_list(field.type) for field in dtype)


def fields_of(dtype: pa.DataType) -> list[pa.Field]:
    """Return the fields of a nested column, each as a list per row; of another type, none."""
    if is_list_of_structs(dtype):
        return [part.with_type(pa.list_(part.type)) for part in dtype.value_type]
    return list(dtype) if pa.types.is_struct(dtype) else []


def project(field: pa.Field, children: Sequence[str] | None) -> pa.Field:
    """Return `field` with only the named fields of its struct, in stored order.

    None leaves the field as it is. A list of structs of which fields are named becomes a
    struct of lists.

    Raises
    ------
    KeyError
        If the field has no such child.
    """
    if children is None:
        return field
    parts = fields_of(field.type)
    missing = sorted(set(children) - {part.name for part in parts})
    if missing:
        raise KeyError(missing[0])
    return field.with_type(pa.struct([part for part in parts if part.name in children]))


def same_meaning(found: pa.DataType, expected: pa.DataType) -> bool:
    """Return whether two types hold the same values, in whatever Arrow layout.

    Strings may be plain, large, views or dictionaries; lists plain or large, with any name
    for the element. Numbers must agree in kind and width.

    Examples
    --------
    >>> same_meaning(pa.large_string(), pa.string()), same_meaning(pa.int32(), pa.int64())
    (True, False)
    """
    return bool(_plain(found) == _plain(expected))


def _plain(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(dtype):
        return _plain(dtype.value_type)
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype) or pa.types.is_binary_view(dtype):
        return pa.binary()
    if is_list(dtype):
        return pa.list_(pa.field("element", _plain(dtype.value_type)))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(part.name, _plain(part.type)) for part in dtype])
    return dtype


def as_struct_of_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn ``list<struct<a, b>>`` into ``struct<a: list, b: list>``, sharing the values.

    A null list becomes a null row.
    """
    target = pa.struct(fields_of(column.type))
    return pa.chunked_array([_turned(chunk, target) for chunk in column.chunks], type=target)


def _turned(chunk: pa.ListArray, target: pa.StructType) -> pa.StructArray:
    lists = chunk.cast(pa.list_(chunk.type.value_type))
    flat = lists.values
    parts = [pa.ListArray.from_arrays(lists.offsets, flat.field(i)) for i in range(target.num_fields)]
    mask = lists.is_null() if lists.null_count else None
    return pa.StructArray.from_arrays(parts, fields=list(target), mask=mask)
