"""Stamps in columns of Parquet: lists, fixed-shape tensors, raw bytes, or whole FITS files in bytes."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.imaging.stamps import clean

__all__ = ["ParquetStamps", "fits_stamp", "parquet_column"]

BATCH_ROWS = 1024
UNPACKED_BYTES = 64 << 20
"""The most that the FITS file of one stamp may have, unpacked: bytes of strangers may unpack to anything."""


class _Where(NamedTuple):
    """Where a batch lies."""

    path: Path
    column: str
    first: int


class ParquetStamps:
    """Stamps in columns of some Parquet files, one column per channel, or one of fixed-shape tensors.

    The rows of a partition are anywhere in the files. So the files are read once, in order,
    into a file without a name, and memory holds only what is looked at.

    Parameters
    ----------
    paths : sequence of Path
    columns : sequence of str
        One per channel; a field of a struct as ``cutoutScience.stampData``.
    shape : sequence of int
        (H, W) of a stamp; tensors say theirs.
    encoding : str
        What binary columns hold: ``"fits"``, a whole FITS file, packed by gzip or not, as in the
        alerts of ZTF; or the values themselves in a numpy type, such as ``"<f4"``.

    Raises
    ------
    SpecError
        If a file lacks a column, nothing says the shape, the encoding is none, or not one stamp
        can be read.
    """

    def __init__(
        self, paths: Sequence[Path], *, columns: Sequence[str], shape: Sequence[int], encoding: str
    ) -> None:
        types = [_types(path, columns) for path in paths]
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        found = types[0]
        if len(found) == 1 and isinstance(found[0], pa.FixedShapeTensorType):
            own = tuple(found[0].shape)
            inner = (1, *own) if len(own) == 2 else own
        elif columns and len(shape) == 2:
            inner = (len(columns), *shape)
        else:
            raise _wrong("name the columns of stamps with --columns and their height and width with --shape H W")
        if len(inner) != 3:
            raise _wrong(f"{paths[0]}: tensors of {columns[0]!r} are {inner}; stamps are (H, W) or (C, H, W)")
        self.shape = (rows, int(inner[0]), int(inner[1]), int(inner[2]))
        self.unreadable, self.first_unreadable = 0, ""
        self._readable = 0
        self._fits = encoding == "fits"
        self._raw = np.dtype(np.float32) if self._fits else _dtype(encoding)
        self._values = self._read(paths, columns)
        if self.unreadable and not self._readable:
            raise _wrong(f"not one stamp can be read; the first: {self.first_unreadable}")

    def take(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return stamps by number."""
        return np.asarray(self._values[at])

    def _read(self, paths: Sequence[Path], columns: Sequence[str]) -> NDArray[np.float32]:
        if not self.shape[0]:
            return np.empty(self.shape, np.float32)
        out: NDArray[np.float32] = np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=self.shape)  # noqa: SIM115
        # One column may be all channels, of tensors; of several, each is one.
        inner = self.shape[1:] if len(columns) == 1 else (1, *self.shape[2:])
        for channel, name in enumerate(columns):
            to = slice(channel, channel + inner[0])
            at = 0
            for path in paths:
                first = at
                for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=[name], use_threads=False):
                    where = _Where(path, name, at - first)
                    out[at : at + batch.num_rows, to] = self._stamps(parquet_column(batch, name), inner, where)
                    at += batch.num_rows
        return out

    def _stamps(self, column: pa.Array, inner: tuple[int, ...], where: _Where) -> NDArray[np.float32]:
        out = np.full((len(column), *inner), np.nan, np.float32)
        storage = column.storage if isinstance(column.type, pa.FixedShapeTensorType) else column
        if _is_binary(storage.type):
            for row, data in enumerate(storage):
                if data.is_valid:
                    try:
                        out[row] = self._decoded(data.as_buffer(), inner)
                    except ValueError as error:
                        self._fault(where, row, str(error))
                    else:
                        self._readable += 1
            return out
        lengths = pc.list_value_length(storage)
        right = pc.fill_null(pc.equal(lengths, int(np.prod(inner))), False).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(~right & storage.is_valid().to_numpy(zero_copy_only=False)).tolist():
            self._fault(where, row, f"{lengths[row].as_py()} values, and {inner} were asked for")
        flat = storage.filter(pa.array(right)).flatten().to_numpy(zero_copy_only=False)
        self._readable += int(right.sum())
        out[right] = clean(flat).reshape(-1, *inner)
        return out

    def _decoded(self, data: pa.Buffer, inner: tuple[int, ...]) -> NDArray[np.float32]:
        if self._fits:
            values = fits_stamp(bytes(data))
        else:
            wanted = self._raw.itemsize * int(np.prod(inner))
            if data.size != wanted:
                msg = f"{data.size} bytes, and {inner} of {self._raw} are {wanted}"
                raise ValueError(msg)
            values = clean(np.frombuffer(data, self._raw).reshape(inner))
        if values.shape != inner[-values.ndim :]:
            msg = f"a stamp of shape {values.shape}, and {inner[-2:]} was asked for"
            raise ValueError(msg)
        return values

    def _fault(self, where: _Where, row: int, why: str) -> None:
        self.unreadable += 1
        said = f"{where.path}, column {where.column!r}, row {where.first + row}: {why}"
        self.first_unreadable = self.first_unreadable or said


def fits_stamp(data: bytes) -> NDArray[np.float32]:
    """Return the first image of a FITS file in bytes, packed by gzip or not.

    Returns
    -------
    ndarray of float32, shape (H, W)
        NaN where there are no data.

    Raises
    ------
    ValueError
        If the bytes hold no image, or unpack to more than 64 MiB.
    """
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyError

    try:
        if data[:2] == b"\x1f\x8b":
            stream = zlib.decompressobj(wbits=31)
            data = stream.decompress(data, UNPACKED_BYTES)
            if not stream.eof:
                raise ValueError("its gzip stream is too large" if stream.unconsumed_tail else "it is cut short")
        if not data.startswith(b"SIMPLE"):
            raise ValueError("no FITS file: it does not begin with SIMPLE")
        with fits.open(BytesIO(data), memmap=False) as hdus:
            image = next((hdu.data for hdu in hdus if hdu.is_image and len(hdu.shape) == 2), None)
    except (OSError, zlib.error, VerifyError, TypeError, KeyError, IndexError, EOFError) as error:
        msg = f"no FITS file: {error}"
        raise ValueError(msg) from error
    if image is None:
        raise ValueError("a FITS file without an image")
    return clean(image)


def parquet_column(batch: pa.RecordBatch | pa.Table, name: str) -> Any:
    """Return a column, or a field of a struct by a dotted name."""
    if name in batch.schema.names:
        return batch.column(name)
    first, *fields = name.split(".")
    return pc.struct_field(batch.column(first), fields)


def _types(path: Path, columns: Sequence[str]) -> list[pa.DataType]:
    schema = pq.read_schema(path)
    found = []
    for name in columns:
        first, *fields = [name] if name in schema.names else name.split(".")
        if first not in schema.names:
            raise _wrong(f"{path} has no column {name!r}; {close_matches(name, schema.names)}")
        kind = schema.field(first).type
        for field in fields:
            if not pa.types.is_struct(kind) or kind.get_field_index(field) < 0:
                raise _wrong(f"{path}: column {first!r} is {kind} and has no field {'.'.join(fields)!r}")
            kind = kind.field(field).type
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not (listed or _is_binary(kind) or isinstance(kind, pa.FixedShapeTensorType)):
            raise _wrong(f"{path}: column {name!r} is {kind}; stamps are lists, tensors or bytes")
        found.append(kind)
    return found


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _dtype(encoding: str) -> np.dtype[Any]:
    try:
        found = np.dtype(encoding)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "iuf":
        raise _wrong(f"bytes hold 'fits' or numbers of a numpy type such as '<f4', got {encoding!r}")
    return found


def _wrong(text: str) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER)
