"""Catalog: a HATS catalog as a value. Opening one reads its metadata and no rows."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from skyloom.catalog.descriptor import Descriptor, expand_variables
from skyloom.catalog.files import join, local_path
from skyloom.catalog.nesting import fields_of, is_nested
from skyloom.catalog.partition import Partition, Schemas, partition_key, scan_partition
from skyloom.catalog.remote import storage_options
from skyloom.columns import Column
from skyloom.errors import DataError, ErrorKind

if TYPE_CHECKING:
    from skyloom.catalog.describe import Description

__all__ = ["WELL_KNOWN_IDS", "Catalog", "columns_of"]

WELL_KNOWN_IDS = (
    "object_id", "objectId", "source_id", "sourceId", "diaObjectId", "diaSourceId", "objectid", "objID",
    "objid", "oid", "TARGETID", "id", "ID",
)  # fmt: skip
"""Names taken for the id column where neither a descriptor nor ``hats_cols_survey_id`` in the
catalog's properties says which it is; the first found wins.

A catalog with none of them has no id column: a row is then known by its ``_healpix_29``
and its position in the partition.
"""

_READERS = 16
"""Threads that read footers: they wait for the disk or the network, not for the processor."""
_PIECE = 16
"""Partitions that such a thread takes at a time."""
_WAIT_S = 1e-3
"""A local disk that takes longer for a footer is worth waiting for in several threads."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """A HATS catalog: where it lies, what columns it has, which partitions.

    Made by `open_catalog`. A value: nothing in it changes, and nothing is written by it.
    """

    name: str
    root: str
    """The directory (absolute) or URL that holds ``hats.properties``."""
    schema: pa.Schema
    """Of a partition file, with unit, UCD and description in each field's metadata."""
    rows: int | None
    """As the catalog's properties state it; None where they do not."""
    ra_column: str
    dec_column: str
    id_column: str | None
    healpix_column: str
    """HEALPix index of each row at order `healpix_order`; ``""`` where the catalog has none."""
    healpix_order: int
    pixels: tuple[tuple[int, int], ...]
    """(order, npix) of every partition, along the sky as hats sorts them (breadth first)."""
    npix_suffix: str
    """Ending of a partition's file, or ``"/"`` where a partition is a directory of files."""
    collection: str | None = None
    """The HATS collection that the catalog was opened through."""
    descriptor: Descriptor | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    """title, description, licence and citation: the descriptor's, else those of ``hats.properties``."""

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns, a nested one field by field under dotted names."""
        return columns_of(self.schema)

    def partitions(self, pixels: Sequence[tuple[int, int]] | None = None) -> tuple[Partition, ...]:
        """Return partitions, in the order of `pixels`.

        Reads the footers of their files, with a pool of threads, and no others; of all partitions
        only once: that answer is kept.

        Parameters
        ----------
        pixels : sequence of (int, int), optional
            Orders and nested pixel numbers, some of the catalog's; all of them unless told.

        Raises
        ------
        DataError
            NO_SUCH_FILE or BAD_FILE naming the file that is missing or truncated.
        """
        return self._scanned if pixels is None else self._scan(pixels, None)

    def check_columns(self, columns: Sequence[str]) -> None:
        """Refuse a catalog in which a file has one of `columns` in another type, or not at all.

        Raises
        ------
        DataError
            SCHEMA_DRIFT, naming the file, the column, what was found and what was expected.
        """
        self.partitions()
        self._schemas.check(columns, self.schema)

    @cached_property
    def _schemas(self) -> Schemas:
        return Schemas()

    @cached_property
    def _scanned(self) -> tuple[Partition, ...]:
        return self._scan(self.pixels, self._schemas)

    def _scan(self, pixels: Sequence[tuple[int, int]], schemas: Schemas | None) -> tuple[Partition, ...]:
        pieces = [pixels[start : start + _PIECE] for start in range(0, len(pixels), _PIECE)]

        def scan(piece: Sequence[tuple[int, int]]) -> list[Partition]:
            return [scan_partition(self.root, *pixel, self.files(*pixel), schemas=schemas) for pixel in piece]

        found: list[Partition] = []
        waits = local_path(self.root) is None
        while pieces and not waits:
            # What never waits is parsing, and threads that parse only wait for each other.
            began_s = time.perf_counter() - time.thread_time()
            found += scan(pieces[0])
            waited_s = time.perf_counter() - time.thread_time() - began_s
            waits = waited_s > _WAIT_S * len(pieces.pop(0))
        with ThreadPoolExecutor(_READERS) as pool:
            return tuple(chain(found, *pool.map(scan, pieces)))

    def files(self, order: int, npix: int) -> tuple[str, ...]:
        """Return the files of a partition, relative to the root.

        Raises
        ------
        DataError
            NO_SUCH_FILE if the partition is a directory that is missing or holds no file.
        """
        place = f"dataset/{partition_key(order, npix)}"
        if self.npix_suffix != "/":
            return (f"{place}{self.npix_suffix}",)
        names = [name for name in _names_in(join(self.root, place)) if name[:1] not in "._"]
        if not names:
            msg = f"{join(self.root, place)} holds no file, though the catalog lists its partition; restore it"
            raise DataError(msg, kind=ErrorKind.NO_SUCH_FILE, file=join(self.root, place))
        return tuple(f"{place}/{name}" for name in sorted(names))

    def snapshot(self) -> str:
        """Return ``sha256:…`` of all partitions: equal exactly while no file has changed."""
        return self._snapshot

    @cached_property
    def _snapshot(self) -> str:
        lines = sorted(
            json.dumps([p.key, p.files, p.rows, p.bytes, p.digest], separators=(",", ":"))
            for p in self.partitions()
        )
        digest = hashlib.sha256("\n".join(lines).encode())
        return f"sha256:{digest.hexdigest()}"

    def to_lsdb(self, columns: Sequence[str] | None = None, **options: Any) -> Any:
        """Open the catalog as a lazy LSDB dataframe, with the collection's margin if it has one.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns to load; LSDB's default otherwise.
        **options
            Passed to `lsdb.open_catalog`, such as ``search_filter``.
        """
        import lsdb
        from hats.io.file_io import get_upath

        chosen = None if columns is None else list(columns)
        place = self.collection or self.root
        return lsdb.open_catalog(get_upath(place, **storage_options(place)), columns=chosen, **options)

    @property
    def layers_place(self) -> str:
        """Where the descriptor says that layers lie; ``""`` where it says nothing.

        Raises
        ------
        NotFoundError
            NO_SUCH_FILE if the place has a ${VARIABLE} that is not set.
        """
        if self.descriptor is None or not self.descriptor.layers:
            return ""
        return expand_variables(self.descriptor.layers, f"descriptor {self.descriptor.name!r}")

    def describe(self) -> Description:
        """Return what a person wants to know first: size, skew, columns, licence."""
        from skyloom.catalog.describe import describe

        return describe(self)


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """Return the columns of a schema; a nested column gives one per field, dotted."""
    columns = []
    for column in schema:
        if is_nested(column.type):
            columns += [_column(part, parent=column.name) for part in fields_of(column.type)]
        else:
            columns.append(_column(column))
    return tuple(columns)


def _column(stored: pa.Field, *, parent: str = "") -> Column:
    named = Column.of_field(stored, parent=parent)
    return Column(named.name, named.unit, named.description, _dtype_name(stored.type), named.ucd)


def _dtype_name(dtype: pa.DataType) -> str:
    """Return the name of a type as `Column.dtype` spells it."""
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return f"list<{_dtype_name(dtype.value_type)}>"
    if pa.types.is_dictionary(dtype):
        return _dtype_name(dtype.value_type)
    spelt = {"float": "float32", "double": "float64", "halffloat": "float16", "large_string": "string"}
    return spelt.get(str(dtype), str(dtype))


def _names_in(location: str) -> list[str]:
    path = local_path(location)
    if path is not None:
        return [entry.name for entry in path.iterdir() if entry.is_file()] if path.is_dir() else []
    from fsspec.core import url_to_fs

    fs, inner = url_to_fs(location, **storage_options(location))
    try:
        entries = fs.ls(inner, detail=True)
    except FileNotFoundError:
        return []
    return [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"]
