"""Parquet files of a catalog, local or remote: their size, their footer, their bytes.

A footer is read once, as bytes: its digest tells whether a file is still the one that was
planned on, and parsing it gives rows and schema without a second request.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.frame import states
from skyloom.catalog.remote import storage_options
from skyloom.errors import DataError, ErrorKind

__all__ = ["Footer", "join", "local_path", "open_source", "parquet_errors", "read_footer"]

_TAIL_BYTES = 64 * 1024
"""Read at first of a remote file: most footers are whole in it, and a request costs more than it."""
_LOCAL_TAIL_BYTES = 8 * 1024
"""Read at first of a local one, where reading once more costs less than bytes that nobody needs."""
_MAGIC = b"PAR1"
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


def local_path(location: str) -> Path | None:
    """Return the local path that `location` names, or None for a remote URL.

    Examples
    --------
    >>> str(local_path("file:///data/gaia"))
    '/data/gaia'
    >>> local_path("s3://bucket/gaia") is None
    True
    """
    text = _local_text(location)
    return None if text is None else Path(text)


def _local_text(location: str) -> str | None:
    if location.startswith("file:"):
        return unquote(urlsplit(location).path)
    return None if "://" in location and _SCHEME.match(location) else location


def join(root: str, relative: str) -> str:
    """Return the location of a file inside `root`, a path or a URL.

    Examples
    --------
    >>> join("s3://bucket/gaia/", "dataset/_common_metadata")
    's3://bucket/gaia/dataset/_common_metadata'
    """
    return f"{root.rstrip('/')}/{relative}"


def open_source(location: str) -> Any:
    """Open a file for reading: an Arrow file where it is local, an fsspec one elsewhere."""
    path = local_path(location)
    if path is not None:
        return pa.OSFile(str(path), "rb")
    import fsspec

    return fsspec.open(location, "rb", **storage_options(location)).open()


@dataclass(frozen=True, slots=True)
class Footer:
    """The end of a Parquet file, and how long the file is."""

    location: str
    tail: bytes
    """The footer, its length and the magic, as they lie at the end of the file."""
    size: int
    """Bytes of the whole file."""

    def metadata(self) -> pq.FileMetaData:
        """Parse the footer.

        Raises
        ------
        DataError
            BAD_FILE if the footer is not readable.
        """
        with parquet_errors(self.location):
            return pq.read_metadata(pa.BufferReader(self.tail))

    def states(self, rows: int, texts: Mapping[str, str]) -> bool:
        """Say whether the footer has so many rows and these texts, by its bytes alone; False if in doubt.

        Parsing it takes twenty times as long.
        """
        return states(self.tail, rows, texts)

    def digest_into(self, sha: hashlib._Hash) -> None:
        """Add the footer's bytes and the file's size to a running sha256."""
        sha.update(self.tail)
        sha.update(self.size.to_bytes(8, "little"))


def read_footer(location: str) -> Footer:
    """Read the footer of one Parquet file in one or two requests.

    Raises
    ------
    DataError
        NO_SUCH_FILE if it is missing; BAD_FILE if it is empty, cut short or not Parquet.
    """
    try:
        with _opened(location) as (size, first, read):
            tail = read(max(0, size - first), size)
            length = _footer_length(location, tail, size)
            if length > len(tail):
                tail = read(size - length, size)
    except FileNotFoundError as error:
        msg = f"{location} does not exist, though the catalog lists its partition; restore the file"
        raise DataError(msg, kind=ErrorKind.NO_SUCH_FILE, file=location) from error
    return Footer(location, tail[len(tail) - length :], size)


@contextmanager
def _opened(location: str) -> Iterator[tuple[int, int, Callable[[int, int], bytes]]]:
    """Yield a file's size, how much of its end to read first, and what reads from start to stop."""
    path = _local_text(location)
    if path is None:
        from fsspec.core import url_to_fs

        fs, inner = url_to_fs(location, **storage_options(location))
        size = int(fs.size(inner))
        yield size, _TAIL_BYTES, lambda start, stop: bytes(fs.cat_file(inner, start=start, end=stop))
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        yield size, _LOCAL_TAIL_BYTES, lambda start, stop: os.pread(descriptor, stop - start, start)
    finally:
        os.close(descriptor)


def _footer_length(location: str, tail: bytes, size: int) -> int:
    """Return bytes of footer plus its 8-byte ending, or say why there is none."""
    found = "it is empty" if not size else f"its {size} bytes do not end as Parquet does"
    if size >= 12 and tail[-4:] == _MAGIC:
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if 8 < length <= size - 4:
            return length
        found = f"its footer claims {length} of its {size} bytes"
    msg = f"{location} is truncated or not a Parquet file: {found}. Restore it from its source"
    raise DataError(msg, kind=ErrorKind.BAD_FILE, file=location, bytes=size)


@contextmanager
def parquet_errors(location: str) -> Iterator[None]:
    """Turn what Arrow raises on broken bytes into a DataError that names the file.

    An OSError that carries an errno is the disk's or the network's, not the file's, and
    passes unchanged.
    """
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        msg = f"{location} cannot be read as Parquet: {error}. Restore it from its source"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=location) from error
