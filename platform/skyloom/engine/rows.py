"""Digests over Arrow values that do not depend on how the values are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["rows_digest"]


def rows_digest(table: pa.Table, columns: Sequence[str]) -> str:
    """Return a digest over the values of `columns`, in row order.

    Chunks, offsets, dictionary encoding and whatever lies under a null do not change it;
    every value, null, type, name and their order do.

    Parameters
    ----------
    table : pyarrow.Table, N rows
    columns : sequence of str
        Names of columns; nested ones are digested with all their fields.

    Returns
    -------
    str
        ``"sha256:<64 hex digits>"``.
    """
    digest = hashlib.sha256()
    for name in columns:
        column = table.column(name)
        digest.update(f"{name}\0{_plain(column.type)}\0{len(column)}\0".encode())
        _update(digest, column.combine_chunks())
    return f"sha256:{digest.hexdigest()}"


def _plain(dtype: pa.DataType) -> str:
    return str(dtype.value_type if pa.types.is_dictionary(dtype) else dtype)


def _update(digest: Any, array: pa.Array) -> None:
    """Add an array: which values there are, how long each is, then the values."""
    dtype = array.type
    if pa.types.is_dictionary(dtype):
        _update(digest, array.dictionary_decode())
    elif pa.types.is_struct(dtype):
        digest.update(_valid(array))
        for child in array.flatten():
            _update(digest, child)
    elif _is_list(dtype):
        digest.update(_valid(array))
        digest.update(_fixed(pc.list_value_length(array), np.int64))
        _update(digest, array.flatten())
    elif pa.types.is_binary(dtype) or pa.types.is_string(dtype) or _is_large(dtype):
        _update_texts(digest, array)
    else:
        digest.update(_valid(array))
        digest.update(_values(array))


def _update_texts(digest: Any, array: pa.Array) -> None:
    digest.update(_valid(array))
    digest.update(_fixed(pc.binary_length(array), np.int64))
    texts = pc.fill_null(array.cast(pa.large_binary()), b"")
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if texts.buffers()[2] is not None:
        digest.update(memoryview(texts.buffers()[2])[offsets[0] : offsets[-1]])


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))


def _is_large(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(dtype) or pa.types.is_large_binary(dtype))


def _valid(array: pa.Array) -> bytes:
    valid: bytes = np.asarray(array.is_valid()).tobytes()
    return valid


def _fixed(array: pa.Array, dtype: type) -> bytes:
    values: bytes = pc.fill_null(array, 0).to_numpy(zero_copy_only=False).astype(dtype).tobytes()
    return values


def _values(array: pa.Array) -> bytes:
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_temporal(array.type):
        array = array.cast(pa.int64() if array.type.bit_width == 64 else pa.int32())
    elif pa.types.is_null(array.type):
        return b""
    values: bytes = pc.fill_null(array, 0).to_numpy(zero_copy_only=False).tobytes()
    return values
