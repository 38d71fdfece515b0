"""Foreign tables as Arrow: one reader per format, all in native byte order, with nulls as nulls.

Every value that leaves this module is an Arrow value: masked FITS and VOTable entries are
nulls, bytes are strings, big-endian numbers are native, 64-bit integers are exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.catalog.files import parquet_errors, read_footer
from skyloom.catalog.spec import ColumnSpec, TableSpec
from skyloom.columns import arrow_type
from skyloom.errors import DataError, ErrorKind

__all__ = ["arrow_of_astropy", "read_tables"]

_CHUNK_ROWS = 500_000


def read_tables(spec: TableSpec, columns: Sequence[str] | None) -> Iterator[tuple[Path, pa.Table]]:
    """Yield the input in pieces of bounded size: (file, rows), in the order of the files.

    Parameters
    ----------
    spec : TableSpec
        Which files, in which format.
    columns : sequence of str or None
        Names in the input to read; a file that lacks one is the caller's to refuse. None
        reads all.

    Raises
    ------
    DataError
        BAD_FILE, naming the file, if one cannot be read.
    """
    for path in spec.paths():
        readers = {
            "parquet": _read_parquet, "csv": _read_csv, "fits": _read_fits, "ecsv": _read_ecsv,
            "votable": _read_votable,
        }  # fmt: skip
        for table in readers[spec.format_of(path)](path, spec, columns):
            yield path, table


def _read_parquet(path: Path, _: TableSpec, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    read_footer(str(path))
    with parquet_errors(str(path)):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        known = file.schema_arrow.names
        chosen = known if columns is None else [name for name in columns if name in known]
        pieces = iter(file.iter_batches(batch_size=_CHUNK_ROWS, columns=chosen))
        schema = pa.schema([file.schema_arrow.field(name) for name in chosen])
        empty = True
        while (batch := next(pieces, None)) is not None:
            empty = False
            yield pa.Table.from_batches([batch]).select(chosen).cast(schema)
        if empty:
            yield schema.empty_table()


def _read_csv(path: Path, spec: TableSpec, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Read a CSV as text, then find each column's type over the whole file.

    Arrow's own inference would turn integers above 2^63 into floats, and type a column by
    its first block.
    """
    from pyarrow import csv

    delimiter = spec.delimiter or ("\t" if ".tsv" in path.name.lower() else ",")
    skip = _leading_comments(path, spec.comment) if spec.comment else 0
    try:
        with pa.input_stream(str(path)) as stream:  # decompresses by the name's ending
            names = csv.open_csv(
                stream,
                read_options=csv.ReadOptions(skip_rows=skip),
                parse_options=csv.ParseOptions(delimiter=delimiter),
            ).schema.names
        chosen = names if columns is None else [name for name in columns if name in names]
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=chosen,
            strings_can_be_null=True,
            null_values=["", "NULL", "null", "NaN", "nan", "N/A", "NA", "None", "\\N"],
        )
        with pa.input_stream(str(path)) as stream:
            table = csv.read_csv(
                stream,
                read_options=csv.ReadOptions(skip_rows=skip),
                parse_options=csv.ParseOptions(delimiter=delimiter),
                convert_options=options,
            )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise _bad_file(path, f"CSV: {error}") from error
    specs = {column.source or name: column for name, column in spec.columns.items()}
    yield pa.table({name: _typed_text(table[name], specs.get(name), path, name) for name in chosen})


def _leading_comments(path: Path, comment: str) -> int:
    with pa.input_stream(str(path)) as stream:
        lines = stream.read(1 << 20).decode("utf-8", errors="replace").splitlines()
    return next((n for n, line in enumerate(lines) if not line.startswith(comment)), 0)


def _typed_text(column: pa.ChunkedArray, spec: ColumnSpec | None, path: Path, name: str) -> pa.ChunkedArray:
    """Return text as the type declared, else as what all of it can be."""
    if spec is not None and spec.null_values:
        texts = [value for value in spec.null_values if isinstance(value, str)]
        column = pc.if_else(pc.is_in(column, pa.array(texts, pa.string())), pa.scalar(None, pa.string()), column)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    if spec is None or spec.dtype is None or spec.words or spec.scale is not None or spec.dtype == "bool":
        return _inferred(column)
    try:
        target = arrow_type(spec.dtype)
        return column if pa.types.is_string(target) else pc.utf8_trim_whitespace(column).cast(target)
    except pa.ArrowInvalid as error:
        raise _bad_file(path, f"column {name!r} is not {spec.dtype}: {error}") from error


def _inferred(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as int64, uint64, bool or float64 where every value is one, else as it is."""
    text = pc.utf8_trim_whitespace(column)
    if pc.all(pc.is_in(pc.utf8_lower(text), pa.array(["true", "false", None]))).as_py():
        return pc.equal(pc.utf8_lower(text), "true")
    # A leading zero is part of a name ("007"), never of a number.
    if pc.any(pc.match_substring_regex(text, r"^[+-]?0[0-9]+$")).as_py():
        return column
    candidates = [pa.float64()]
    if pc.all(pc.match_substring_regex(text, r"^[+-]?[0-9]+$")).as_py():
        candidates = [pa.int64(), pa.uint64()]
    for target in candidates:
        try:
            return text.cast(target)
        except pa.ArrowInvalid:
            continue
    return column


def _read_fits(path: Path, spec: TableSpec, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    from astropy.table import Table

    where = {} if spec.hdu is None else {"hdu": spec.hdu}
    yield from _pieces(
        _astropy(path, lambda: Table.read(path, format="fits", memmap=True, **where)), columns, nan=True
    )


def _read_ecsv(path: Path, _: TableSpec, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    from astropy.table import Table

    yield from _pieces(_astropy(path, lambda: Table.read(path, format="ascii.ecsv")), columns)


def _read_votable(path: Path, _: TableSpec, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    from astropy.io.votable import parse_single_table

    yield from _pieces(
        _astropy(path, lambda: parse_single_table(str(path)).to_table(use_names_over_ids=True)),
        columns,
        nan=True,
    )


def _astropy(path: Path, read: Any) -> Any:
    """Call a reader of astropy, which raises all manner of errors on a broken file."""
    import warnings

    from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            return read()
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _bad_file(path, str(error) or type(error).__name__) from error


def _pieces(table: Any, columns: Sequence[str] | None, *, nan: bool = False) -> Iterator[pa.Table]:
    """Yield an astropy table as Arrow; `nan` where the format writes a missing float so."""
    chosen = [name for name in table.colnames if columns is None or name in columns]
    for start in range(0, max(1, len(table)), _CHUNK_ROWS):
        rows = table[start : start + _CHUNK_ROWS]
        arrays = [arrow_of_astropy(rows[name], nan_is_null=nan) for name in chosen]
        fields = [
            pa.field(name, array.type, metadata=_notes(table[name]))
            for name, array in zip(chosen, arrays, strict=True)
        ]
        yield pa.table(arrays, schema=pa.schema(fields))


def _notes(column: Any) -> dict[str, str] | None:
    """Return unit, UCD and description as FITS, VOTable or ECSV declare them."""
    unit = getattr(column, "unit", None)
    meta = getattr(column, "meta", None) or {}
    notes = {
        "unit": "" if unit is None else str(unit),
        "ucd": str(meta.get("ucd", "")),
        "description": re.sub(r"\s+", " ", str(getattr(column, "description", None) or "")),
    }
    return {key: text for key, text in notes.items() if text} or None


def arrow_of_astropy(column: Any, *, nan_is_null: bool = False) -> pa.Array:
    """Turn one column of an astropy table into Arrow: the only place where that is done.

    Parameters
    ----------
    column : astropy.table.Column or MaskedColumn
        Of one or two dimensions; any byte order; numbers, booleans, bytes or strings.
    nan_is_null : bool
        Take NaN for a missing value, as FITS and VOTable write one.

    Returns
    -------
    pyarrow.Array
        Masked entries are nulls; bytes are decoded (UTF-8) and stripped of padding; two
        dimensions give a list per row.

    Raises
    ------
    DataError
        BAD_FILE if the column holds something that a catalog cannot (complex numbers, more
        dimensions).
    """
    values = np.asarray(getattr(column, "data", column))
    mask = np.broadcast_to(np.asarray(getattr(column, "mask", False)), values.shape)
    values = np.ma.getdata(values)
    if nan_is_null and values.dtype.kind == "f":
        mask = mask | np.isnan(values)
    if values.ndim > 2 or values.dtype.kind not in "biufSUO":
        msg = (
            f"column {column.name!r} has {values.ndim} dimensions of {values.dtype}; a catalog keeps numbers, "
            "booleans and text, one or a list per row: leave the column out of `columns`"
        )
        raise DataError(msg, kind=ErrorKind.BAD_FILE, column=str(column.name))
    if values.ndim == 2:
        flat = _flat_arrow(values.reshape(-1), mask.reshape(-1))
        offsets = np.arange(values.shape[0] + 1, dtype=np.int32) * values.shape[1]
        return pa.ListArray.from_arrays(pa.array(offsets), flat)
    return _flat_arrow(values, mask)


def _flat_arrow(values: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> pa.Array:
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "U":
        return pa.array(np.char.rstrip(values).astype(object), pa.string(), mask=np.array(mask))
    if values.dtype.kind == "O":
        items = [_plain(value) if not out else None for value, out in zip(values, mask, strict=True)]
        return pa.array(items)
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
    return pa.array(native, mask=np.array(mask) if mask.any() else None)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ma.MaskedArray):
        return value.tolist()
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _bad_file(path: Path, why: str) -> DataError:
    msg = f"{path} cannot be read: {why}. Repair the file, or set `format`"
    return DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path))
