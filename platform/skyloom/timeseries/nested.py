"""Nested Arrow columns as flat arrays: offsets, values, codes of band labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["UNKNOWN_BAND", "Lists", "band_codes", "end_to_end", "floats", "lists_of"]

UNKNOWN_BAND = 255
"""Band code of a point whose label is not among the bands asked for."""


class Lists(NamedTuple):
    """One list per row: row i is ``values[start[i] : start[i] + length[i]]``."""

    values: pa.Array
    start: NDArray[np.int64]
    length: NDArray[np.int64]


def lists_of(column: pa.Array, names: Sequence[str]) -> list[Lists]:
    """Return the lists of each named field of a nested column.

    Parameters
    ----------
    column : Arrow struct of lists, or list of structs

    Raises
    ------
    DataError
        If the column is neither, or lacks a field.
    """
    if pa.types.is_struct(column.type):
        fields = {column.type.field(i).name for i in range(column.type.num_fields)}
        _require(names, fields, column.type)
        # StructArray.field ignores the validity and the offset of the struct; flatten does not.
        children = dict(zip([f.name for f in column.type], column.flatten(), strict=True))
        return [_list(children[name], name) for name in names]
    if _is_list(column.type) and pa.types.is_struct(column.type.value_type):
        lists = _list(column, "light curve")
        _require(names, {f.name for f in column.type.value_type}, column.type)
        flat = dict(zip([f.name for f in lists.values.type], lists.values.flatten(), strict=True))
        return [lists._replace(values=flat[name]) for name in names]
    msg = f"a light curve must be an Arrow struct of lists, found {column.type}"
    raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, found=str(column.type))


def _require(names: Sequence[str], fields: set[str], found: pa.DataType) -> None:
    missing = [name for name in names if name not in fields]
    if missing:
        msg = f"the light-curve column has no field {', '.join(missing)}; found {found}"
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, missing=", ".join(missing), found=str(found))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _list(array: pa.Array, name: str) -> Lists:
    if not _is_list(array.type):
        msg = f"light-curve field {name} must be a list per row, found {array.type}"
        raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, column=name, found=str(array.type))
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.large_list(array.type.value_field))
    offsets = array.offsets.to_numpy().astype(np.int64, copy=False)
    length = np.diff(offsets)
    if array.null_count:
        length = np.where(array.is_valid().to_numpy(zero_copy_only=False), length, 0)
    return Lists(array.values, offsets[:-1], length)


def end_to_end(lists: Lists, length: NDArray[np.int64], offsets: NDArray[np.int64]) -> pa.Array:
    """Return the values of all rows end to end: a slice, without a copy, where they lie so.

    Parameters
    ----------
    lists : Lists
        N rows.
    length : ndarray of int64, shape (N,)
        Points to take of each row, from its start: all of them, or 0.
    offsets : ndarray of int64, shape (N + 1,)
        Their running sum.
    """
    total = int(offsets[-1])
    if total == 0:
        return lists.values.slice(0, 0)
    held = length > 0
    first = int(lists.start[held][0])
    if np.array_equal(lists.start[held], offsets[:-1][held] + first):
        return lists.values.slice(first, total)
    index = np.repeat(lists.start - offsets[:-1], length) + np.arange(total)
    return lists.values.take(pa.array(index))


def floats(values: pa.Array, name: str) -> NDArray[np.floating]:
    """Return flat numbers: null is NaN, float32 stays float32, all else becomes float64.

    Raises
    ------
    DataError
        If `values` are not numbers.
    """
    kind = values.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        msg = f"light-curve field {name} must hold numbers, found {kind}"
        raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, column=name, found=str(kind))
    if not (pa.types.is_float32(kind) or pa.types.is_float64(kind)):
        values = values.cast(pa.float64(), safe=False)
    return np.asarray(values.to_numpy(zero_copy_only=False))


def band_codes(values: pa.Array, bands: Sequence[str]) -> NDArray[np.uint8]:
    """Return the places of labels in `bands`; `UNKNOWN_BAND` for other labels and nulls.

    Raises
    ------
    SpecError
        If `bands` is empty, too long, or names a band twice.
    DataError
        If `values` are not strings.
    """
    if not 0 < len(bands) < UNKNOWN_BAND or len(set(bands)) != len(bands):
        msg = f"bands must be 1 to {UNKNOWN_BAND - 1} different labels, got {list(bands)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, n=len(bands))
    if pa.types.is_dictionary(values.type):
        table = band_codes(values.dictionary, bands)
        table = np.append(table, np.uint8(UNKNOWN_BAND))
        index = values.indices.fill_null(len(table) - 1) if values.null_count else values.indices
        return np.asarray(table[index.to_numpy()])
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        msg = f"light-curve field band must hold labels (strings), found {values.type}"
        raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, column="band", found=str(values.type))
    letters = _single_letters(values, bands)
    if letters is not None:
        return letters
    code = pc.index_in(values, value_set=pa.array(list(bands), type=values.type))
    return np.asarray(code.fill_null(UNKNOWN_BAND).to_numpy().astype(np.uint8))


def _single_letters(values: pa.Array, bands: Sequence[str]) -> NDArray[np.uint8] | None:
    """Codes of labels that are all one byte long (three times faster than hashing), or None."""
    if len(values) == 0 or values.null_count or any(len(band.encode()) != 1 for band in bands):
        return None
    wide = pa.types.is_large_string(values.type)
    _, ends, text = values.buffers()
    offsets: NDArray[np.integer] = np.frombuffer(ends, dtype=np.int64 if wide else np.int32)
    offsets = offsets[values.offset : values.offset + len(values) + 1]
    # As many bytes as labels, and no label empty: each has one.
    if offsets[-1] - offsets[0] != len(values) or not (offsets[1:] > offsets[:-1]).all():
        return None
    table = np.full(256, UNKNOWN_BAND, dtype=np.uint8)
    for code, band in enumerate(bands):
        table[band.encode()[0]] = code
    return table[np.frombuffer(text, dtype=np.uint8)[offsets[0] : offsets[-1]]]
