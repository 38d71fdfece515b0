"""Score rows with a system: every row comes out, in order, with values or with a reason.

Level A of the determinism promise rests on two rules: rows are cut into batches by their
place alone, and a system must not let one row see another (its contract test checks it).
So the columns are bit-identical for any partitioning, batch size or order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column, schema_of
from skyloom.errors import DataError, ErrorKind, RowError, SkyloomError, SpecError
from skyloom.runtime.contract import (
    MODEL_ERROR,
    NON_FINITE_OUTPUT,
    PLATFORM_FLAGS,
    SMALLER_TILE,
    Flag,
    Inputs,
    Lists,
    System,
)
from skyloom.runtime.networks import watched

__all__ = [
    "RowFault",
    "eligible_column",
    "flag_column",
    "layer_columns",
    "score",
    "units_of",
]

_MESSAGE_CHARS = 500


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row on which the model raised; it is null and carries ``MODEL_ERROR``."""

    row: int
    """Place in the rows given to `score`."""
    cause: str
    """Class of the exception."""
    message: str


@dataclass(frozen=True, slots=True)
class _Scored:
    columns: list[pa.Array]
    flag: NDArray[np.uint32]


def flag_column(system: System, layer: str, *, reasons: Sequence[Flag] = ()) -> Column:
    """Return the layer's flag column; its description spells every bit.

    Parameters
    ----------
    reasons : sequence of Flag, optional
        Why rows were left out before the model saw them, such as criteria of eligibility.
    """
    own = [f"{flag.name}={flag.mask}" for flag in (*system.FLAGS, *PLATFORM_FLAGS)]
    bits = ", ".join([*own, *(f"{flag.name}={flag.mask} ({flag.description})" for flag in reasons)])
    return Column(
        name=f"{layer.replace('-', '_')}_flag",
        description=f"bits: {bits}; 0 where nothing was found",
        dtype="uint32",
        ucd="meta.code.qual",
    )


def eligible_column(layer: str) -> Column:
    """Return the column that says which rows the model was asked about."""
    return Column(
        name=f"{layer.replace('-', '_')}_eligible",
        description="whether the row meets every criterion of eligibility; the model saw no other row",
        dtype="bool",
        ucd="meta.code.qual",
    )


def layer_columns(
    system: System,
    config: Any,
    *,
    layer: str,
    units: Mapping[str, str] | None = None,
    reasons: Sequence[Flag] = (),
) -> tuple[Column, ...]:
    """Return the columns that `score` gives, the flag last.

    Parameters
    ----------
    units : mapping of str to str, optional
        Units of the columns read (``{"lc.flux": "nJy"}``), to put where a column of
        `System.writes` says ``"{lc.flux}"``. One that is not given becomes dimensionless.
    reasons : sequence of Flag, optional
        Where there are any, ``<layer>_eligible`` stands before the flag.
    """
    known = units or {}
    columns = []
    for column in system.writes(config):
        unit = column.unit
        for read in system.reads(config):
            unit = unit.replace("{" + read.name + "}", known.get(read.name, ""))
        columns.append(Column(column.name, unit.strip(), column.description, column.dtype, column.ucd))
    eligible = [eligible_column(layer)] if reasons else []
    return (*columns, *eligible, flag_column(system, layer, reasons=reasons))


def score(
    system: System,
    estimator: Any,
    config: Any,
    rows: pa.RecordBatch,
    *,
    layer: str,
    batch_rows: int,
) -> tuple[pa.RecordBatch, list[RowFault]]:
    """Score N rows.

    Parameters
    ----------
    system, estimator, config
        A model system, what its `build` returned, and its settings.
    rows : pyarrow.RecordBatch
        N rows with (at least) the columns of `System.reads`.
    layer : str
        Name of the layer; the flag column is named after it.
    batch_rows : int
        Rows given to the model at once. It changes speed and memory, never a value.

    Returns
    -------
    batch : pyarrow.RecordBatch
        N rows: the columns of `System.writes` in their order and type, null where a row could
        not be scored, then ``<layer>_flag`` (uint32, never null).
    faults : list of RowFault
        Rows on which the model raised, found by halving the batch.

    Raises
    ------
    SpecError
        If `batch_rows` is not positive.
    DataError
        ``MODEL_OUTPUT`` if the model returns other columns, types or lengths than it declares;
        ``UNKNOWN_COLUMN`` if `rows` lack a column.
    MemoryError
        As raised: halve `batch_rows` and try again.
    """
    if batch_rows < 1:
        msg = f"batch_rows must be positive, got {batch_rows}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, batch_rows=batch_rows)
    columns, schema = _declared(system, config, rows.schema, layer)
    once = partial(_score_batch, system, estimator, config, columns[:-1])
    parts: list[_Scored] = []
    faults: list[RowFault] = []
    for start in range(0, rows.num_rows, batch_rows):
        parts += _isolate(once, columns[:-1], rows.slice(start, batch_rows), start, faults)
    if not parts:
        return pa.RecordBatch.from_pylist([], schema=schema), []
    flag = pa.array(np.concatenate([part.flag for part in parts]))
    arrays = parts[0].columns
    if len(parts) > 1:
        arrays = [pa.concat_arrays(pieces) for pieces in zip(*(part.columns for part in parts), strict=True)]
    return pa.RecordBatch.from_arrays([*arrays, flag], schema=schema), faults


@dataclass(frozen=True, slots=True)
class _Declared:
    """What a system declares for rows of one schema."""

    system: System
    config: Any
    rows: pa.Schema
    layer: str
    columns: tuple[Column, ...]
    schema: pa.Schema

    def holds(self, system: System, config: Any, rows: pa.Schema, layer: str) -> bool:
        same = self.system is system and self.config is config and self.layer == layer
        return same and self.rows.equals(rows, check_metadata=True)


_LAST: list[_Declared] = []
"""The rows of one partition are declared as those of the one before: asking again costs more than ten rows do."""


def _declared(system: System, config: Any, rows: pa.Schema, layer: str) -> tuple[tuple[Column, ...], pa.Schema]:
    """Return the columns that `score` gives and their schema; checks that the rows have what the system reads."""
    for known in _LAST:
        if known.holds(system, config, rows, layer):
            return known.columns, known.schema
    _check_rows(system, config, rows)
    columns = layer_columns(system, config, layer=layer, units=units_of(rows))
    schema = schema_of(columns)
    _LAST[:] = [_Declared(system, config, rows, layer, columns, schema)]
    return columns, schema


def _isolate(
    once: Callable[[pa.RecordBatch], _Scored],
    columns: Sequence[Column],
    rows: pa.RecordBatch,
    first: int,
    faults: list[RowFault],
) -> list[_Scored]:
    """Score `rows`; where the model raises, halve them until the row that it raises on is alone."""
    try:
        return [once(rows)]
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, SkyloomError) and not isinstance(error, RowError):
            raise
        if rows.num_rows == 1:
            faults.append(RowFault(first, type(error).__name__, str(error)[:_MESSAGE_CHARS]))
            return [_all_null(columns, MODEL_ERROR.mask)]
    half = rows.num_rows // 2
    return [
        *_isolate(once, columns, rows.slice(0, half), first, faults),
        *_isolate(once, columns, rows.slice(half), first + half, faults),
    ]


def _all_null(columns: Sequence[Column], flag: int) -> _Scored:
    return _Scored([pa.nulls(1, column.type) for column in columns], np.full(1, flag, dtype=np.uint32))


def _score_batch(
    system: System, estimator: Any, config: Any, columns: Sequence[Column], rows: pa.RecordBatch
) -> _Scored:
    made = system.inputs(config, rows)
    _check_inputs(system, made, rows.num_rows)
    flag = made.flag.copy()
    scorable = int(made.scorable.sum())
    if not scorable:
        return _Scored([pa.nulls(rows.num_rows, column.type) for column in columns], flag)
    with watched() as tiles:
        values = system.predict(estimator, made.arrays)
    if tiles.smaller:
        flag[made.scorable] |= np.uint32(SMALLER_TILE.mask)
    _check_names(system, columns, values)
    where = None if scorable == rows.num_rows else np.flatnonzero(made.scorable)
    arrays = []
    bad = np.zeros(scorable, dtype=bool)
    for column in columns:
        found = values[column.name]
        if isinstance(found, Lists):
            arrays.append(_lists(system, column, found, made.scorable, bad))
            continue
        data, null = _column(system, column, found, scorable, bad)
        if where is not None:
            data, null = _scatter(data, null, where, rows.num_rows)
        arrays.append(pa.array(data, type=column.type, mask=null))
    if bad.any():
        flag[bad if where is None else where[bad]] |= np.uint32(NON_FINITE_OUTPUT.mask)
    return _Scored(arrays, flag)


def _column(
    system: System, column: Column, values: NDArray[Any], length: int, bad: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return data with zeros under the nulls, and the nulls (None: none); mark non-finite rows in `bad`."""
    mask = np.ma.getmask(values)
    data = np.asarray(values.data if isinstance(values, np.ma.MaskedArray) else values)
    _check_column(system, column, data, length)
    null = None if mask is np.ma.nomask else np.asarray(mask)
    if data.dtype.kind == "f":
        finite = np.isfinite(data)
        if not finite.all():
            odd = ~finite if null is None else ~finite & ~null
            bad |= odd
            null = odd if null is None else null | odd
    if null is None or not null.any():
        return data, None
    data = data.copy()
    data[null] = data.dtype.type()
    return data, null


def _lists(
    system: System, column: Column, found: Lists, scorable: NDArray[np.bool_], bad: NDArray[np.bool_]
) -> pa.ListArray:
    """Return the lists of all rows, null where a row is not scorable; mark rows with infinite ones in `bad`."""
    kind, rows = column.type, int(scorable.sum())
    length = np.diff(found.offsets)
    whole = len(found) == rows and found.offsets[0] == 0 and found.offsets[-1] == len(found.values)
    if not pa.types.is_list(kind) or not whole or (length < 0).any():
        what = (
            f"`predict` gave {column.name} as {len(found)} lists for {rows} scorable rows, declared {column.dtype}"
        )
        raise _broken(system, what, column=column.name)
    if pa.from_numpy_dtype(found.values.dtype) != kind.value_type:
        what = f"`predict` gave {column.name} as lists of {found.values.dtype}, declared {column.dtype}"
        raise _broken(system, what, column=column.name)
    hole = (
        ~np.isfinite(found.values) if found.values.dtype.kind == "f" else np.zeros(len(found.values), dtype=bool)
    )
    infinite = hole & ~np.isnan(found.values)
    bad |= np.bincount(np.repeat(np.arange(rows), length), infinite, minlength=rows) > 0
    lengths = np.zeros(len(scorable), dtype=np.int64)
    lengths[scorable] = length
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    if offsets[-1] > np.iinfo(np.int32).max:
        msg = f"{column.name}: {offsets[-1]} elements in one batch are more than a list column holds"
        raise MemoryError(msg)
    flat = pa.array(np.where(hole, 0, found.values).astype(found.values.dtype), mask=hole if hole.any() else None)
    mask = None if scorable.all() else pa.array(~scorable)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat, mask=mask)


def _scatter(
    data: NDArray[Any], null: NDArray[np.bool_] | None, where: NDArray[np.intp], length: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Spread the values of the scorable rows over all rows; the others are null."""
    spread = np.zeros(length, dtype=data.dtype)
    spread[where] = data
    nulls = np.ones(length, dtype=bool)
    nulls[where] = False if null is None else null
    return spread, nulls


def units_of(schema: pa.Schema) -> dict[str, str]:
    """Return the units that rows say they have, by (dotted) column name."""
    units = {}
    for field in schema:
        units[field.name] = Column.of_field(field).unit
        if pa.types.is_struct(field.type):
            for child in field.type:
                column = Column.of_field(child, parent=field.name)
                units[column.name] = column.unit
    return units


def _check_rows(system: System, config: Any, schema: pa.Schema) -> None:
    names = set(schema.names)
    missing = sorted({c.parent for c in system.reads(config) if c.name not in names} - names)
    if missing:
        msg = (
            f"model {system.NAME} reads {', '.join(missing)}, which the rows do not have; "
            "map another column to that name, or add the layer that has it"
        )
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, missing=", ".join(missing))


def _broken(system: System, what: str, **context: Any) -> DataError:
    msg = f"model {system.NAME} broke its own contract: {what}; nothing of this batch was kept"
    return DataError(msg, kind=ErrorKind.MODEL_OUTPUT, model=system.NAME, **context)


def _check_inputs(system: System, made: Inputs, length: int) -> None:
    for name, array, dtype in (("flag", made.flag, np.uint32), ("scorable", made.scorable, np.bool_)):
        if array.shape != (length,) or array.dtype != dtype:
            what = f"`inputs` gave {name} as {array.dtype}{array.shape} for {length} rows"
            raise _broken(system, what)
    mute = np.flatnonzero(~made.scorable & (made.flag == 0))
    if len(mute):
        raise _broken(system, f"row {mute[0]} is not scorable but has no flag", row=int(mute[0]))


def _check_names(system: System, columns: Sequence[Column], values: Mapping[str, Any]) -> None:
    declared = {column.name for column in columns}
    if declared != set(values):
        missing, extra = sorted(declared - set(values)), sorted(set(values) - declared)
        what = f"`predict` left out {missing[:5]} and added {extra[:5]}"
        raise _broken(system, what)


def _check_column(system: System, column: Column, data: NDArray[Any], length: int) -> None:
    if data.shape != (length,):
        what = f"`predict` gave {column.name} with shape {data.shape} for {length} scorable rows"
        raise _broken(system, what, column=column.name)
    if data.dtype.kind in "UO":
        same = column.dtype in {"string", "large_string"}
    else:
        same = pa.from_numpy_dtype(data.dtype) == column.type
    if not same:
        what = f"`predict` gave {column.name} as {data.dtype}, declared {column.dtype}"
        raise _broken(system, what, column=column.name)
