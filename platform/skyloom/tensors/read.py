"""A store as it is read: its layout, what each partition states, and the arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.storage import LocalStore, Store, canonical_json, open_store, sha256_bytes
from skyloom.tensors.keys import first_difference, keys_digest
from skyloom.tensors.layout import Layout, Statement
from skyloom.tensors.partition import BROKEN, PartitionTensors, TensorSlice

if TYPE_CHECKING:
    from skyloom.storage.objects import ObjectStore

__all__ = [
    "SLICE_BYTES",
    "Cutouts",
    "Spectra",
    "TensorStore",
    "open_tensors",
]

SLICE_BYTES = 20_000_000
"""About what is read at once: a shard read whole was measured to be four times slower."""
TILE_ROWS = 64
"""Networks compute as many rows at once, or a divisor of it, and fill up what is fewer: slices of 225 rows were
seen to cost a seventh more than slices of 192."""
TILE_BYTES = 64_000_000
"""Tiles that are larger are not waited for."""


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
        """Return how many rows to read at once, of about `bytes_`: whole tiles, or whole chunks of large rows."""
        tile, chunk = (rows * self.layout.row_bytes for rows in (TILE_ROWS, self.layout.chunk_rows))
        if tile <= TILE_BYTES:
            return TILE_ROWS * max(1, bytes_ // tile)
        return self.layout.chunk_rows * max(1, bytes_ // chunk)

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
        except (FileNotFoundError, NotFoundError, KeyError, TypeError, *BROKEN) as error:
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
        except BROKEN as error:
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
