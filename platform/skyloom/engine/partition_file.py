"""The data file of one partition: written in one piece, digested on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from skyloom.errors import DataError, ErrorKind
from skyloom.storage import checksum_bytes, sha256_bytes

__all__ = ["FOOTER_PREFIX", "Inspected", "inspect", "options", "read_bytes", "write"]

FOOTER_PREFIX = "skyloom."
"""Keys of ours in a Parquet footer."""


def write(file: IO[bytes], table: pa.Table, footer: Mapping[str, str]) -> Inspected:
    """Write `table` as Parquet, the same bytes for the same table and footer.

    No times or random ids go in. Pages carry checksums (a flipped bit is otherwise read
    as a value), and only texts are dictionary-encoded: for floats that costs four times
    the write and saves nothing.

    Returns
    -------
    Inspected
        What `inspect` would say of the bytes.
    """
    metadata = {f"{FOOTER_PREFIX}{key}".encode(): value.encode() for key, value in footer.items()}
    sink = _Digested(file)
    pq.write_table(table.replace_schema_metadata(metadata), pa.PythonFile(sink, mode="w"), **options(table.schema))
    sha256, checksum = f"sha256:{sink.sha.hexdigest()}", f"xxh3:{sink.check.hexdigest()}"
    return Inspected(sha256, checksum, sink.size_bytes, table.num_rows, dict(footer))


def options(schema: pa.Schema) -> dict[str, Any]:
    """Return the options of `pyarrow.parquet.write_table` for a table of `schema`."""
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "write_page_checksum": True,
        "version": "2.6",
        "row_group_size": 1_048_576,
    }


class _Digested:
    """A file that digests what it is given, while that is in the processor's cache.

    Arrow may flush and forget it but not close it: closing is the store's commit.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.sha = hashlib.sha256()
        self.check = xxhash.xxh3_128()
        self.size_bytes = 0
        self.flush = file.flush
        self._write = file.write

    def write(self, data: bytes) -> int:
        """Write all of `data`."""
        self.sha.update(data)
        self.check.update(data)
        self.size_bytes += len(data)
        return self._write(data)

    def tell(self) -> int:
        """Return the bytes written."""
        return self.size_bytes

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a committed file says of itself."""

    sha256: str
    checksum: str
    """See `Record.checksum`."""
    size_bytes: int
    rows: int
    footer: Mapping[str, str]

    @property
    def faults(self) -> Sequence[Sequence[Any]]:
        """Rows in quarantine: row, cause, message and input digest of each."""
        faults: list[list[Any]] = json.loads(self.footer.get("quarantine", "[]"))
        return faults

    @property
    def counts(self) -> dict[str, int]:
        """Rows counted by the processor."""
        counts: dict[str, int] = json.loads(self.footer.get("counts", "{}"))
        return counts


def inspect(data: bytes, *, where: str) -> Inspected:
    """Return digest, rows and footer of a data file's bytes.

    Raises
    ------
    DataError
        If the bytes are no Parquet file; `where` names it.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        footer = _footer(metadata.metadata or {})
        for key, nothing in (("quarantine", "[]"), ("counts", "{}")):
            json.loads(footer.get(key, nothing))
    except (pa.ArrowException, OSError, ValueError) as error:
        msg = f"{where} is no Parquet file ({error}); move its job's directory away and run again"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, where=where) from error
    return Inspected(sha256_bytes(data), checksum_bytes(data), len(data), metadata.num_rows, footer)


def _footer(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        key.decode().removeprefix(FOOTER_PREFIX): value.decode()
        for key, value in metadata.items()
        if key.startswith(FOOTER_PREFIX.encode())
    }


def read_bytes(data: bytes) -> pa.Table:
    """Return the table that a Parquet file's bytes hold, page checksums verified.

    Not `pyarrow.parquet.read_table`: its threads may let go of the bytes when Python has already
    begun to exit, which aborts the process.

    Raises
    ------
    OSError, pyarrow.ArrowInvalid
        If the bytes are no Parquet file, or a page is damaged.
    """
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    return file.read(use_threads=False)
