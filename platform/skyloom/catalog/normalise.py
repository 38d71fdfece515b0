"""From what a foreign table holds to what the catalog will: names, nulls, units, types, degrees."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.catalog.descriptor import NAME_PATTERN, annotate
from skyloom.catalog.positions import sky_position
from skyloom.catalog.raw import input_column
from skyloom.catalog.spec import ColumnSpec, ObjectsSpec, SourcesSpec, TableSpec
from skyloom.columns import arrow_type
from skyloom.errors import DataError, ErrorKind, SpecError, close_matches

__all__ = ["Refused", "input_columns", "normalised_objects", "normalised_points"]

_SHOWN = 5


@dataclass(slots=True)
class Refused:
    """Rows that an import cannot take: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, keys: Iterable[Any], count: int) -> None:
        """Count `count` more rows, and remember the first few by their keys."""
        self.count += count
        for key in keys:
            if len(self.first) >= _SHOWN:
                break
            self.first.append(str(key))

    def __str__(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return ", ".join(self.first) + more


def input_columns(spec: TableSpec) -> list[str] | None:
    """Return the names in the input that an import needs, or None for all."""
    if spec.keep == "all" or not spec.columns:
        return None
    names = [column.source or name for name, column in spec.columns.items()]
    if isinstance(spec, ObjectsSpec):
        names += [spec.id] if spec.id else []
        for position in (spec.ra, spec.dec):
            names += [position] if isinstance(position, str) else position
        names += [spec.dec_sign] if spec.dec_sign else []
        names = [name for name in names if name not in ("ra", "dec") or name in (spec.ra, spec.dec)]
    if isinstance(spec, SourcesSpec):
        names.append(spec.id)
    return list(dict.fromkeys(names))


def normalised_objects(
    table: pa.Table, spec: ObjectsSpec, path: Path, first_row: int, refused: Refused
) -> pa.Table:
    """Return rows as the catalog will hold them: id, ra, dec, then the other columns.

    Rows without a usable position stay in and are added to `refused`: the caller raises
    once it has seen all of the input, so that the count is that of the whole input.

    Parameters
    ----------
    table : pyarrow.Table
        As a reader gave it.
    first_row : int
        Place of the first of these rows in the whole input.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN, BAD_NAME, or COLUMN_TYPE for an id stored as a float.
    DataError
        BAD_ROW for null ids; BAD_FILE for values that do not fit the type declared.
    """
    out: dict[str, pa.Field] = {}
    arrays: dict[str, Any] = {}
    numbers = np.arange(first_row, first_row + table.num_rows, dtype=np.int64)
    keys: Any = pa.array(numbers)
    if spec.id is not None:
        keys = _id_values(table, spec.id, spec.columns.get(spec.id), path)
        arrays[spec.id], out[spec.id] = keys, pa.field(spec.id, keys.type)
    elif spec.row_number is not None:
        arrays[spec.row_number], out[spec.row_number] = keys, pa.field(spec.row_number, keys.type)
    ra, dec = sky_position(table, spec, path)
    _refuse(ra, dec, keys, refused)
    arrays |= {"ra": pa.array(ra), "dec": pa.array(dec)}
    out["ra"] = pa.field("ra", pa.float64(), metadata={"unit": "deg", "ucd": "pos.eq.ra;meta.main"})
    out["dec"] = pa.field("dec", pa.float64(), metadata={"unit": "deg", "ucd": "pos.eq.dec;meta.main"})
    used = {name for name in (spec.id, spec.ra, spec.dec) if isinstance(name, str)}
    for name, (column, values) in _rest(table, spec, path, used, set(out)).items():
        out[name], arrays[name] = column, values
    return _annotated(out, arrays, spec, path)


def normalised_points(table: pa.Table, spec: SourcesSpec, path: Path, id_type: pa.DataType) -> pa.Table:
    """Return light-curve points with their object's id first, then the fields of the nested column.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN, also where no field has the name that `spec.time` gives.
    DataError
        BAD_FILE if an id does not fit the objects' id type.
    """
    ids = _id_values(table, spec.id, None, path)
    try:
        ids = ids.cast(id_type)
    except pa.ArrowInvalid as error:
        msg = f"{path}: {spec.id!r} is {ids.type}, the objects' id is {id_type}: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path), column=spec.id) from error
    rest = _rest(table, spec, path, {spec.id}, set())
    out = {name: column for name, (column, _) in rest.items()}
    arrays = {name: values for name, (_, values) in rest.items()}
    if spec.time not in out:
        msg = f"sources.time is {spec.time!r}: {close_matches(spec.time, out)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=spec.time)
    points = _annotated(out, arrays, spec, path)
    return points.add_column(0, pa.field(POINT_ID, id_type), ids)


POINT_ID = "__object"
"""Column that carries a point's object until the points are nested."""


def _rest(
    table: pa.Table, spec: TableSpec, path: Path, used: set[str], made: set[str]
) -> dict[str, tuple[pa.Field, pa.ChunkedArray]]:
    """Return the listed columns, then, with keep = "all", those that nothing has used."""
    out = {name: _column(table, name, column, path) for name, column in spec.columns.items() if name not in made}
    if spec.keep == "listed" and spec.columns:
        return out
    # The index of an earlier HATS catalog is computed again.
    used = used | {column.source or name for name, column in spec.columns.items()} | {"_healpix_29"}
    for name in table.column_names:
        if name not in used and name not in out and name not in made:
            if not re.match(NAME_PATTERN, name) or "." in name:
                msg = (
                    f"{path}: column {name!r} cannot keep its name (letters, digits, _ and - only); list it in "
                    '`columns` under another one with from = "…"'
                )
                raise SpecError(msg, kind=ErrorKind.BAD_NAME, column=name)
            out[name] = _column(table, name, ColumnSpec.model_validate({}), path)
    return out


def _annotated(out: dict[str, pa.Field], arrays: dict[str, Any], spec: TableSpec, path: Path) -> pa.Table:
    schema = annotate(pa.schema(list(out.values())), dict(spec.columns), str(path))
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def _column(table: pa.Table, name: str, spec: ColumnSpec, path: Path) -> tuple[pa.Field, pa.ChunkedArray]:
    source = spec.source or name
    values = input_column(table, source, path)
    declared = table.schema.field(source).metadata or {}
    notes = {key: declared[key] for key in (b"unit", b"ucd", b"description") if key in declared}
    if spec.null_values:
        values = _without_sentinels(values, spec.null_values, path, source)
    if spec.words:
        values = _worded(values, spec.words, path, source)
    try:
        if spec.scale is not None or spec.offset is not None:
            notes.pop(b"unit", None)
            values = values.cast(pa.float64())
            values = values if spec.scale is None else pc.multiply(values, spec.scale)
            values = values if spec.offset is None else pc.add(values, spec.offset)
            values = values.cast(arrow_type(spec.dtype or str(table.schema.field(source).type)))
        elif spec.dtype is not None:
            values = values.cast(arrow_type(spec.dtype))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        msg = f"{path}: column {source!r} does not become {spec.dtype or 'a number'}: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path), column=source) from error
    return pa.field(name, values.type, metadata=notes or None), values


def _without_sentinels(
    values: pa.ChunkedArray, sentinels: tuple[float | int | str, ...], path: Path, name: str
) -> pa.ChunkedArray:
    dtype = values.type
    if pa.types.is_string(dtype):
        known: list[Any] = [str(s) for s in sentinels]
    else:
        # A column of numbers cannot hold a text: readers have made such texts nulls already.
        known = [s for s in sentinels if not isinstance(s, str)]
    wrong = [s for s in known if pa.types.is_integer(dtype) and (math.isnan(s) or s != int(s))]
    if wrong or not (pa.types.is_string(dtype) or pa.types.is_integer(dtype) or pa.types.is_floating(dtype)):
        msg = f"{path}: null_values {wrong or known} of column {name!r} are no values of its type, {dtype}"
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, column=name, file=str(path))
    # In the column's own type: -9.99 stored as float32 is not the float64 -9.99.
    own = pa.array(known, dtype) if not pa.types.is_floating(dtype) else pa.array(known, pa.float64()).cast(dtype)
    missing = pc.is_in(values, own)
    if pa.types.is_floating(dtype) and any(math.isnan(s) for s in known):
        missing = pc.or_(missing, pc.fill_null(pc.is_nan(values), fill_value=False))
    return pc.if_else(missing, pa.scalar(None, dtype), values)


def _worded(values: pa.ChunkedArray, words: dict[str, str], path: Path, name: str) -> pa.ChunkedArray:
    where = pc.index_in(values.cast(pa.string()), pa.array(list(words)))
    unknown = values.filter(pc.and_(pc.is_null(where), pc.is_valid(values)))
    if len(unknown):
        msg = (
            f"{path}: column {name!r} holds {unknown[0].as_py()!r} ({len(unknown)} rows), for which `words` has "
            "no text; list every value"
        )
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path), column=name)
    return pc.take(pa.chunked_array([pa.array(list(words.values()))]), where)


def _id_values(table: pa.Table, name: str, note: ColumnSpec | None, path: Path) -> pa.ChunkedArray:
    values = input_column(table, name, path)
    dtype = None if note is None or note.dtype is None else arrow_type(note.dtype)
    if pa.types.is_floating(values.type):
        largest = pc.max(pc.abs(values)).as_py() or 0
        if dtype is None or not pa.types.is_integer(dtype) or largest >= 2**53:
            msg = (
                f"{path}: id column {name!r} is {values.type}, which merges ids above 2^53; store it as an "
                f'integer or text at its source, or declare columns.{name}.dtype = "int64" if all are small'
            )
            raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, column=name, file=str(path))
    if values.null_count:
        msg = f"{path}: {values.null_count} rows have no {name!r}; give them one, or import with row_number"
        raise DataError(msg, kind=ErrorKind.BAD_ROW, file=str(path), column=name, rows=values.null_count)
    try:
        return values if dtype is None else values.cast(dtype)
    except pa.ArrowInvalid as error:
        msg = f"{path}: id column {name!r} does not become {dtype}: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path), column=name) from error


def _refuse(ra: NDArray[np.float64], dec: NDArray[np.float64], keys: Any, refused: Refused) -> None:
    with np.errstate(invalid="ignore"):
        good = (ra >= 0) & (ra < 360) & (dec >= -90) & (dec <= 90)
    bad = np.flatnonzero(~good)
    if len(bad):
        few = bad[:_SHOWN]
        named = zip(pc.take(keys, pa.array(few)).to_pylist(), ra[few], dec[few], strict=True)
        refused.add((f"{key} (ra {a!s}, dec {d!s})" for key, a, d in named), len(bad))
