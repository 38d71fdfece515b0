"""One spectrum, checked when it is made: what is wrong with it is said once, with its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.spectra.grid import MEDIA

__all__ = ["Spectrum", "in_medium", "in_unit", "make_spectrum"]


@dataclass(frozen=True)
class Spectrum:
    """Flux over wavelength in the observed frame: a redshift is never taken out."""

    where: str
    """File, and row of it, for messages."""
    wavelength: NDArray[np.float64]
    """Shape (L,): Angstrom, increasing."""
    flux: NDArray[Any]
    """Shape (L,): in the source's own type; NaN where there is none."""
    ivar: NDArray[Any] | None
    """Shape (L,): inverse variance in 1 / unit**2, 0 where a pixel is bad. None if the source has no errors."""
    unit: str = ""
    """Of the flux; empty where nothing states it."""
    medium: str = ""
    """``"vacuum"`` or ``"air"``; empty where nothing states it."""
    id: int | str | None = None
    ra: float = np.nan
    """ICRS degrees."""
    dec: float = np.nan

    def good(self) -> NDArray[np.bool_]:
        """Return which pixels have a flux that counts, shape (L,)."""
        there: NDArray[np.bool_] = np.isfinite(self.flux)
        return there if self.ivar is None else there & (self.ivar > 0)


def make_spectrum(
    where: str,
    wavelength: NDArray[Any],
    flux: NDArray[Any],
    *,
    ivar: NDArray[Any] | None = None,
    error: NDArray[Any] | None = None,
    mask: NDArray[Any] | None = None,
    negative_is_bad: bool = False,
    **said: Any,
) -> Spectrum:
    """Return a spectrum, its pixels in order of wavelength, bad ones with an inverse variance of 0.

    Parameters
    ----------
    where : str
        Where it comes from, for messages.
    wavelength : ndarray, shape (L,)
        Angstrom; strictly increasing, or strictly decreasing: then all is turned round.
    flux : ndarray, shape (L,)
        NaN and infinity mean no flux.
    ivar, error : ndarray, shape (L,), optional
        Inverse variance, or standard deviation. NaN, infinity, and 0 mean a bad pixel.
    mask : ndarray, shape (L,), optional
        True or not 0 where a pixel is bad.
    negative_is_bad : bool
        Some surveys mark bad pixels by an inverse variance or error below 0; else it is refused.
    **said
        Unit, medium, id and position, as `Spectrum` has them.

    Raises
    ------
    DataError
        BAD_ROW if it has fewer than two pixels, lengths differ, wavelengths are not finite,
        positive and in order, or an inverse variance or error is negative.
    """
    wavelength = np.asarray(wavelength, np.float64)
    flux = _native(flux)
    arrays = {"inverse variance": ivar, "error": error, "mask": mask}
    if flux.ndim != 1:
        raise _bad(
            where, f"its flux has shape {flux.shape}, of more than one spectrum; use `skyloom spectra import`"
        )
    if len(flux) < 2:
        raise _bad(where, f"it has {len(flux)} pixels: a spectrum has two at least")
    for name, values in {"wavelength": wavelength, **arrays}.items():
        if values is not None and np.shape(values) != flux.shape:
            raise _bad(where, f"it has {len(flux)} fluxes and {name} of shape {np.shape(values)}")
    if not np.isfinite(wavelength).all() or (wavelength <= 0).any():
        wrong = int(np.count_nonzero(~(np.isfinite(wavelength) & (wavelength > 0))))
        raise _bad(where, f"{wrong} of its {len(flux)} wavelengths are not finite and positive")
    steps = np.diff(wavelength)
    if not ((steps > 0).all() or (steps < 0).all()):
        at = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0]) if steps[0] else 0
        raise _bad(
            where,
            f"its wavelengths are not in order: {wavelength[at]:.8g} is followed by {wavelength[at + 1]:.8g} at "
            f"pixel {at + 1}. Sort them, or split what overlaps into spectra",
        )
    weight = _inverse_variance(where, ivar, error, negative_is_bad=negative_is_bad)
    there = np.isfinite(flux)
    if not there.all():
        flux = np.where(there, flux, np.nan).astype(flux.dtype)
    bad = ~there if mask is None else ~there | (np.asarray(mask) != 0)
    if weight is not None and bad.any():
        weight = np.where(bad, weight.dtype.type(0), weight)
    elif weight is None and mask is not None:
        flux = np.where(bad, np.nan, flux).astype(flux.dtype)
    if steps[0] < 0:
        wavelength, flux = wavelength[::-1].copy(), flux[::-1].copy()
        weight = None if weight is None else weight[::-1].copy()
    return Spectrum(where, wavelength, flux, weight, **said)


def _inverse_variance(
    where: str, ivar: NDArray[Any] | None, error: NDArray[Any] | None, *, negative_is_bad: bool
) -> NDArray[Any] | None:
    given = ivar if ivar is not None else error
    if given is None:
        return None
    values = _native(given)
    name = "inverse variances" if ivar is not None else "errors"
    with np.errstate(invalid="ignore"):
        negative = int(np.count_nonzero(values < 0))
    if negative and not negative_is_bad:
        raise _bad(
            where,
            f"{negative} of its {len(values)} {name} are negative; if that is how they mark bad pixels say "
            "--negative-is-bad",
        )
    # Not finite, or an error of 0 (an infinite weight), is how files say that a pixel is bad.
    known = np.isfinite(values) & (values > 0)
    if ivar is not None:
        return values if known.all() else np.where(known, values, values.dtype.type(0))
    with np.errstate(over="ignore"):
        squared = np.divide(1.0, np.square(values, dtype=np.float64), out=np.zeros(len(values)), where=known)
    return np.where(np.isfinite(squared), squared, 0.0)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """Return floats in this machine's byte order, the bits of each as they are; integers as float64."""
    found = np.asarray(np.ma.filled(np.ma.asarray(values), np.nan) if np.ma.isMaskedArray(values) else values)
    if found.dtype.kind != "f":
        return found.astype(np.float64)
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def in_unit(spectrum: Spectrum, unit: str) -> Spectrum:
    """Return a spectrum in another unit of flux; the same bits where it is the same unit.

    Raises
    ------
    DataError
        COLUMN_UNIT if no factor, and no spectral density, leads from the one to the other.
    """
    if spectrum.unit == unit:
        return spectrum
    from astropy import units

    try:
        if not spectrum.unit or not unit:
            raise units.UnitConversionError("one of them is not stated")
        found, wanted = units.Unit(spectrum.unit), units.Unit(unit)
        if found == wanted:
            return replace(spectrum, unit=unit)
        density = units.spectral_density(spectrum.wavelength * units.AA)
        factor = (np.ones(len(spectrum.flux)) * found).to_value(wanted, density)
    except ValueError as error:
        have = repr(spectrum.unit) if spectrum.unit else "in no stated unit"
        msg = (
            f"{spectrum.where}: its flux is {have} and the store's is {unit!r}: {error}. State a true unit with "
            "--source-unit, or ask for another with --unit"
        )
        raise DataError(msg, kind=ErrorKind.COLUMN_UNIT, where=spectrum.where) from error
    ivar = None if spectrum.ivar is None else spectrum.ivar / factor**2
    return replace(spectrum, flux=spectrum.flux * factor, ivar=ivar, unit=unit)


def in_medium(spectrum: Spectrum, medium: str) -> Spectrum:
    """Return a spectrum with its wavelengths as they are in air or in vacuum.

    Refraction is that of specutils (Morton 2000). Flux densities are not rescaled, which
    would change them by 3e-4.

    Raises
    ------
    DataError
        COLUMN_UNIT if nothing states what the spectrum's own are measured in, or they begin
        below 2000 Angstrom, where refraction is not known.
    """
    if spectrum.medium == medium:
        return spectrum
    if spectrum.medium not in MEDIA:
        msg = (
            f"{spectrum.where}: nothing states whether its wavelengths are in vacuum or in air, which differ by 1 "
            "to 3 Angstrom; say --source-medium"
        )
        raise DataError(msg, kind=ErrorKind.COLUMN_UNIT, where=spectrum.where)
    from astropy import units

    require_specutils()
    from specutils.utils.wcs_utils import air_to_vac, vac_to_air

    turn = air_to_vac if medium == "vacuum" else vac_to_air
    try:
        wavelength = np.asarray(turn(spectrum.wavelength * units.AA).to_value(units.AA), np.float64)
    except ValueError as error:
        msg = f"{spectrum.where}: no refraction of air is known below 2000 Angstrom; ask for {spectrum.medium}"
        raise DataError(msg, kind=ErrorKind.COLUMN_UNIT, where=spectrum.where) from error
    return replace(spectrum, wavelength=wavelength, medium=medium)


def require_specutils() -> None:
    """Refuse, before anything is read, to do without specutils, an extra of the installation.

    Raises
    ------
    NotFoundError
        If it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("specutils") is None:
        msg = (
            "specutils, which reads FITS spectra and knows the refraction of air, is not installed: "
            "pip install 'skyloom[spectra]'"
        )
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, package="specutils")


def _bad(where: str, text: str) -> DataError:
    return DataError(f"{where} is no usable spectrum: {text}", kind=ErrorKind.BAD_ROW, where=where)
