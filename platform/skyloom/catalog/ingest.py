"""Import: foreign tables in, one HATS catalog out, through hats-import.

Three steps, all in a hidden sibling of the target, which is renamed at the end:

1. *stage*: read every input, normalise it, refuse what cannot be a catalog (positions, ids);
2. *nest*: points into their objects, a bucket of ids at a time;
3. *cut*: choose the HEALPix pixels and let hats-import sort the rows into them.

The pixels are chosen here, because hats-import refuses a catalog in which one pixel of the
highest order holds more rows than the threshold; real surveys have such pixels.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.catalog.catalog import Catalog, open_catalog
from skyloom.catalog.cut import cut_sky
from skyloom.catalog.files import local_path
from skyloom.catalog.partition import read_partition
from skyloom.catalog.spec import ImportSpec, load_import_spec
from skyloom.catalog.staging import Staged, stage
from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["ImportSpec", "import_catalog", "load_import_spec"]


def import_catalog(spec: ImportSpec) -> Catalog:
    """Make a HATS catalog of foreign tables.

    Either the whole catalog appears at `spec.output`, with as many rows and points as the
    input has, or nothing does. Rows are sorted by (``_healpix_29``, id); the same input
    gives the same Parquet bytes.

    Parameters
    ----------
    spec : ImportSpec
        See `load_import_spec` and ``catalogs/imports/*.toml``.

    Returns
    -------
    Catalog
        The new catalog, opened.

    Raises
    ------
    SpecError
        ALREADY_EXISTS if the target is there and not empty; UNKNOWN_COLUMN, COLUMN_TYPE, …
        where the spec does not fit the input.
    NotFoundError
        NO_SUCH_FILE if an input is missing.
    DataError
        BAD_POSITION or DUPLICATE_ID with the count and the first rows; BAD_ROW for null ids
        or points without an object; SCHEMA_DRIFT between files; BAD_FILE for an unreadable
        one; ROW_COUNT if rows were lost on the way.
    TransientError
        If the disk is full, or hats-import failed.
    """
    target = _free_target(spec)
    with _beside(target) as work:
        staged = stage(spec, work / "staging")
        made = cut_sky(spec, staged, work)
        _verify(spec, staged, made)
        shutil.rmtree(work / "staging")
        # An empty directory in the way is replaced; a full one makes this fail.
        os.rename(made, target)  # noqa: PTH104 - Path.rename says nothing about directories
    return open_catalog(target)


def _free_target(spec: ImportSpec) -> Path:
    path = local_path(spec.output) if spec.output else None
    if path is None:
        msg = f"output is {spec.output!r}: give a local directory to make (`--output DIR`)"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, output=spec.output)
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        msg = f"{path} exists and is not empty; an import never overwrites: remove it or choose another output"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, output=str(path))
    return path


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Make a work directory on the target's file system, gone afterwards whatever happens."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.importing-", dir=target.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _verify(spec: ImportSpec, staged: Staged, made: Path) -> None:
    """Count rows and points of the finished catalog, from its files."""
    catalog = open_catalog(made)
    partitions = catalog.partitions()
    rows = sum(partition.rows for partition in partitions)
    points = 0
    if spec.sources is not None:
        name = f"{spec.sources.column}.{spec.sources.time}"
        for partition in partitions:
            lists = read_partition(catalog.root, partition, [name])[spec.sources.column]
            points += sum(pc.sum(pc.list_value_length(chunk.field(0))).as_py() or 0 for chunk in lists.chunks)
    if (rows, points) != (staged.rows, staged.points) or catalog.rows != staged.rows:
        msg = (
            f"{staged.rows} rows and {staged.points} points went in, {rows} and {points} came out "
            f"(the catalog's properties say {catalog.rows}); nothing was kept. Please report this"
        )
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, expected=staged.rows, found=rows)
    for partition in partitions[:1]:
        _check_metadata(staged.schema, Path(catalog.root) / partition.files[0])


def _check_metadata(expected: pa.Schema, file: Path) -> None:
    """Units are part of the data: they must be in the partition files themselves."""
    found = pq.read_schema(file)
    for field in expected:
        if not found.field(field.name).equals(field, check_metadata=True):
            msg = f"{file}: column {field.name!r} lost its type or its unit on the way; nothing was kept"
            raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, file=str(file), column=field.name)
