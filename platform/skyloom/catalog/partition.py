"""A partition: the rows of one HEALPix pixel, and how a worker reads them.

Needs pyarrow and numpy only, and no look at the rest of the catalog: whoever holds a
`Partition` and the catalog's root can read its rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.files import Footer, join, local_path, open_source, parquet_errors, read_footer
from skyloom.catalog.frame import Frame
from skyloom.catalog.nesting import (
    as_struct_of_lists,
    fields_of,
    is_list_of_structs,
    project,
    same_meaning,
)
from skyloom.errors import ConflictError, DataError, ErrorKind, SpecError, close_matches

__all__ = ["Partition", "Schemas", "digest_of", "partition_key", "read_partition", "scan_partition"]


def partition_key(order: int, npix: int) -> str:
    """Return the path of a HEALPix pixel in a catalog, which names the partition.

    Examples
    --------
    >>> partition_key(7, 123_456)
    'Norder=7/Dir=120000/Npix=123456'
    """
    return f"Norder={order}/Dir={npix // 10_000 * 10_000}/Npix={npix}"


@dataclass(frozen=True, slots=True)
class Partition:
    """The rows of one HEALPix pixel, as they were when the catalog was read."""

    key: str
    """Such as ``"Norder=3/Dir=0/Npix=512"``."""
    order: int
    npix: int
    files: tuple[str, ...]
    """Relative to the catalog's root, sorted; usually one."""
    rows: int
    bytes: int
    """Sum of the files' sizes."""
    digest: str
    """``sha256:…`` over footer and size of each file: what the rows are known by."""


_FRAMES = 8
"""Frames kept: a catalog in which each file has its own is not to be compared with all of them."""


class Schemas:
    """The different schemas that the files of a catalog have: one, in a catalog that is well."""

    def __init__(self) -> None:
        self._known: list[tuple[pq.ParquetSchema, str]] = []
        self._frames: list[Frame] = []

    def rows_of(self, footer: Footer) -> int:
        """Return the rows of a file and note its schema; parses a footer that is framed like none before it.

        Raises
        ------
        DataError
            BAD_FILE if the footer is parsed, and is not readable.
        """
        for frame in self._frames:
            rows = frame.rows(footer.tail)
            if rows is not None:
                return rows
        metadata = footer.metadata()
        if not any(metadata.schema.equals(known) for known, _ in self._known):
            self._known.append((metadata.schema, footer.location))
        found = Frame.of(footer.tail) if len(self._frames) < _FRAMES else None
        if found is not None and found.rows(footer.tail) == metadata.num_rows:
            self._frames.append(found)
        return int(metadata.num_rows)

    def check(self, columns: Sequence[str], schema: pa.Schema) -> None:
        """Refuse files whose columns are not those of `schema`.

        Raises
        ------
        DataError
            SCHEMA_DRIFT, naming one such file, the column, what it is and what it should be.
        """
        wanted = _by_parent(columns) or {}
        for known, location in self._known:
            found = known.to_arrow_schema()
            for name, children in wanted.items():
                _check_field(location, found, name, children, schema)


def scan_partition(
    root: str, order: int, npix: int, files: Sequence[str], *, schemas: Schemas | None = None
) -> Partition:
    """Read the footers of a partition's files.

    Parameters
    ----------
    root : str
        The catalog's directory or URL.
    order, npix : int
        HEALPix order and nested pixel number.
    files : sequence of str
        Relative to `root`.
    schemas : Schemas, optional
        Told of the files' schemas; of footers that differ in their row groups alone it parses one.

    Raises
    ------
    DataError
        NO_SUCH_FILE or BAD_FILE, with the file's path.
    """
    names = tuple(sorted(files))
    footers = [read_footer(join(root, name)) for name in names]
    count = (lambda footer: footer.metadata().num_rows) if schemas is None else schemas.rows_of
    return Partition(
        key=partition_key(order, npix),
        order=order,
        npix=npix,
        files=names,
        rows=sum(map(count, footers)),
        bytes=sum(footer.size for footer in footers),
        digest=_digest(footers),
    )


def read_partition(
    root: str,
    partition: Partition,
    columns: Sequence[str] | None,
    *,
    schema: pa.Schema | None = None,
    verify: bool = True,
    labels_as_codes: bool = False,
    use_threads: bool = True,
) -> pa.Table:
    """Read rows of one partition, in stored order.

    Parameters
    ----------
    root : str
        The catalog's directory or URL.
    partition : Partition
        As `Catalog.partitions` lists it.
    columns : sequence of str or None
        Column names; a dotted one (``"lc.flux"``) reads one field of a nested column, which
        comes back as a struct of lists with just the fields named. None reads everything.
    schema : pyarrow.Schema, optional
        The catalog's. Each column read must mean the same (strings and lists may be stored
        in another Arrow layout, and are converted).
    verify : bool
        Refuse files that changed since the partition was scanned, and check the CRC of each
        page that has one.
    labels_as_codes : bool
        Leave texts within nested columns, such as a passband per point, as the codes and the dictionary
        that the file has for them: the Arrow type is then a dictionary's. Not with `schema`, to whose types
        columns are converted. Of light curves the passbands are a third of the cost of reading.
    use_threads : bool
        Whether Arrow decodes columns on all cores; no use to a process that has one of them.

    Returns
    -------
    pyarrow.Table
        `partition.rows` rows; columns in the order of first mention. Zero rows are fine.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN if `schema` is given and has no such column.
    DataError
        SCHEMA_DRIFT, BAD_FILE, NO_SUCH_FILE or ROW_COUNT, each naming the file.
    ConflictError
        SNAPSHOT_CHANGED if a file is not the one that was scanned.
    """
    footers = [read_footer(join(root, name)) for name in partition.files]
    if verify and _digest(footers) != partition.digest:
        msg = (
            f"partition {partition.key} changed since the catalog was read: "
            f"{', '.join(footer.location for footer in footers)} had {partition.bytes} bytes and "
            f"{partition.rows} rows under another footer. Open the catalog again and plan again"
        )
        raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, key=partition.key, file=footers[0].location)
    if schema is not None and columns is not None:
        _check_known(columns, schema)
    codes = labels_as_codes and schema is None
    tables = [
        _read_file(footer, columns, schema, verify=verify, labels_as_codes=codes, use_threads=use_threads)
        for footer in footers
    ]
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
    if table.num_rows != partition.rows and table.num_columns:
        where = ", ".join(footer.location for footer in footers)
        msg = f"{where} gave {table.num_rows} rows where {partition.rows} were planned on; plan again"
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=partition.key, file=where)
    return table


def digest_of(root: str, files: Sequence[str]) -> str:
    """Return the digest of a partition as its files are now; see `Partition.digest`.

    Reads the ends of the files and parses nothing.

    Raises
    ------
    DataError
        NO_SUCH_FILE or BAD_FILE, with the file's path.
    """
    return _digest([read_footer(join(root, name)) for name in sorted(files)])


def _digest(footers: Sequence[Footer]) -> str:
    sha = hashlib.sha256()
    for footer in footers:
        footer.digest_into(sha)
    return f"sha256:{sha.hexdigest()}"


def _check_known(columns: Sequence[str], schema: pa.Schema) -> None:
    for name in columns:
        parent, _, child = name.partition(".")
        known = schema.names
        if parent in known and child:
            known = [f"{parent}.{field.name}" for field in fields_of(schema.field(parent).type)]
        if name not in known:
            msg = f"the catalog has no column {name!r}; {close_matches(name, known)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)


def _read_file(
    footer: Footer,
    columns: Sequence[str] | None,
    schema: pa.Schema | None,
    *,
    verify: bool,
    labels_as_codes: bool,
    use_threads: bool,
) -> pa.Table:
    wanted = _by_parent(columns)
    with parquet_errors(footer.location), open_source(footer.location) as source:
        metadata = footer.metadata()
        # Arrow reads no nested codes across row groups; from afar, a request for each costs more than it saves.
        apart = metadata.num_row_groups > 1
        remote = apart and local_path(footer.location) is None
        labels = _label_leaves(metadata) if labels_as_codes and not remote else []
        file = pq.ParquetFile(
            source,
            metadata=metadata,
            page_checksum_verification=verify,
            pre_buffer=True,
            read_dictionary=labels,
        )
        found = file.schema_arrow
        if wanted is None:
            wanted = dict.fromkeys(found.names if schema is None else schema.names)
        for name, children in wanted.items():
            _check_field(footer.location, found, name, children, schema)
        paths = _leaf_paths(file.metadata, found, wanted)
        if labels and apart:
            groups = range(metadata.num_row_groups)
            read = [file.read_row_group(i, columns=paths, use_threads=use_threads) for i in groups]
            table = pa.concat_tables(read)
        else:
            table = file.read(columns=paths, use_threads=use_threads)
    arrays = {
        name: _conform(table[name], children, schema.field(name) if schema else found.field(name))
        for name, children in wanted.items()
    }
    fields = [
        project(schema.field(name) if schema else found.field(name), children) for name, children in wanted.items()
    ]
    return pa.table(list(arrays.values()), schema=pa.schema(fields)) if fields else table


def _by_parent(columns: Sequence[str] | None) -> dict[str, list[str] | None] | None:
    """Return {column: fields of it, or None for all of it} in the order of first mention."""
    if columns is None:
        return None
    wanted: dict[str, list[str] | None] = {}
    for name in columns:
        parent, _, child = name.partition(".")
        fields = wanted.setdefault(parent, [] if child else None)
        if not child:
            wanted[parent] = None
        elif fields is not None and child not in fields:
            fields.append(child)
    return wanted


def _leaf_paths(metadata: pq.FileMetaData, found: pa.Schema, wanted: dict[str, list[str] | None]) -> list[str]:
    """Return the Parquet leaves to read: ``lc.flux.list.element``, or ``lc.list.element.flux``."""
    chosen = []
    for i in range(metadata.num_columns):
        leaf = metadata.schema.column(i).path
        parent, *rest = leaf.split(".")
        if parent in wanted:
            children = wanted[parent]
            depth = 2 if is_list_of_structs(found.field(parent).type) else 0
            if children is None or rest[depth] in children:
                chosen.append(leaf)
    return chosen


def _label_leaves(metadata: pq.FileMetaData) -> list[str]:
    """Return the leaves of texts within nested columns that the file itself has as codes of a dictionary."""
    if not metadata.num_row_groups:
        return []
    leaves = (metadata.schema.column(i) for i in range(metadata.num_columns))
    return [
        leaf.path
        for i, leaf in enumerate(leaves)
        if leaf.max_repetition_level
        and leaf.logical_type.type == "STRING"
        and metadata.row_group(0).column(i).has_dictionary_page
    ]


def _check_field(
    location: str, found: pa.Schema, name: str, children: list[str] | None, schema: pa.Schema | None
) -> None:
    if name not in found.names:
        msg = (
            f"{location} has no column {name!r}, which the catalog's schema declares; "
            f"{close_matches(name, found.names)}. Write the file again with the catalog's schema"
        )
        raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, file=location, column=name)
    stored = found.field(name)
    expected = stored if schema is None else schema.field(name)
    try:
        got, want = project(stored, children), project(expected, children)
    except KeyError as error:
        msg = f"{location}: column {name!r} is {stored.type} and has no field {error}"
        raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, file=location, column=name) from None
    if not same_meaning(got.type, want.type):
        msg = (
            f"{location}: column {name!r} is {got.type}, the catalog's schema says {want.type}. "
            "Write the file again with the catalog's type"
        )
        raise DataError(
            msg, kind=ErrorKind.SCHEMA_DRIFT, file=location, column=name,
            found=str(got.type), expected=str(want.type),
        )  # fmt: skip


def _conform(column: pa.ChunkedArray, children: list[str] | None, field: pa.Field) -> pa.ChunkedArray:
    """Return the column in the layout that the schema declares."""
    if children is not None and is_list_of_structs(column.type):
        column = as_struct_of_lists(column)
    target = project(field, children).type
    return column if column.type.equals(target, check_metadata=True) else column.cast(target)
