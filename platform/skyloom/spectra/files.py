"""Spectra on disk: a file is opened once, and read by specutils or as a plain table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skyloom.errors import DataError, ErrorKind, SkyloomError, SpecError
from skyloom.places import files_at
from skyloom.spectra.reading import Reading, stated_medium, usable_unit
from skyloom.spectra.spectrum import Spectrum, make_spectrum, require_specutils
from skyloom.spectra.tables import Columns, astropy_columns, parquet_spectra, spectra_of, text_spectra

__all__ = ["find_spectra", "read_spectra"]

FITS = (".fits", ".fit", ".fits.gz", ".fz")
TABLES = (".parquet", ".ecsv", ".csv")
PLAIN = "tabular-fits"
"""What specutils calls a table that no survey's own reader knows: its columns are looked at here first."""
LAMOST = "LAMOST"
LAMOST_ROWS = ("flux", "ivar", "wavelength", "mask")
"""Of its images; in later releases it publishes tables."""


def find_spectra(places: Sequence[str]) -> list[Path]:
    """Return the files of spectra at some places, in their order, each once.

    Raises
    ------
    NotFoundError
        If there is none at a place.
    """
    found = (path for place in places for path in files_at(place, (*FITS, *TABLES), what="spectrum"))
    return list(dict.fromkeys(found))


def read_spectra(path: Path, reading: Reading) -> Iterator[Spectrum | SkyloomError]:
    """Yield the spectra of a file, and what is wrong with those that are none.

    FITS is read by specutils where it recognises a survey's format; other tables of FITS,
    ECSV, CSV and Parquet by their columns.

    Parameters
    ----------
    path : Path
    reading : Reading

    Yields
    ------
    Spectrum or SkyloomError
        In the order of the file.
    """
    lower = path.name.lower()
    if lower.endswith(".parquet"):
        found = parquet_spectra(path, reading)
    elif lower.endswith((".ecsv", ".csv")):
        found = text_spectra(path, reading)
    else:
        found = _fits_spectra(path, reading)
    try:
        yield from found
    except SkyloomError as error:
        yield error


def _fits_spectra(path: Path, reading: Reading) -> Iterator[Spectrum | SkyloomError]:
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    require_specutils()
    # What astropy and specutils' readers raise on a file that is not what it seems.
    broken = (
        OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, RuntimeError,
        fits.VerifyError,
    )  # fmt: skip
    with warnings.catch_warnings():
        # Headers of surveys break the standard in many harmless ways.
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            with fits.open(path, memmap=False) as hdus:
                yield from _of_hdus(hdus, path, reading)
        except broken as error:
            msg = f"{path} cannot be read as a spectrum: {type(error).__name__}: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error


def _of_hdus(hdus: Any, path: Path, reading: Reading) -> Iterator[Spectrum | SkyloomError]:
    look = _looker(hdus)
    name = reading.format
    if name is None:
        name = PLAIN if reading.columns else _recognised(hdus, path)
        found = _columns(hdus, reading) if name in {PLAIN, LAMOST} else None
        if found is not None:
            yield from spectra_of(*found, reading, str(path), header=look)
            return
    if name is None:
        msg = f"{path} is FITS, and no spectrum in a format that is known; name one of specutils' with --format"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path))
    yield _by_specutils(hdus, path, name, reading, look)


def _columns(hdus: Any, reading: Reading) -> tuple[Columns, dict[str, str]] | None:
    """Return columns and units of the first table that holds spectra; None if none does.

    Raises
    ------
    SpecError
        If columns were asked for that no table has.
    """
    from astropy.io import fits
    from astropy.table import Table

    lacking = None
    for hdu in hdus:
        if _is_lamost(hdu):
            return {name: [row] for name, row in zip(LAMOST_ROWS, hdu.data, strict=False)}, {}
        if isinstance(hdu, fits.BinTableHDU):
            try:
                if reading.chosen(hdu.columns.names):
                    return astropy_columns(Table.read(hdu, character_as_bytes=False))
            except SpecError as error:
                lacking = error
    if lacking is not None:
        raise lacking
    return None


def _is_lamost(hdu: Any) -> bool:
    """Return whether an HDU is the image of a spectrum, as LAMOST published them in its first releases."""
    said = str(hdu.header.get("TELESCOP", "")).strip()
    return bool(said == LAMOST and hdu.is_image and len(hdu.shape) == 2 and hdu.shape[0] >= len(LAMOST_ROWS))


def _recognised(hdus: Any, path: Path) -> str | None:
    from astropy.io import registry
    from specutils import Spectrum as Foreign

    if _is_lamost(hdus[0]):
        return LAMOST
    found = registry.identify_format("read", Foreign, None, None, [hdus], {})
    if len(found) > 1:
        msg = f"{path} may be any of {', '.join(found)}; say which with --format"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path))
    return found[0] if found else None


def _by_specutils(hdus: Any, path: Path, name: str, reading: Reading, look: Callable[[str], Any]) -> Spectrum:
    from astropy import units
    from astropy.io.registry import IORegistryError
    from specutils import Spectrum as Foreign

    where = str(path)
    try:
        found = Foreign.read(hdus, format=name)
        wavelength = found.spectral_axis.to_value(units.AA, units.spectral())
    except units.UnitConversionError as error:
        msg = f"{where}: its axis is in {found.spectral_axis.unit}, which is no unit of a wavelength: {error}"
        raise DataError(msg, kind=ErrorKind.COLUMN_UNIT, file=where) from error
    except IORegistryError as error:
        msg = f"{where} cannot be read as {name!r}: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=where) from error
    stated = "" if found.flux.unit == units.dimensionless_unscaled else str(found.flux.unit)
    return make_spectrum(
        where, wavelength, found.flux.value, mask=found.mask, negative_is_bad=reading.negative_is_bad,
        **_errors(found, where, required=reading.ivar),
        unit=usable_unit(stated, reading.unit, where), medium=stated_medium(look) or reading.medium,
        **reading.named(look, where),
    )  # fmt: skip


def _errors(found: Any, where: str, *, required: bool) -> dict[str, Any]:
    """Return the errors of a spectrum as `make_spectrum` takes them, in the unit of its flux."""
    from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

    held = found.uncertainty
    if held is None:
        if required:
            msg = f"{where} has no uncertainties; say --no-ivar to store flux alone"
            raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, where=where)
        return {}
    powers = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}
    if type(held) not in powers:
        msg = f"{where}: its uncertainties are {type(held).__name__}; deviations and variances can be used"
        raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, where=where)
    power = powers[type(held)]
    values = held.array if held.unit is None else held.quantity.to_value(found.flux.unit**power)
    if power == 2:
        return {"ivar": np.divide(1.0, values, out=np.zeros(len(values)), where=values != 0)}
    return {"error" if power == 1 else "ivar": values}


def _looker(hdus: Any) -> Callable[[str], Any]:
    """Return a look-up of a key in the headers of a file, then in the columns of its tables of one row."""
    from astropy.io import fits

    def look(key: str) -> Any:
        for hdu in hdus:
            if key in hdu.header:
                return hdu.header[key]
        for hdu in hdus:
            if isinstance(hdu, fits.BinTableHDU) and hdu.header["NAXIS2"] == 1:
                for name in hdu.columns.names:
                    if name.lower() == key.lower():
                        value = hdu.data[name][0]
                        return value.item() if isinstance(value, np.generic) else value
        return None

    return look
