"""Rows made up from the columns and tensors that a system reads: plausible, and spoilt on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.runtime.contract import System
from skyloom.runtime.tensors import tensor_column

__all__ = ["example_rows", "filled"]


def example_rows(system: System, config: Any, n: int, *, seed: int = 0) -> pa.RecordBatch:
    """Make N rows of the columns that a system reads: plausible in type, with a null here and there.

    A system that needs more than that has ``examples(config, n, seed=...)``, which makes them. Otherwise nested
    columns are light curves of 20 to 40 points; the second row's is empty. Tensors are round
    sources on noise: of the first row there is none, the second has a pixel without data.
    """
    if hasattr(system, "examples"):
        made: pa.RecordBatch = system.examples(config, n, seed=seed)
        return made
    rng = np.random.default_rng(seed)
    reads = system.reads(config)
    plain = {column.name: _plain(column, n, rng) for column in reads if not column.child}
    for parent in dict.fromkeys(column.parent for column in reads if column.child):
        length = rng.integers(20, 41, n)
        length[1:2] = 0
        fields = [column for column in reads if column.child and column.parent == parent]
        bands = tuple(getattr(config, "bands", ("r",)))
        lists = [_list(column, length, bands, rng) for column in fields]
        plain[parent] = pa.StructArray.from_arrays(lists, names=[column.child for column in fields])
    for tensor in system.tensors(config) if hasattr(system, "tensors") else ():
        values, valid = _sources(tensor.shape, n, rng)
        plain[tensor.name] = tensor_column(values, valid)
        share = np.isfinite(values).reshape(n, -1).mean(axis=1) if n else np.empty(0)
        plain[f"{tensor.name}_coverage"] = pa.array(np.where(valid, share, 0.0).astype(np.float32))
        if tensor.grid is None:  # a cutout: widths in arcsec, as its store knows them, or does not
            widths = np.where(rng.random((n, tensor.shape[0])) < 0.1, np.nan, 1.2).astype(np.float32)
            plain[f"{tensor.name}_psf_fwhm"] = tensor_column(widths)
    return pa.RecordBatch.from_arrays(list(plain.values()), names=list(plain))


def _sources(
    shape: tuple[int, ...], n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return tensors (n, *shape) that are brightest in the middle, and which rows have one."""
    away = sum(axis**2 for axis in np.ogrid[tuple(slice(-(k - 1) / 2, k / 2) for k in shape[1:])])
    width, height = rng.uniform(1.5, 4.0, n), rng.uniform(50.0, 500.0, n)
    spread = (slice(None), *(None for _ in shape))
    values = height[spread] * np.exp(-np.sqrt(away)[None, None] / width[spread]) + rng.normal(0, 1, (n, *shape))
    values[1:2, ..., :1] = np.nan
    return np.asarray(values, dtype=np.float32), np.arange(n) > 0


def _plain(column: Column, n: int, rng: np.random.Generator) -> pa.Array:
    values = np.abs(rng.normal(10.0, 5.0, n))
    mask = rng.random(n) < 0.05
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return pa.array(values, mask=mask).cast(column.type, safe=False)
    return pa.nulls(n, column.type)


def _list(column: Column, length: NDArray[np.int64], bands: tuple[str, ...], rng: np.random.Generator) -> pa.Array:
    offsets = pa.array(np.concatenate(([0], np.cumsum(length))), type=pa.int32())
    total = int(length.sum())
    if column.child == "band":
        return pa.ListArray.from_arrays(offsets, pa.array(rng.choice(bands, total)))
    if column.child == "mjd":
        values = np.sort(rng.uniform(60_000.0, 60_300.0, total))  # ascends within each row, too
    elif column.child.endswith("_err"):
        values = rng.uniform(1.0, 5.0, total)
    else:
        values = rng.normal(50.0, 20.0, total)
    return pa.ListArray.from_arrays(offsets, pa.array(values).cast(column.type.value_type))


def filled(rows: pa.RecordBatch, value: float) -> pa.RecordBatch:
    """Return rows with every floating number, in lists and tensors too, set to one value; nulls stay."""
    arrays = [_filled(column, value) for column in rows.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def _filled(array: pa.Array, value: float) -> pa.Array:
    dtype = array.type
    if isinstance(dtype, pa.FixedShapeTensorType):
        return pa.ExtensionArray.from_storage(dtype, _filled(array.storage, value))
    mask = array.is_null() if array.null_count else None
    if pa.types.is_struct(dtype):
        children = [_filled(child, value) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(dtype), mask=mask)
    if pa.types.is_fixed_size_list(dtype):
        flat = _filled(array.values.slice(array.offset * dtype.list_size, len(array) * dtype.list_size), value)
        return pa.FixedSizeListArray.from_arrays(flat, dtype.list_size, mask=mask)
    if pa.types.is_list(dtype) and pa.types.is_floating(dtype.value_type):
        offsets = pa.array(
            np.concatenate(([0], np.cumsum(pc.fill_null(pc.list_value_length(array), 0)))), pa.int32()
        )
        return pa.ListArray.from_arrays(offsets, _filled(array.flatten(), value), mask=mask)
    if not pa.types.is_floating(dtype):
        return array
    return pc.if_else(array.is_valid(), pa.scalar(value, dtype), pa.scalar(None, dtype))
