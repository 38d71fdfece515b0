"""Positions in degrees, from whatever a foreign table writes them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.catalog.raw import input_column
from skyloom.catalog.spec import ObjectsSpec
from skyloom.errors import DataError, ErrorKind

__all__ = ["sky_position"]


def sky_position(
    table: pa.Table, spec: ObjectsSpec, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination in degrees; NaN where there is none.

    Three columns are (h, m, s) or (d, m, s); text is read as sexagesimal; numbers are in the
    unit that the spec declares. Nothing is said yet about the range.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN.
    DataError
        BAD_FILE if a column is neither number nor text.
    """
    ra = _angle(table, spec.ra, None, path)
    dec = _angle(table, spec.dec, spec.dec_sign, path)
    to_degrees = {"deg": 1.0, "hour": 15.0, "rad": np.degrees(1.0)}
    ra, dec = ra * to_degrees[spec.ra_unit], dec * to_degrees[spec.dec_unit]
    if spec.wrap_ra:
        ra = np.where((ra >= -180) & (ra < 0), ra + 360, np.where(ra == 360, 0.0, ra))
        ra = np.where(ra == 360, 0.0, ra)  # -1e-20 + 360 rounds to 360
    return ra, dec


def _angle(
    table: pa.Table, names: str | tuple[str, str, str], sign: str | None, path: Path
) -> NDArray[np.float64]:
    if isinstance(names, str):
        values = input_column(table, names, path)
        if pa.types.is_string(values.type):
            return _sexagesimal_text(values)
        return _floats(values, names, path)
    whole, minutes, seconds = (_floats(input_column(table, name, path), name, path) for name in names)
    negative = np.signbit(whole)  # true of -0.0 too: 12 arcminutes south of the equator
    if sign is not None:
        marks = pc.utf8_trim_whitespace(input_column(table, sign, path))
        negative = np.asarray(pc.fill_null(pc.equal(marks, "-"), fill_value=False))
    size = np.abs(whole) + np.where((minutes >= 0) & (minutes < 60), minutes, np.nan) / 60
    size = size + np.where((seconds >= 0) & (seconds < 60), seconds, np.nan) / 3600
    return np.where(negative, -size, size)


_SEXAGESIMAL = (
    r"^\s*(?P<sign>[+-]?)(?P<d>\d+)[:hd°\s]\s*(?P<m>[0-5]?\d)[:m'\s]\s*(?P<s>[0-5]?\d(?:\.\d*)?)[s\"]?\s*$"
)


def _sexagesimal_text(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Read ``-00:12:03.4`` and its like; NaN where the text is none of them."""
    parts = pc.extract_regex(values, pattern=_SEXAGESIMAL).combine_chunks()
    whole, minutes, seconds = (
        np.asarray(parts.field(i).cast(pa.float64()).to_numpy(zero_copy_only=False)) for i in (1, 2, 3)
    )
    size = whole + minutes / 60 + seconds / 3600
    negative = np.asarray(pc.fill_null(pc.equal(parts.field(0), "-"), fill_value=False))
    size = np.where(np.asarray(parts.is_null()), np.nan, size)
    return np.where(negative, -size, size)


def _floats(values: pa.ChunkedArray, name: str, path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(values.cast(pa.float64()).to_numpy(), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        msg = f"{path}: position column {name!r} is {values.type}, no number: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path), column=name) from error
