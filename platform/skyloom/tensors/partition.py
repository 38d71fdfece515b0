"""Slices of a partition, and for every row whether its tensor is whole.

A chunk whose checksum is wrong, or that is not there, costs its rows and nothing else. Zarr
fills what is missing and says nothing; so the index of the shard is asked.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.storage import LocalStore
from skyloom.tensors.layout import Layout, Statement

if TYPE_CHECKING:
    from skyloom.tensors.read import TensorStore

__all__ = ["BROKEN", "CORRUPT", "MISSING", "PartitionTensors", "TensorSlice", "coverage_of"]

WHOLE, MISSING, CORRUPT = 0, 1, 2
"""What `TensorSlice.faults` says of a row."""
BROKEN = (ValueError, RuntimeError)
"""What zarr and its codecs raise on bytes that are not what was written."""
_NOWHERE = np.uint64(2**64 - 1)
"""Offset and length, in the index of a shard, of a chunk that is not there."""
_INDEX_CRC = 4


class TensorSlice(NamedTuple):
    """Some consecutive rows of a partition."""

    values: NDArray[Any]
    """Shape (M, *shape). NaN where there is no data."""
    coverage: NDArray[np.float32]
    """Shape (M, C): fraction of pixels with data. All 0 where the row has no tensor."""
    faults: NDArray[np.uint8]
    """Shape (M,): 0, `MISSING` or `CORRUPT`; a row with a fault has NaN and coverage 0."""
    psf_fwhm_arcsec: NDArray[np.float32]
    """Shape (M, C): width of the point-spread function; NaN where the store does not know it."""


class PartitionTensors:
    """The tensors of one partition."""

    def __init__(self, store: TensorStore, key: str, statement: Statement) -> None:
        self.store, self.key, self.statement = store, key, statement
        self._indexes: dict[int, NDArray[np.uint8]] = {}

    def read(self, start: int, stop: int) -> TensorSlice:
        """Return rows `start` to `stop`.

        Raises
        ------
        DataError
            If the partition has fewer rows, or its arrays another shape than the store says.
        OSError
            If the disk or network failed: try again.
        """
        if not 0 <= start <= stop <= self.statement.rows:
            there = f"{self.store.location}/{self.key} has {self.statement.rows} rows"
            msg = f"{there}; {start} to {stop} were asked for"
            raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=self.key)
        faults = np.zeros(stop - start, np.uint8)
        values = self._values(start, stop, faults)
        coverage = (
            self._coverage[start:stop].copy()
            if self._coverage is not None
            else coverage_of(values, self.store.layout)
        )
        coverage[faults > 0] = 0.0
        return TensorSlice(values, coverage, faults, self._psf[start:stop].copy())

    def copied_to(self, folder: str) -> PartitionTensors:
        """Copy the partition's files into a directory, and return a reader of the copy.

        What is missing or broken is so in the copy, too; errors name the store, not the copy.

        Raises
        ------
        TransientError
            If the store does not answer.
        SpecError
            If a name in the statement leads out of the partition.
        """
        local = LocalStore(folder)
        for name in (f"{self.key}/{file}" for file in ("zarr.json", *self.statement.files)):
            with suppress(NotFoundError):
                data, path = self.store.files.read(name), local.path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return PartitionTensors(replace(self.store, files=local), self.key, self.statement)

    @cached_property
    def _psf(self) -> NDArray[np.float32]:
        shape = (self.statement.rows, self.store.layout.channels)
        if "psf_fwhm_arcsec" not in self.store.layout.extras:
            return np.full(shape, np.nan, np.float32)
        found = np.asarray(self.store.read_extra(self.key, "psf_fwhm_arcsec"))
        if found.shape != shape:
            msg = (
                f"{self.store.location}/{self.key}/psf_fwhm_arcsec has shape {found.shape}, and the store says "
                f"{shape}: remove the partition's group and make it again"
            )
            raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, key=self.key)
        return found

    @cached_property
    def _array(self) -> Any:
        array = self.store.array(self.key, "values")
        layout = self.store.layout
        wanted = ((self.statement.rows, *layout.shape), np.dtype(layout.dtype))
        if (array.shape, array.dtype) != wanted:
            msg = (
                f"{self.store.location}/{self.key}/values is {array.dtype}{array.shape}, and the store says "
                f"{wanted[1]}{wanted[0]}: remove the partition's group and make it again"
            )
            raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, key=self.key)
        return array

    @cached_property
    def _coverage(self) -> NDArray[np.float32] | None:
        """None where it is lost or broken: then it is counted again from the values."""
        try:
            found = self.store.read_extra(self.key, "coverage")
        except DataError:
            return None
        return found if found.shape == (self.statement.rows, self.store.layout.channels) else None

    def _values(self, start: int, stop: int, faults: NDArray[np.uint8]) -> NDArray[Any]:
        chunk = self._array.chunks[0]
        reading = partial(self.store.reading, f"{self.key}/values")
        try:
            with reading():
                values = np.asarray(self._array[start:stop])
        except BROKEN:
            values = np.empty((stop - start, *self.store.layout.shape), self.store.layout.dtype)
            for first in range(start - start % chunk, stop, chunk):
                a, b = max(first, start), min(first + chunk, stop)
                try:
                    with reading():
                        values[a - start : b - start] = self._array[a:b]
                except BROKEN:
                    faults[a - start : b - start] = CORRUPT
                    values[a - start : b - start] = np.nan
        for first in range(start - start % chunk, stop, chunk):
            a, b = max(first, start) - start, min(first + chunk, stop) - start
            if b > a and not faults[a]:
                faults[a:b] = self._fault(first // chunk)
        return values

    def _fault(self, chunk: int) -> int:
        """Return whether a chunk that Zarr gave is in its shard: `WHOLE`, or why not."""
        per_shard = self._array.shards[0] // self._array.chunks[0]
        shard, place = divmod(chunk, per_shard)
        if shard not in self._indexes:
            self._indexes[shard] = self._index(shard, per_shard)
        return int(self._indexes[shard][place])

    def _index(self, shard: int, per_shard: int) -> NDArray[np.uint8]:
        """Return what is wrong with each chunk of a shard, from the index at its end.

        Zarr has checked the index's own checksum when it read the values, unless the file is
        empty: that it takes for a shard without chunks.
        """
        name = f"{self.key}/values/c/{shard}" + "/0" * len(self.store.layout.shape)
        try:
            size = self.store.files.size(name)
        except NotFoundError:
            size = None
        length = 16 * per_shard + _INDEX_CRC
        if size is None or size < length:
            return np.full(per_shard, MISSING if size is None else CORRUPT, np.uint8)
        with self.store.files.open(name) as file:
            file.seek(size - length)
            entries = np.frombuffer(file.read(16 * per_shard), "<u8").reshape(-1, 2)
        return np.where((entries == _NOWHERE).all(axis=1), np.uint8(MISSING), np.uint8(WHOLE))


def coverage_of(values: NDArray[Any], layout: Layout) -> NDArray[np.float32]:
    """Return the fraction of values that can be used: (M, C, ...) in, (M, C) out.

    Those that are finite; of a spectrum with inverse variances, pixels with a flux and a weight
    above 0, the same for all of its channels.
    """
    usable = np.isfinite(values)
    if layout.kind == "spectra" and "ivar" in layout.bands:
        weighted = usable.all(axis=1) & (values[:, layout.bands.index("ivar")] > 0)
        usable = np.broadcast_to(weighted[:, None], values.shape)
    inside = tuple(range(2, values.ndim))
    return np.asarray(usable.mean(axis=inside, dtype=np.float64), dtype=np.float32)
