"""Write a store: one partition at a time, whole or not at all.

A partition is written below a temporary name, every file synced, its statement last; then
the directory gets its name in one step, which fails if another writer was first.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind
from skyloom.storage import LocalStore, check_name
from skyloom.storage.files import failpoint
from skyloom.storage.store import TEMPORARY, translated
from skyloom.tensors.keys import keys_digest
from skyloom.tensors.layout import CODECS, Layout, Statement, group_json
from skyloom.tensors.partition import coverage_of

__all__ = ["PartitionWriter"]


class PartitionWriter:
    """One partition on its way into a store; unseen until `commit`, gone if it is never called.

    Parameters
    ----------
    store : LocalStore
        As `create_store` returned it.
    layout : Layout
    key : str
        The partition's path, such as ``"Norder=3/Dir=0/Npix=512"``.
    keys : mapping of str to ndarray
        As `key_arrays` returns them: which rows the partition has, in their order.

    Examples
    --------
    >>> with PartitionWriter(store, layout, key, keys) as writer:  # doctest: +SKIP
    ...     writer.append(values, psf_fwhm_arcsec=widths)
    ...     writer.commit()
    """

    def __init__(self, store: LocalStore, layout: Layout, key: str, keys: Mapping[str, NDArray[Any]]) -> None:
        from zarr.storage import LocalStore as ZarrStore

        self.store, self.layout, self.key, self.keys = store, layout, key, dict(keys)
        self.rows = len(next(iter(keys.values())))
        self._at = 0
        self._saved = 0
        self._folder = Path(store.root) / f"{TEMPORARY}{uuid.uuid4().hex}"
        self._zarr = ZarrStore(self._folder)
        self._buffer = np.empty((min(layout.shard_rows, self.rows), *layout.shape), layout.dtype)
        self._mask = np.zeros(self._buffer.shape, np.uint8) if "mask" in layout.extras else None
        self._coverage = np.zeros((self.rows, layout.channels), np.float32)
        self._psf = np.full((self.rows, layout.channels), np.nan, np.float32)
        with translated(str(self._folder)):
            self._folder.mkdir()
            self._values = self._array("values", self._shape(), layout.dtype, fill=np.nan)
            if self._mask is not None:
                self._masks = self._array("mask", self._shape(), "uint8", fill=0)

    def append(
        self,
        values: NDArray[Any],
        *,
        mask: NDArray[np.uint8] | None = None,
        psf_fwhm_arcsec: NDArray[np.float32] | None = None,
    ) -> None:
        """Add the tensors of the next rows.

        Parameters
        ----------
        values : ndarray, shape (M, *shape)
            NaN where there is no data; infinities become NaN. A row of NaN alone has no tensor.
        mask : ndarray of uint8, shape (M, *shape), optional
        psf_fwhm_arcsec : ndarray, shape (M, C), optional

        Raises
        ------
        DataError
            If they have another shape, are more than the partition has rows, or a value is
            too large for the store's type.
        StoreFullError
            If the disk is full; nothing of the partition is visible, what is finished stays.
        """
        if values.shape[1:] != self.layout.shape:
            found = f"tensors of shape {values.shape[1:]}"
            msg = f"partition {self.key}: {found} do not go into a store of {self.layout.shape}"
            raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, key=self.key)
        if self._at + len(values) > self.rows:
            msg = f"partition {self.key} has {self.rows} rows and was given {self._at + len(values)} tensors"
            raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=self.key)
        done = 0
        while done < len(values):
            into = self._at - self._saved
            count = min(len(values) - done, len(self._buffer) - into)
            piece = self._fitting(values[done : done + count])
            self._buffer[into : into + count] = piece
            self._coverage[self._at : self._at + count] = coverage_of(piece, self.layout)
            if self._mask is not None:
                self._mask[into : into + count] = 0 if mask is None else mask[done : done + count]
            if psf_fwhm_arcsec is not None:
                self._psf[self._at : self._at + count] = psf_fwhm_arcsec[done : done + count]
            self._at += count
            done += count
            if into + count == len(self._buffer):
                self._save()

    def commit(self) -> Statement:
        """Make the partition visible, durably.

        Raises
        ------
        DataError
            If rows are missing.
        StoreFullError, TransientError
            If the file system failed.
        """
        if self._at != self.rows:
            msg = f"partition {self.key} has {self.rows} rows and was given {self._at} tensors"
            raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=self.key)
        where = self.store.location(self.key)
        with translated(where):
            self._save()
            self._small("coverage", self._coverage)
            if "psf_fwhm_arcsec" in self.layout.extras:
                self._small("psf_fwhm_arcsec", self._psf)
            for name, values in self.keys.items():
                self._small(f"keys/{check_name(name, what='column')}", values)
            statement = Statement(
                rows=self.rows,
                keys=keys_digest(self.keys),
                chunks=-(-self.rows // self.layout.chunk_rows),
                files=self._synced(),
            )
            failpoint("before-statement")
            # Zarr made the group's own metadata; the statement takes its place, last of all.
            self._sync_file("zarr.json", statement.to_json())
            for folder, _, _ in os.walk(self._folder):
                self.store.files.sync_directory(Path(folder))
        parent, _, _ = self.key.rpartition("/")
        self.store.make_directories([parent])
        parts = parent.split("/")
        for depth in range(1, len(parts) + 1):
            self.store.put_if_absent(f"{'/'.join(parts[:depth])}/zarr.json", group_json({}))
        with translated(where):
            self._publish(Path(where))
        return statement

    def _publish(self, target: Path) -> None:
        failpoint("before-move")
        try:
            self.store.files.move_directory(self._folder, target)
        except OSError:
            if not (target / "zarr.json").exists():
                raise
            # Another writer of the same request was first: its bytes are as good.
            shutil.rmtree(self._folder, ignore_errors=True)
        failpoint("after-move")
        self.store.files.sync_directory(target.parent)

    def _fitting(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values in the store's type, NaN where they are not finite."""
        finite = np.isfinite(values)
        with np.errstate(over="ignore"):
            cast = np.where(finite, values, np.nan).astype(self.layout.dtype)
        if not np.array_equal(np.isfinite(cast), finite):
            largest = float(np.abs(values[finite]).max())
            msg = (
                f"partition {self.key}: a value of {largest:g} does not fit into {self.layout.dtype}; say --dtype "
                "float32, or choose a unit in which values are nearer to 1"
            )
            raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, key=self.key)
        return cast

    def _shape(self) -> tuple[int, ...]:
        return (self.rows, *self.layout.shape)

    def _save(self) -> None:
        if self._at > self._saved:
            count = self._at - self._saved
            with translated(str(self._folder)):
                self._values[self._saved : self._at] = self._buffer[:count]
                if self._mask is not None:
                    self._masks[self._saved : self._at] = self._mask[:count]
            self._saved = self._at
            failpoint("after-shard")

    def _array(self, name: str, shape: tuple[int, ...], dtype: str, *, fill: float) -> Any:
        import zarr
        from zarr.codecs import Crc32cCodec

        # A partition smaller than a shard gets a shard of its own size: no padding in memory.
        chunk = min(self.layout.chunk_rows, max(1, self.rows))
        shard = min(self.layout.shard_rows, chunk * max(1, -(-self.rows // chunk)))
        return zarr.create_array(
            self._zarr,
            name=name,
            shape=shape,
            chunks=(chunk, *shape[1:]),
            shards=(shard, *shape[1:]),
            dtype=dtype,
            fill_value=fill,
            compressors=[*CODECS[self.layout.codec](), Crc32cCodec()],
            # All chunks are there, also empty ones: so a chunk that is not there was lost.
            config={"write_empty_chunks": True},
        )

    def _small(self, name: str, values: NDArray[Any]) -> None:
        """Write an array of a few bytes a row, in one chunk."""
        import zarr
        from zarr.codecs import Crc32cCodec, ZstdCodec

        array = zarr.create_array(
            self._zarr,
            name=name,
            shape=values.shape,
            chunks=tuple(max(1, length) for length in values.shape),
            dtype=values.dtype,
            fill_value=0,
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
            config={"write_empty_chunks": True},
        )
        if values.size:
            array[...] = values

    def _synced(self) -> dict[str, tuple[int, str]]:
        """Sync all files, and return size and digest of each."""
        found = {}
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if path.is_file() and name != "zarr.json":
                found[name] = digest_file(path, sync=True)
        return found

    def _sync_file(self, name: str, data: bytes) -> None:
        path = self._folder / name
        path.unlink(missing_ok=True)
        file = self.store.files.create(path)
        try:
            file.write(data)
            self.store.files.sync(file)
        finally:
            self.store.files.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def digest_file(path: Path, *, sync: bool = False) -> tuple[int, str]:
    """Return bytes and xxh3-128 of a file, read in pieces."""
    digest = xxhash.xxh3_128()
    size = 0
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        while piece := file.read(1 << 22):
            digest.update(piece)
            size += len(piece)
    return size, f"xxh3:{digest.hexdigest()}"
