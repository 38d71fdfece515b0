"""Row keys: what a catalog knows its rows by, as arrays that Zarr holds exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind

__all__ = ["first_difference", "key_arrays", "keys_digest"]


def key_arrays(table: pa.Table, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the key columns of N rows as arrays, no bit lost.

    Parameters
    ----------
    table : pyarrow.Table, N rows
    names : sequence of str
        Columns of integers, floats or texts.

    Returns
    -------
    dict of str to ndarray
        Integers of shape (N,) in their own type, floats as float64; texts as their UTF-8
        bytes, uint8 of shape (N, W), zero behind the end.

    Raises
    ------
    DataError
        If a key is null, or a column is of another type.
    """
    return {name: _key_array(name, table.column(name)) for name in names}


def _key_array(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        msg = (
            f"key column {name!r} has {column.null_count} nulls: such rows cannot be told apart; mend the catalog"
        )
        raise DataError(msg, kind=ErrorKind.BAD_ROW, column=name)
    types = pa.types
    if types.is_integer(column.type):
        return np.ascontiguousarray(column.to_numpy())
    if types.is_floating(column.type):
        return np.ascontiguousarray(column.to_numpy(), dtype=np.float64)
    if types.is_string(column.type) or types.is_large_string(column.type) or types.is_string_view(column.type):
        return _texts(column)
    msg = f"key column {name!r} is {column.type}; integers, floats and texts can name rows"
    raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, column=name)


def _texts(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    encoded = pc.cast(column, pa.large_binary()).to_pylist()
    width = max((len(text) for text in encoded), default=0) or 1
    return np.array(encoded, dtype=f"S{width}").view(np.uint8).reshape(len(encoded), width)


def keys_digest(keys: Mapping[str, NDArray[Any]]) -> str:
    """Return ``"sha256:…"`` over names, types and values of the keys, in row order."""
    digest = hashlib.sha256()
    for name, values in keys.items():
        digest.update(f"{name}\0{values.dtype.newbyteorder('<').str}\0{values.shape}\0".encode())
        digest.update(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return f"sha256:{digest.hexdigest()}"


def first_difference(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> str:
    """Return where two sets of row keys part, in words; empty if they do not.

    Examples
    --------
    >>> first_difference({"id": np.array([1, 3])}, {"id": np.array([1, 2])})
    'row 1 is id=3 in the store and id=2 in the catalog; 1 of 2 rows differ'
    """
    if set(found) != set(wanted):
        return f"the store knows rows by {', '.join(found)}, the catalog by {', '.join(wanted)}"
    lengths = [len(next(iter(keys.values()), ())) for keys in (found, wanted)]
    if lengths[0] != lengths[1]:
        return f"the store has {lengths[0]} rows and the catalog {lengths[1]}"
    for name, values in wanted.items():
        a, b = _comparable(found[name]), _comparable(values)
        differs = np.flatnonzero(a != b)
        if len(differs):
            row = int(differs[0])
            return (
                f"row {row} is {name}={_shown(a[row])} in the store and {name}={_shown(b[row])} in the catalog; "
                f"{len(differs)} of {len(b)} rows differ"
            )
    return ""


def _comparable(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim == 2:
        return np.ascontiguousarray(values).view(f"S{values.shape[1]}").reshape(-1)
    return values


def _shown(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
