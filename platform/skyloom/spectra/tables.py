"""Spectra in plain tables: Parquet, FITS binary tables, ECSV, CSV.

A table whose flux is one number a row is one spectrum; a table whose flux is a list a row
has a spectrum in each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SkyloomError, close_matches
from skyloom.spectra.reading import LOGARITHMS, Reading, stated_medium, usable_unit
from skyloom.spectra.spectrum import Spectrum, make_spectrum

__all__ = ["Columns", "parquet_spectra", "spectra_of", "text_spectra"]

BATCH_ROWS = 256
"""Rows of a Parquet file in memory."""

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
"""Columns of a table: of numbers, or of one array a row."""


def parquet_spectra(path: Path, reading: Reading) -> Iterator[Spectrum | SkyloomError]:
    """Yield the spectra of a Parquet file, and what is wrong with those that are none.

    Parameters
    ----------
    path : Path
    reading : Reading

    Raises
    ------
    DataError
        If the file is no Parquet, or its columns hold no spectra.
    """
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        chosen = _chosen(path, reading, schema.names)
        nested = not _is_number(schema.field(chosen["flux"]).type)
        wanted = {*chosen.values(), *_identity(reading, schema.names).values()}
        notes = {name: (schema.field(name).metadata or {}).get(b"unit", b"").decode() for name in wanted}
        batches = file.iter_batches(BATCH_ROWS, columns=sorted(wanted), use_threads=False)
        if not nested:
            batches = iter([file.read(columns=sorted(wanted), use_threads=False).combine_chunks()])
        first = 0
        for batch in batches:
            columns = {name: _arrays(batch[name]) for name in wanted}
            yield from spectra_of(columns, notes, reading, str(path), first=first)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def text_spectra(path: Path, reading: Reading) -> Iterator[Spectrum | SkyloomError]:
    """Yield the one spectrum of an ECSV or CSV file; as `parquet_spectra`."""
    from astropy.table import Table

    try:
        with path.open() as file:
            ecsv = file.readline().startswith("# %ECSV")
        table = Table.read(path, format="ascii.ecsv" if ecsv else "ascii.csv")
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise _unreadable(path, error) from error
    columns, notes = astropy_columns(table)
    yield from spectra_of(columns, notes, reading, str(path), header=table.meta.get)


def astropy_columns(table: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the columns of an astropy table, and the unit of each; empty where it has none."""
    columns = {name: _unmasked(table[name]) for name in table.colnames}
    return columns, {name: str(table[name].unit or "") for name in table.colnames}


def _unmasked(column: Any) -> Any:
    """Return a column with NaN where it is masked; as a list with None where it holds single integers."""
    if not np.ma.isMaskedArray(column) or not np.ma.getmaskarray(column).any() or column.dtype.kind not in "fiu":
        return np.asarray(column)
    if column.dtype.kind != "f" and column.ndim == 1:
        return column.tolist()
    return np.asarray(np.ma.filled(column if column.dtype.kind == "f" else column.astype(float), np.nan))


def spectra_of(
    columns: Columns,
    notes: Mapping[str, str],
    reading: Reading,
    where: str,
    *,
    header: Callable[[str], Any] = lambda key: None,
    first: int = 0,
) -> Iterator[Spectrum | SkyloomError]:
    """Yield the spectra in the columns of a table, and what is wrong with those that are none.

    Parameters
    ----------
    columns : mapping
        Columns by name.
    notes : mapping of str to str
        Units by column, empty where the table states none.
    reading : Reading
    where : str
        The file, for messages.
    header : callable
        From a key of the table's header to its value, or None.
    first : int
        Number of the first row in its file.
    """
    chosen = _chosen(where, reading, columns)
    flux = columns[chosen["flux"]]
    whole = len(flux) == 0 or np.ndim(flux[0]) == 0
    keys = _identity(reading, columns)
    for row in range(1 if whole else len(flux)):
        place = where if whole else f"{where}, row {first + row}"

        def look(key: str, row: int = row) -> Any:
            if key.lower() in keys and len(columns[keys[key.lower()]]) > row:
                return _plain(columns[keys[key.lower()]][row])
            return header(key)

        try:
            yield _one(columns, notes, reading, chosen, place, look, row=None if whole else row)
        except SkyloomError as error:
            yield error
        except (TypeError, ValueError) as error:  # a column of texts, say
            msg = f"{place} is no usable spectrum: {error}"
            yield DataError(msg, kind=ErrorKind.BAD_ROW, where=place)


def _one(  # noqa: PLR0917 - one row of a table, all of it
    columns: Columns,
    notes: Mapping[str, str],
    reading: Reading,
    chosen: Mapping[str, str],
    where: str,
    look: Callable[[str], Any],
    *,
    row: int | None,
) -> Spectrum:
    def values(what: str) -> Any:
        if what not in chosen:
            return None
        column = columns[chosen[what]]
        found = column if row is None else column[row]
        if found is None:
            msg = f"{where} is no usable spectrum: its {chosen[what]} is null"
            raise DataError(msg, kind=ErrorKind.BAD_ROW, where=where)
        return np.array(found, np.float64) if isinstance(found, list) else np.asarray(found)  # None becomes NaN

    flux = values("flux")
    if "wavelength" in chosen:
        name = chosen["wavelength"]
        wavelength = _wavelengths(values("wavelength"), name, notes.get(name, ""), reading, where)
    else:
        start, step = (float(np.ravel(values(what))[0]) for what in ("start", "step"))
        wavelength = np.power(10.0, start + step * np.arange(len(flux)))
    ivar, error = values("ivar"), values("error")
    if ivar is None and error is None and reading.ivar:
        msg = (
            f"{where} has no inverse variance or error; name its column with --columns, or say --no-ivar to store "
            "flux alone"
        )
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, where=where)
    return make_spectrum(
        where, wavelength, flux, ivar=ivar, error=None if ivar is not None else error, mask=values("mask"),
        negative_is_bad=reading.negative_is_bad,
        unit=usable_unit(notes.get(chosen["flux"]), reading.unit, where),
        medium=stated_medium(look) or reading.medium, **reading.named(look, where),
    )  # fmt: skip


def _wavelengths(
    values: NDArray[Any], name: str, stated: str, reading: Reading, where: str
) -> NDArray[np.float64]:
    """Return wavelengths in Angstrom, of a column in any unit of wavelength, frequency or energy."""
    from astropy import units

    if name.lower() in LOGARITHMS:
        return np.asarray(10.0 ** np.asarray(values, np.float64))
    unit = stated or reading.wavelength_unit
    try:
        return np.asarray((np.asarray(values, np.float64) * units.Unit(unit)).to_value(units.AA, units.spectral()))
    except ValueError as error:
        msg = f"{where}: {name} is in {unit!r}, which is no unit of a wavelength: {error}"
        raise DataError(msg, kind=ErrorKind.COLUMN_UNIT, where=where) from error


def _chosen(where: Any, reading: Reading, names: Any) -> dict[str, str]:
    chosen = reading.chosen(names)
    if not chosen:
        msg = (
            f"{where} holds no spectra that can be recognised: it needs a flux, and wavelengths or coeff0 and "
            f"coeff1; {close_matches('flux', names)} Name them with --columns"
        )
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, where=str(where))
    return chosen


def _identity(reading: Reading, names: Any) -> dict[str, str]:
    """Return the columns that may say which object a spectrum is of, by lower-case key."""
    from skyloom.spectra.reading import POSITIONS

    pairs = POSITIONS if reading.position_keys is None else (reading.position_keys,)
    asked = {reading.id_key} if reading.id_key is not None else set(itertools.chain(*pairs))
    asked |= {"vacuum", "airorvac"}
    known = {name.lower(): name for name in names}
    return {key.lower(): known[key.lower()] for key in asked if key is not None and key.lower() in known}


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_floating(type_) or pa.types.is_integer(type_))


def _arrays(column: pa.ChunkedArray | pa.Array) -> Any:
    """Return a column as numbers, or as a list with an array a row: None where it is null."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column.type, pa.FixedShapeTensorType):
        column = column.storage
    types = pa.types
    if not (
        types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type)
    ):
        # With nulls among them integers would become floats, and ids others.
        exact = _is_number(column.type) and not (column.null_count and types.is_integer(column.type))
        return column.to_numpy(zero_copy_only=False) if exact else column.to_pylist()
    return [_values(cell) for cell in column]


def _values(cell: Any) -> NDArray[Any] | None:
    return None if not cell.is_valid else cell.values.to_numpy(zero_copy_only=False)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def _unreadable(path: Any, error: Exception) -> DataError:
    msg = f"{path} cannot be read as a table of spectra: {error}"
    return DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path))
