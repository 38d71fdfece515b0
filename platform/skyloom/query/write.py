"""A query's result in a file, with units and descriptions where the format has a place for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["RESULT_FORMATS", "check_output", "csv_table", "partial_file", "write_result"]

# A spreadsheet runs a cell that begins with one of these.
_FORMULA = "^[=+\\-@\t\r]"


def write_result(table: pa.Table, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a result to a file; its name says the format.

    - ``.parquet``: everything, exactly, metadata included.
    - ``.csv``: no units; nested columns as JSON; a text that begins with ``= + - @`` gets a
      ``'`` before it, because spreadsheets would run it as a formula.
    - ``.ecsv``, ``.vot``, ``.fits`` (through astropy): unit, description and UCD of each column;
      times as ISO 8601 text; integers with nulls are masked, not turned into floats.

    Parameters
    ----------
    table : pyarrow.Table
        A query's result.
    path : str or Path
        Where to. The file appears when it is complete.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    SpecError
        BAD_PARAMETER for another file ending, ALREADY_EXISTS for a file that is there, BAD_NAME for two
        columns of one name, COLUMN_TYPE for a column that the format cannot hold.
    """
    path = check_output(path, overwrite=overwrite, columns=table.column_names)
    with partial_file(path) as partial:
        _WRITERS[path.suffix.lower()](table, partial)


def check_output(path: str | Path, *, overwrite: bool = False, columns: Sequence[str] = ()) -> Path:
    """Refuse what `write_result` would refuse of a file's name and of the columns' names.

    Raises
    ------
    SpecError
        See `write_result`.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        offer = close_matches(path.suffix, _WRITERS)
        msg = f"{path} ends in {path.suffix or 'nothing'}, which is no format of a result: {offer}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, path=str(path))
    if path.exists() and not overwrite:
        msg = f"{path} exists: choose another name, or ask to overwrite it"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, path=str(path))
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        msg = f"two columns of the result are called {twice[0]!r}: name one of them with AS"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, column=twice[0])
    return path


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Yield a name beside `path`; what is there at the end takes its place, unless an error ended it."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _parquet(table: pa.Table, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(table, path)


def _csv(table: pa.Table, path: Path) -> None:
    from pyarrow import csv

    csv.write_csv(csv_table(table), path)


def csv_table(table: pa.Table) -> pa.Table:
    """Return a table as CSV has it: nested columns as JSON, no text that is a formula."""
    columns = [_csv_column(column) for column in table.columns]
    names = pa.array(table.column_names, pa.string())
    return pa.table(columns, names=_no_formula(names).to_pylist())


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    import json

    from skyloom.query.render import to_json_rows

    if pa.types.is_nested(column.type):
        rows = to_json_rows(pa.table({"c": column}))
        return pa.array([None if row["c"] is None else json.dumps(row["c"]) for row in rows], pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return _no_formula(column) if _is_text(column.type) else column


def _no_formula(column: Any) -> Any:
    return pc.if_else(
        pc.match_substring_regex(column, _FORMULA), pc.binary_join_element_wise("'", column, ""), column
    )


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def _ecsv(table: pa.Table, path: Path) -> None:
    _astropy(table, path, "ECSV").write(path, format="ascii.ecsv")


def _votable(table: pa.Table, path: Path) -> None:
    from astropy.io.votable import from_table, writeto

    writeto(from_table(_astropy(table, path, "VOTable")), str(path))


def _fits(table: pa.Table, path: Path) -> None:
    from astropy.io import fits

    plain = _astropy(table, path, "FITS")
    about = {name: (plain[name].description, plain[name].meta.get("ucd")) for name in plain.colnames}
    for name in plain.colnames:
        # As keywords of the header instead, where TOPCAT and others read them.
        plain[name].description = None
        plain[name].meta.clear()
    hdu = fits.table_to_hdu(plain)
    for i, name in enumerate(plain.colnames, start=1):
        for keyword, value in zip((f"TCOMM{i}", f"TUCD{i}"), about[name], strict=True):
            if value:
                hdu.header[keyword] = value.encode("ascii", "replace").decode()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _astropy(table: pa.Table, path: Path, format_name: str) -> Any:
    from astropy.table import MaskedColumn, Table

    out = Table()
    for field, column in zip(table.schema, table.columns, strict=True):
        values, mask = _values(field, column.combine_chunks(), format_name)
        metadata = {k.decode(): v.decode(errors="replace") for k, v in (field.metadata or {}).items()}
        built = MaskedColumn(values, name=field.name, mask=mask, description=metadata.get("description") or None)
        if metadata.get("unit"):
            from astropy import units

            built.unit = units.Unit(metadata["unit"], parse_strict="silent")
        if metadata.get("ucd"):
            built.meta["ucd"] = metadata["ucd"]
        if mask.any() and values.dtype.kind in "iu":
            built.fill_value = _unused(values[~mask], field.name, path)
        out[field.name] = built if mask.any() else built.filled()
    return out


def _values(field: pa.Field, column: pa.Array, format_name: str) -> tuple[Any, Any]:
    """Return numpy values and mask of a column, in types that all three formats have."""
    dtype = field.type
    if pa.types.is_dictionary(dtype):
        column, dtype = column.cast(dtype.value_type), dtype.value_type
    if pa.types.is_nested(dtype) or pa.types.is_binary(dtype):
        msg = (
            f"column {field.name!r} is {str(dtype)[:60]}, which skyloom does not write as "
            f"{format_name}: write .parquet, or unnest it in SQL"
        )
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, column=field.name)
    mask = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_decimal(dtype):
        whole = dtype.scale == 0 and dtype.precision <= 38
        column = _fitting(column) if whole else column.cast(pa.float64())
        dtype = column.type
    if dtype == pa.uint64() and format_name == "VOTable":
        column = _signed(field, column)
        dtype = column.type
    if pa.types.is_boolean(dtype) and mask.any():
        column, dtype = column.cast(pa.int16()), pa.int16()
    if pa.types.is_integer(dtype):
        return column.fill_null(0).to_numpy(zero_copy_only=False).astype(_portable(dtype, format_name)), mask
    if pa.types.is_floating(dtype) or pa.types.is_boolean(dtype):
        return column.to_numpy(zero_copy_only=False), mask
    text = [("" if v is None else v if isinstance(v, str) else str(v)) for v in _texts(column)]
    return np.array(text, dtype=str if text else "U1"), mask


def _texts(column: pa.Array) -> list[Any]:
    values = column.to_pylist()
    return [v.isoformat() if hasattr(v, "isoformat") else v for v in values]


def _fitting(column: pa.Array) -> pa.Array:
    """Return whole decimals (sums of integers) as int64, or as float64 where they do not fit."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.float64())


def _signed(field: pa.Field, column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        msg = (
            f"column {field.name!r} has integers above 2^63, which VOTable does not have: "
            f"select CAST({field.name} AS VARCHAR)"
        )
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, column=field.name) from None


def _portable(dtype: pa.DataType, format_name: str) -> Any:
    """Return the numpy type; VOTable has no unsigned integers but bytes, FITS and VOTable no int8."""
    numpy_type = np.dtype(dtype.to_pandas_dtype())
    if format_name == "VOTable":
        return {"uint16": np.int32, "uint32": np.int64, "int8": np.int16}.get(numpy_type.name, numpy_type)
    return np.int16 if numpy_type == np.int8 else numpy_type


def _unused(values: Any, column: str, path: Path) -> int:
    """Return an integer that stands for null: one that is not among the values."""
    info = np.iinfo(values.dtype)
    present = set(np.unique(values).tolist()) if info.bits <= 16 else values
    # From the ends inwards; more than 2^16 distinct values at both ends are not searched for.
    for step in range(min(info.max - info.min + 1, 2**16)):
        for candidate in (int(info.min) + step, int(info.max) - step) if info.min < 0 else (int(info.max) - step,):
            if candidate not in present:
                return candidate
    msg = f"{path}: column {column!r} has nulls and every integer that could stand for them: write .parquet"
    raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, column=column)


_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".ecsv": _ecsv,
    ".vot": _votable,
    ".fits": _fits,
}
RESULT_FORMATS = tuple(_WRITERS)
"""File endings that `write_result` knows."""
