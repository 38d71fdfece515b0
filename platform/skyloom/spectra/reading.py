"""How to read spectra: what a user says where files do not, and the names of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skyloom.errors import DataError, ErrorKind, SpecError, close_matches

__all__ = ["NAMES", "Reading", "stated_medium", "usable_unit"]

NAMES: Mapping[str, tuple[str, ...]] = {
    "wavelength": ("wavelength", "wave", "lambda", "loglam", "log_wavelength"),
    "start": ("coeff0",),
    "step": ("coeff1",),
    "flux": ("flux",),
    "ivar": ("ivar", "invvar", "inverse_variance"),
    "error": ("error", "flux_error", "flux_err", "err", "sigma", "uncertainty"),
    "mask": ("mask", "and_mask", "andmask"),
}
"""Names that columns have where nobody says theirs, the likeliest first; case does not matter."""
LOGARITHMS = ("loglam", "log_wavelength")
"""Of these columns, which hold decimal logarithms of a wavelength in Angstrom."""
POSITIONS = (("plug_ra", "plug_dec"), ("target_ra", "target_dec"), ("ra_obj", "dec_obj"), ("ra", "dec"))
"""Header keys of a target's position: before RA and DEC, which often are the telescope's."""


@dataclass(frozen=True)
class Reading:
    """How to read spectra.

    Raises
    ------
    SpecError
        If a column is named for something that a spectrum does not have.
    """

    format: str | None = None
    """One of specutils' formats; recognised unless told."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Names of columns by what they are: a key of `NAMES`."""
    id_key: str | None = None
    """Header key, or column, that names a spectrum."""
    position_keys: tuple[str, str] | None = None
    """Header keys, or columns, of right ascension and declination in degrees; `POSITIONS` unless told."""
    unit: str = ""
    """Of fluxes that state none."""
    wavelength_unit: str = "Angstrom"
    """Of wavelengths that state none."""
    medium: str = ""
    """Of wavelengths that state none: ``"vacuum"`` or ``"air"``."""
    ivar: bool = True
    """Whether spectra without errors are refused."""
    negative_is_bad: bool = False
    """Whether a pixel with a negative inverse variance or error is bad; else its spectrum is refused."""

    def __post_init__(self) -> None:
        for what in self.columns:
            if what not in NAMES:
                msg = f"a spectrum has no column {what!r}: {close_matches(what, NAMES)}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    def chosen(self, names: Iterable[str]) -> dict[str, str]:
        """Return which of a table's columns is what; empty if the table holds no spectra.

        Raises
        ------
        SpecError
            If a column that was asked for is not there.
        """
        known = {name.lower(): name for name in names}
        found = {}
        for what, usual in NAMES.items():
            asked = self.columns.get(what)
            if asked is not None and asked.lower() not in known:
                msg = f"there is no column {asked!r} for the {what}: {close_matches(asked, known.values())}"
                raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=asked)
            name = known.get(asked.lower()) if asked else next((known[n] for n in usual if n in known), None)
            if name is not None:
                found[what] = name
        if "ivar" in found and "ivar" not in self.columns and "error" in self.columns:
            del found["ivar"]
        has_grid = "wavelength" in found or {"start", "step"} <= found.keys()
        return found if "flux" in found and has_grid else {}

    def named(self, look: Any, where: str) -> dict[str, Any]:
        """Return id and position of a spectrum.

        Parameters
        ----------
        look : callable
            From a key to its value, or None.
        where : str
            For messages.

        Raises
        ------
        DataError
            If `id_key` is told and not there, or a position is no number in degrees.
        """
        said: dict[str, Any] = {}
        if self.id_key is not None:
            value = look(self.id_key)
            if value is None:
                msg = f"{where} has no {self.id_key!r} to know the spectrum by; name another --id-key"
                raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, where=where)
            said["id"] = _identifier(value, self.id_key, where)
        else:
            pairs = POSITIONS if self.position_keys is None else (self.position_keys,)
            for keys in pairs:
                found = [look(key) for key in keys]
                if None not in found:
                    said["ra"], said["dec"] = (_degrees(value, keys, where) for value in found)
                    break
        return said


def _identifier(value: Any, key: str, where: str) -> int | str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | np.integer) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    msg = f"{where}: its {key} is {value!r}; integers and texts name spectra"
    raise DataError(msg, kind=ErrorKind.BAD_ROW, where=where)


def _degrees(value: Any, keys: tuple[str, str], where: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        msg = (
            f"{where}: {' and '.join(keys)} are {value!r}, no numbers in degrees; name others with --position-keys"
        )
        raise DataError(msg, kind=ErrorKind.BAD_POSITION, where=where) from error


def stated_medium(look: Any) -> str:
    """Return whether a header says that wavelengths are in vacuum or in air; empty if it does not.

    Surveys write ``VACUUM = T`` (SDSS, LAMOST) or ``AIRORVAC`` (DESI, IRAF); the axis types
    ``WAVE`` and ``AWAV`` are those of the FITS standard.

    References
    ----------
    .. [1] Greisen et al. 2006, A&A 446, 747, table 1.
    """
    vacuum, text = look("VACUUM"), str(look("AIRORVAC") or "").strip().lower()
    axis = str(look("CTYPE1") or "").strip().upper()
    if isinstance(vacuum, bool | int | np.bool_ | np.integer):
        return "vacuum" if vacuum else "air"
    if text[:3] in {"air", "vac"}:
        return "air" if text[:3] == "air" else "vacuum"
    return "vacuum" if axis[:4] == "WAVE" else "air" if axis[:4] == "AWAV" else ""


def usable_unit(text: Any, otherwise: str, where: str) -> str:
    """Return the unit of a flux as astropy writes it, or what is said for files that state none.

    Raises
    ------
    DataError
        If astropy does not know the unit, and nothing else is said.
    """
    from astropy import units

    said = "" if text is None else str(text).strip()
    try:
        return str(units.Unit(said)) if said else otherwise
    except ValueError as error:
        if otherwise:
            return otherwise
        msg = f"{where}: its flux is in {said!r}, which is no unit that astropy knows; state it with --source-unit"
        raise DataError(msg, kind=ErrorKind.COLUMN_UNIT, where=where) from error
