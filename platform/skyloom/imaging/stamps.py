"""Stamps that somebody else cut, in .npy, FITS or Parquet: memory holds only what is looked at."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["FitsCube", "Stamps", "open_stamps"]

FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fz")


class Stamps(Protocol):
    """N stamps of one shape."""

    shape: tuple[int, int, int, int]
    """(N, C, H, W)."""
    unreadable: int
    """How many could not be read; those are NaN."""
    first_unreadable: str
    """Why the first of them could not."""

    def take(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return stamps by number, in any order: shape (len(at), C, H, W), NaN where there are no data."""
        ...


def open_stamps(
    paths: Sequence[Path], *, columns: Sequence[str] = (), shape: Sequence[int] = (), encoding: str = "fits"
) -> Stamps:
    """Open stamps.

    Parameters
    ----------
    paths : sequence of path-like
        One ``.npy`` or FITS file of shape (N, H, W) or (N, C, H, W), or several Parquet files.
    columns, shape, encoding
        Of Parquet; see `skyloom.imaging.parquet_stamps.ParquetStamps`.

    Raises
    ------
    SpecError
        If the files are of another kind or shape, or nothing says which columns are stamps.
    DataError
        If a file is broken.
    """
    path = paths[0]
    if path.suffix == ".parquet":
        from skyloom.imaging.parquet_stamps import ParquetStamps

        return ParquetStamps(paths, columns=columns, shape=shape, encoding=encoding)
    if len(paths) > 1:
        raise _wrong(f"{len(paths)} files match, and only Parquet files make one import; name one of {path}, ...")
    if path.suffix == ".npy":
        return NpyStamps(path)
    if path.name.lower().endswith(FITS_ENDINGS):
        return FitsCube(path)
    raise _wrong(f"{path}: stamps come from .npy, FITS or .parquet")


class NpyStamps:
    """Stamps in an array file, which is mapped, not read."""

    def __init__(self, path: Path) -> None:
        try:
            self._array = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            msg = f"{path} is no array that can be read: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error
        self.shape = four(self._array.shape, path)
        self.unreadable, self.first_unreadable = 0, ""

    def take(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return stamps by number."""
        return clean(self._array[at]).reshape(len(at), *self.shape[1:])


class FitsCube:
    """Stamps in the first HDU of three or four dimensions, of which only those asked for are read.

    A compressed HDU is unpacked tile by tile; a gzip file once, into a temporary one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unreadable, self.first_unreadable = 0, ""
        try:
            self._file = _opened(path)
            self._hdu: Any = next((hdu for hdu in self._file if hdu.is_image and len(hdu.shape) >= 3), None)
        except (OSError, EOFError, zlib.error) as error:
            msg = f"{path} cannot be read as FITS: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error
        if self._hdu is None:
            raise _wrong(f"{path} has no HDU of shape (N, H, W) or (N, C, H, W)")
        self.shape = four(self._hdu.shape, path)

    def take(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return stamps by number; neighbours in the file are read together."""
        at = np.asarray(at)
        out = np.empty((len(at), *self.shape[1:]), np.float32)
        order = np.argsort(at, kind="stable")
        wanted = at[order]
        for run in np.split(np.arange(len(at)), np.flatnonzero(np.diff(wanted) > 1) + 1):
            if len(run):
                first, last = int(wanted[run[0]]), int(wanted[run[-1]]) + 1
                out[order[run]] = self._section(first, last)[wanted[run] - first]
        return out

    def _section(self, first: int, last: int) -> NDArray[np.float32]:
        try:
            return clean(self._hdu.section[first:last]).reshape(last - first, *self.shape[1:])
        except (OSError, TypeError, ValueError) as error:
            msg = f"{self._path}: stamps {first} to {last} cannot be read: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(self._path)) from error


def _opened(path: Path) -> Any:
    """Open a FITS file so that parts of it can be read."""
    from astropy.io import fits

    # Mapped, scaled integers cannot be read; not mapped, a section reads no more than itself.
    if not path.name.lower().endswith(".gz"):
        return fits.open(path, memmap=False)
    # The name goes when the block ends, the file with the last of those that read it.
    with gzip.open(path) as packed, tempfile.NamedTemporaryFile(suffix=".fits") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
        plain.flush()
        return fits.open(plain.name, memmap=False, lazy_load_hdus=False)


def four(shape: Sequence[int], where: object) -> tuple[int, int, int, int]:
    """Return (N, C, H, W) of a shape (N, H, W) or (N, C, H, W).

    Raises
    ------
    SpecError
        If it is neither.
    """
    if len(shape) not in {3, 4}:
        raise _wrong(f"{where} has shape {tuple(shape)}; stamps are (N, H, W) or (N, C, H, W)")
    n, *inner = (int(length) for length in shape)
    channels, height, width = inner if len(inner) == 3 else (1, *inner)
    return n, channels, height, width


def clean(data: Any) -> NDArray[np.float32]:
    """Return an array as float32, NaN where it has no data."""
    with np.errstate(over="ignore"):
        values = np.array(np.ma.getdata(data), np.float32)
    values[np.ma.getmaskarray(data) | ~np.isfinite(values)] = np.nan
    return values


def _wrong(text: str) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER)
