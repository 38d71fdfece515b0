"""Images and spectra among the columns of a batch of rows: one fixed-shape tensor per row.

They travel as Arrow's own ``fixed_shape_tensor`` columns, so that slicing a batch, halving it
after an error and digesting one row work as for any other column, and the memory that Zarr
filled reaches the model without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.spectra.grid import Grid

__all__ = ["TensorInput", "tensor_column", "tensor_values"]


@dataclass(frozen=True, slots=True)
class TensorInput:
    """One tensor per row that a system reads: what `System.tensors` lists."""

    name: str
    """Name of the column in the rows, such as ``"cutout"``."""
    shape: tuple[int, ...]
    """Of one row: ``(C, H, W)`` of a cutout, ``(C, L)`` of a spectrum."""
    unit: str = ""
    """IVOA/astropy unit of the values, of a spectrum's flux; ``"*"`` for any."""
    description: str = ""
    bands: tuple[str, ...] = ()
    """Passbands along the first axis, ``("flux", "ivar")`` of a spectrum; empty where any will do."""
    pixel_arcsec: float | None = None
    """Pixel scale that the system was trained for; None for any."""
    grid: Grid | None = None
    """Wavelengths of a spectrum; None for any."""

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            msg = f"tensor {self.name!r} needs a shape of positive lengths, got {self.shape}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, tensor=self.name)
        if self.bands and len(self.bands) != self.shape[0]:
            msg = f"tensor {self.name!r} has {self.shape[0]} channels and {len(self.bands)} bands: {self.bands}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, tensor=self.name)
        if self.grid is not None and self.grid.pixels != self.shape[-1]:
            msg = f"tensor {self.name!r} has {self.shape[-1]} pixels, and its grid {self.grid.pixels}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, tensor=self.name)


def tensor_column(values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return an array (N, ...) as a column of N tensors, without a copy.

    Parameters
    ----------
    values : ndarray, shape (N, ...)
        C-contiguous, of a floating or integer type.
    valid : ndarray of bool, shape (N,), optional
        Rows that have a tensor; the others are null. Default: all.
    """
    shape = values.shape[1:]
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    mask = None if valid is None or valid.all() else pa.array(~valid)
    storage = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape)), mask=mask)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(flat.type, shape), storage)


def tensor_values(rows: pa.RecordBatch, name: str, shape: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a tensor column as an array, and which rows have one.

    Returns
    -------
    values : ndarray, shape (N, *shape)
        Read-only, a view of the column's memory; what lies in rows without a tensor has no meaning.
    valid : ndarray of bool, shape (N,)

    Raises
    ------
    DataError
        If there is no such column, or its tensors have another shape.
    """
    column = rows.column(name) if name in rows.schema.names else None
    if column is None or not isinstance(column.type, pa.FixedShapeTensorType):
        msg = f"the rows have no tensors {name!r}; the job names their store in [input.tensors]"
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, tensor=name)
    if tuple(column.type.shape) != tuple(shape):
        msg = f"tensors {name!r} have shape {tuple(column.type.shape)}; the model reads {tuple(shape)}"
        raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, tensor=name)
    storage = column.storage
    size = storage.type.list_size
    flat = storage.values.slice(storage.offset * size, len(storage) * size)
    if flat.null_count:  # a column made of nulls has no values, either
        flat = flat.fill_null(0)
    values = flat.to_numpy(zero_copy_only=True).reshape(len(storage), *shape)
    return values, np.asarray(storage.is_valid())
