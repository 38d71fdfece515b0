"""Stage an import: every row read, normalised, checked, and written where hats-import can read it.

Rows go to buckets by a hash of their id, so that duplicates are found and points are nested
in one bucket's memory, however large the input is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.catalog.nest import nested
from skyloom.catalog.normalise import POINT_ID, Refused, input_columns, normalised_objects, normalised_points
from skyloom.catalog.readers import read_tables
from skyloom.catalog.spec import ImportSpec
from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["Staged", "stage"]

_BUCKET_BYTES = 512 * 1024**2
"""Input bytes per bucket: Parquet grows five- to tenfold in memory."""
_FILE_BYTES = 128 * 1024**2
"""About this much memory per staged file."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What is ready to be cut into partitions."""

    files: tuple[Path, ...]
    schema: pa.Schema
    """Of the rows, with units, without ``_healpix_29``."""
    rows: int
    points: int
    pixels: dict[int, float]
    """HEALPix pixel at the spec's highest order -> rows (or bytes) in it."""
    row_bytes: float
    """Mean size of a row in memory."""


def stage(spec: ImportSpec, folder: Path) -> Staged:
    """Read, check and write all of the input.

    Raises
    ------
    DataError
        BAD_POSITION, DUPLICATE_ID, BAD_ROW (points without an object), SCHEMA_DRIFT, BAD_FILE.
    """
    folder.mkdir()
    buckets = _bucket_count(spec)
    objects = _stage_objects(spec, folder, buckets)
    points: list[list[Path]] = [[] for _ in range(buckets)]
    if spec.sources is not None:
        points = _stage_points(spec, folder, buckets, objects[0])
    return _Finisher(spec, folder).finish(objects, points)


def _bucket_count(spec: ImportSpec) -> int:
    tables = [spec.objects, *([spec.sources] if spec.sources else [])]
    size = sum(path.stat().st_size for table in tables for path in table.paths())
    return 1 + size // _BUCKET_BYTES if spec.id_column else 1


def _stage_objects(spec: ImportSpec, folder: Path, buckets: int) -> list[list[Path]]:
    refused, rows = Refused(), 0
    staged: list[list[Path]] = [[] for _ in range(buckets)]
    schema: pa.Schema | None = None
    for n, (path, table) in enumerate(read_tables(spec.objects, input_columns(spec.objects))):
        clean = normalised_objects(table, spec.objects, path, rows, refused)
        schema = _agreed(schema, clean.schema, path)
        rows += clean.num_rows
        _write_buckets(clean, spec.id_column, folder / f"objects-{n:06d}", staged)
    if refused.count:
        msg = (
            f"{refused.count} of {rows} rows of {_input(spec)} have no position on the sky (ra in [0, 360), "
            f"dec in [-90, 90], both finite): {refused}. Correct them, or declare the units; wrap_ra = true "
            "accepts ra in [-180, 0)"
        )
        raise DataError(msg, kind=ErrorKind.BAD_POSITION, rows=refused.count)
    if not rows:
        msg = f"the input of {spec.name!r}, {_input(spec)}, has no rows; a catalog needs at least one"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, rows=0)
    return staged


def _input(spec: ImportSpec) -> str:
    """Return the files or patterns of the objects, for messages."""
    files = spec.objects.files
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")


def _stage_points(spec: ImportSpec, folder: Path, buckets: int, objects: Sequence[Path]) -> list[list[Path]]:
    assert spec.sources is not None and spec.id_column is not None
    id_type = pq.read_schema(objects[0]).field(spec.id_column).type
    staged: list[list[Path]] = [[] for _ in range(buckets)]
    schema: pa.Schema | None = None
    for n, (path, table) in enumerate(read_tables(spec.sources, input_columns(spec.sources))):
        clean = normalised_points(table, spec.sources, path, id_type)
        schema = _agreed(schema, clean.schema, path)
        _write_buckets(clean, POINT_ID, folder / f"points-{n:06d}", staged)
    return staged


def _agreed(known: pa.Schema | None, found: pa.Schema, path: Path) -> pa.Schema:
    """Return the schema of all pieces so far; a column of nulls only agrees with any type."""
    if known is None:
        return found
    for field in found:
        other = known.field(field.name) if field.name in known.names else None
        null = other is not None and (pa.types.is_null(other.type) or pa.types.is_null(field.type))
        if other is None or (other.type != field.type and not null):
            before = "absent" if other is None else str(other.type)
            msg = (
                f"{path}: column {field.name!r} is {field.type}, but {before} in the files before it. "
                f'If both may be one type, declare it: columns.{field.name}.dtype = "…"'
            )
            raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, file=str(path), column=field.name)
    missing = sorted(set(known.names) - set(found.names))
    if missing:
        msg = f"{path} lacks column {missing[0]!r}, which the files before it have; leave it out of `columns`"
        raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, file=str(path), column=missing[0])
    return pa.schema([found.field(f.name) if pa.types.is_null(f.type) else f for f in known])


def _write_buckets(table: pa.Table, key: str | None, stem: Path, staged: list[list[Path]]) -> None:
    buckets = len(staged)
    home = _bucket_of(table[key], buckets) if key is not None and buckets > 1 else None
    for bucket in range(buckets):
        part = table if home is None else table.filter(pa.array(home == bucket))
        path = stem.with_name(f"{stem.name}-{bucket:04d}.parquet")
        pq.write_table(part, path, compression="lz4")
        staged[bucket].append(path)


def _bucket_of(ids: pa.ChunkedArray, buckets: int) -> NDArray[np.int64]:
    """Return a bucket per id: the same for equal ids, in objects and in points, on every machine."""
    if pa.types.is_integer(ids.type):
        bits = ids.combine_chunks().to_numpy(zero_copy_only=False).astype(np.uint64)
        mixed = (bits ^ (bits >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    else:
        import pandas as pd

        mixed = pd.util.hash_array(np.asarray(ids.cast(pa.string()).to_pylist(), object))
    home: NDArray[np.int64] = (mixed >> np.uint64(32)).astype(np.int64) % buckets
    return home


class _Finisher:
    """Joins the buckets one by one, and keeps the sums over all of them."""

    def __init__(self, spec: ImportSpec, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.files: list[Path] = []
        self.rows = self.points = self.bytes = 0
        self.pixels: Counter[int] = Counter()
        self.duplicates, self.orphans = Refused(), Refused()

    def finish(self, objects: list[list[Path]], points: list[list[Path]]) -> Staged:
        """Check and nest every bucket; raise for what was found in any of them."""
        schema: pa.Schema | None = None
        for own, theirs in zip(objects, points, strict=True):
            for table in self._joined(own, theirs):
                schema = table.schema if schema is None else schema
                self._write(table.cast(schema))
        self._refuse()
        # As Parquet gives it back: it has a name of its own for the elements of a list.
        stored = pq.read_schema(self.files[0])
        return Staged(
            tuple(self.files), stored, self.rows, self.points, dict(self.pixels), self.bytes / max(1, self.rows)
        )

    def _joined(self, objects: list[Path], points: list[Path]) -> Iterator[pa.Table]:
        if self.spec.id_column is None:
            yield from (pq.read_table(path) for path in objects)
            return
        table = _all_of(objects)
        self._count_duplicates(table[self.spec.id_column])
        if self.spec.sources is not None:
            _check_free(self.spec.sources.column, table)
            if self.duplicates.count:
                return  # points of an id that names two rows have no home
            result = nested(table, _all_of(points), self.spec.id_column, self.spec.sources)
            self.points += result.points
            self.orphans.add(pc.unique(result.orphans).to_pylist(), len(result.orphans))
            table = result.table
        yield table

    def _count_duplicates(self, ids: pa.ChunkedArray) -> None:
        if pc.count_distinct(ids).as_py() < len(ids):
            counts = ids.value_counts()
            twice = counts.filter(pc.greater(counts.field("counts"), 1))
            self.duplicates.add(twice.field("values").to_pylist(), len(twice))

    def _refuse(self) -> None:
        if self.duplicates.count:
            msg = (
                f"{self.duplicates.count} ids in {self.spec.id_column!r} of {_input(self.spec)} name more than "
                f"one row: {self.duplicates}. Make them unique, or import with row_number"
            )
            raise DataError(msg, kind=ErrorKind.DUPLICATE_ID, rows=self.duplicates.count)
        if self.orphans.count and self.spec.sources is not None and self.spec.sources.orphans == "error":
            msg = (
                f"{self.orphans.count} points belong to objects that are not in the objects' table: "
                f'{self.orphans}. Add the objects, or set sources.orphans = "drop"'
            )
            raise DataError(msg, kind=ErrorKind.BAD_ROW, rows=self.orphans.count)

    def _write(self, table: pa.Table) -> None:
        step = max(1, round(_FILE_BYTES / max(1.0, table.nbytes / max(1, table.num_rows))))
        for start in range(0, table.num_rows, step):
            rows = table.slice(start, step)
            path = self.folder / f"rows-{len(self.files):06d}.parquet"
            pq.write_table(rows, path, compression="lz4", row_group_size=max(1, step // 4))
            self.files.append(path)
            self._count_pixels(rows)
        self.rows += table.num_rows
        self.bytes += table.nbytes

    def _count_pixels(self, rows: pa.Table) -> None:
        from hats.pixel_math import compute_spatial_index

        index = compute_spatial_index(rows["ra"].to_numpy(), rows["dec"].to_numpy())
        order = self.spec.partitions.highest_order
        found, counts = np.unique(np.asarray(index) >> (2 * (29 - order)), return_counts=True)
        if self.spec.partitions.bytes is not None:
            counts = np.ceil(counts * (rows.nbytes / rows.num_rows)).astype(np.int64)
        self.pixels.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def _check_free(name: str, table: pa.Table) -> None:
    if name in table.column_names:
        msg = f"the objects have a column {name!r} already; give the light curves another name (sources.column)"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, column=name)


def _all_of(paths: Sequence[Path]) -> pa.Table:
    """Read staged pieces as one table; a column that is null in one piece takes the others' type."""
    tables: list[Any] = [pq.read_table(path) for path in paths]
    return pa.concat_tables(tables, promote_options="default")
