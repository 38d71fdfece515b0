"""Read a store: slices of a partition, and for every row whether its tensor is whole.

A chunk whose checksum is wrong, or that is not there, costs its rows and nothing else. Zarr
fills what is missing and says nothing; so the index of the shard is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.storage import LocalStore, Store, canonical_json, open_store, sha256_bytes
from skyloom.tensors.keys import first_difference, keys_digest
from skyloom.tensors.layout import Layout, Statement

if TYPE_CHECKING:
    from skyloom.storage.objects import ObjectStore

__all__ = [
    "CORRUPT",
    "MISSING",
    "SLICE_BYTES",
    "Cutouts",
    "Spectra",
    "TensorSlice",
    "TensorStore",
    "coverage_of",
    "open_tensors",
]

WHOLE, MISSING, CORRUPT = 0, 1, 2
"""What `TensorSlice.faults` says of a row."""
SLICE_BYTES = 20_000_000
"""About what is read at once: a shard read whole was measured to be four times slower."""
_BROKEN = (ValueError, RuntimeError)
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


@dataclass(frozen=True)
class TensorStore:
    """A store; nothing but its root is read until it is asked for."""

    location: str
    layout: Layout
    files: Store = field(repr=False, compare=False)

    def statement(self, key: str) -> Statement:
        """Return what a partition holds.

        Raises
        ------
        NotFoundError
            NOT_FINISHED if the partition is not there.
        DataError
            If its metadata are broken.
        """
        name = f"{key}/zarr.json"
        try:
            return Statement.from_json(self.files.read(name), where=self.files.location(name))
        except NotFoundError:
            msg = (
                f"store {self.location} has no partition {key}; the command that makes it takes up what is missing"
            )
            raise NotFoundError(msg, kind=ErrorKind.NOT_FINISHED, key=key) from None

    def statements(self, keys: Iterable[str]) -> dict[str, Statement]:
        """Return the statements of those of `keys` that are finished."""
        names = {f"{key}/zarr.json": key for key in keys}
        return {
            names[name]: Statement.from_json(data, where=self.files.location(name))
            for name, data in self.files.read_present(names)
        }

    def digest(self, statements: Mapping[str, Statement]) -> str:
        """Return ``"sha256:…"`` over the layout and every partition: what a job's identity holds."""
        held = {key: statement.digest for key, statement in statements.items()}
        return sha256_bytes(self.layout.to_json() + canonical_json(held))

    def check_keys(self, key: str, keys: Mapping[str, NDArray[Any]]) -> Statement:
        """Refuse a partition whose rows are not those of the catalog; return its statement.

        Parameters
        ----------
        key : str
        keys : mapping of str to ndarray
            As `skyloom.tensors.key_arrays` makes them of the catalog's partition.

        Raises
        ------
        DataError
            ROW_ORDER, naming partition, row and both keys.
        """
        statement = self.statement(key)
        if statement.keys != keys_digest(keys):
            difference = first_difference(self.read_keys(key), keys) or "the order or the type of a key differs"
            msg = f"store {self.location}, partition {key}: {difference}. Make the store again for this catalog"
            raise DataError(msg, kind=ErrorKind.ROW_ORDER, key=key, store=self.location)
        return statement

    def read_keys(self, key: str) -> dict[str, NDArray[Any]]:
        """Return the row keys as the store has them; `DataError` if their bytes are broken."""
        return {name: self._read_small(key, f"keys/{name}") for name in self.layout.keys}

    def slice_rows(self, bytes_: int = SLICE_BYTES) -> int:
        """Return how many rows to read at once: whole chunks, about `bytes_`."""
        chunk = self.layout.chunk_rows
        return chunk * max(1, bytes_ // (chunk * self.layout.row_bytes))

    def read(self, key: str, start: int, stop: int) -> TensorSlice:
        """Return rows `start` to `stop` of a partition; see `open_partition` for more than one read."""
        return self.open_partition(key).read(start, stop)

    def open_partition(self, key: str, statement: Statement | None = None) -> PartitionTensors:
        """Return a reader of one partition, which remembers what it has looked up."""
        return PartitionTensors(self, key, statement or self.statement(key))

    def read_extra(self, key: str, name: str) -> NDArray[Any]:
        """Return the whole of an array beside the values, such as ``"psf_fwhm_arcsec"``."""
        return self._read_small(key, name)

    def array(self, key: str, name: str) -> Any:
        """Return a Zarr array of a partition.

        Raises
        ------
        DataError
            If its metadata are missing or broken.
        """
        import zarr

        where, place = f"{self.location}/{key}/{name}", f"{key}/{name}"
        inside = place if isinstance(self.files, LocalStore) else cast("ObjectStore", self.files).key(place)
        try:
            with self.reading(place):
                return zarr.open_array(self._zarr, path=inside, mode="r")
        except (FileNotFoundError, NotFoundError, KeyError, TypeError, *_BROKEN) as error:
            found = f"{type(error).__name__}: {error}"
            msg = f"{where} has no readable Zarr metadata ({found}); make the partition again"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, key=key, file=where) from error

    def _read_small(self, key: str, name: str) -> NDArray[Any]:
        array = self.array(key, name)
        chunk = f"{key}/{name}/c" + "/0" * array.ndim
        # Zarr would give zeros for a chunk that is gone.
        if array.size and not self.files.exists(chunk):
            msg = f"{self.files.location(chunk)} is missing. Remove the partition's group and make it again"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, key=key)
        try:
            with self.reading(f"{key}/{name}"):
                return np.asarray(array[...])
        except _BROKEN as error:
            msg = (
                f"{self.location}/{key}/{name} is corrupt: {error}. Remove the partition's group and make it again"
            )
            raise DataError(msg, kind=ErrorKind.BAD_FILE, key=key) from error

    @cached_property
    def _zarr(self) -> Any:
        if isinstance(self.files, LocalStore):
            from zarr.storage import LocalStore as OnDisk

            return OnDisk(self.files.root, read_only=True)
        from zarr.storage import ObjectStore as OnObjects

        # The client that all else is read with: its endpoint, keys, patience and retries.
        return OnObjects(cast("ObjectStore", self.files).requests.reader, read_only=True)

    def reading(self, name: str) -> AbstractContextManager[None]:
        """Return a context in which Zarr reads below `name`: a network that fails is not a broken chunk."""
        return (
            nullcontext() if isinstance(self.files, LocalStore) else cast("ObjectStore", self.files).reading(name)
        )


class Cutouts(TensorStore):
    """Images: one row is (C, H, W)."""


class Spectra(TensorStore):
    """Spectra: one row is (C, L), on one grid of wavelengths."""

    @property
    def wavelength(self) -> NDArray[np.float64]:
        """The grid in Angstrom, shape (L,); pixel numbers where the store does not state it."""
        grid = self.layout.grid
        return np.arange(self.layout.shape[-1], dtype=np.float64) if grid is None else grid.wavelengths()


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
        except _BROKEN:
            values = np.empty((stop - start, *self.store.layout.shape), self.store.layout.dtype)
            for first in range(start - start % chunk, stop, chunk):
                a, b = max(first, start), min(first + chunk, stop)
                try:
                    with reading():
                        values[a - start : b - start] = self._array[a:b]
                except _BROKEN:
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


def open_tensors(location: str | Path) -> TensorStore:
    """Open a store: `Cutouts` or `Spectra`, as it says of itself.

    Parameters
    ----------
    location : str or Path
        A directory, or a URL (``s3://…``).

    Raises
    ------
    NotFoundError
        If nothing is there.
    DataError
        If it is no tensor store.
    """
    files = open_store(location)
    try:
        data = files.read("zarr.json")
    except NotFoundError:
        msg = (
            f"there is no tensor store at {files.root}. Make one with `skyloom cutouts make` or `skyloom spectra "
            "make`, or correct the path in [input.tensors]"
        )
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, store=files.root) from None
    layout = Layout.from_json(data, where=files.location("zarr.json"))
    return (Spectra if layout.kind == "spectra" else Cutouts)(files.root, layout, files)
