"""Spectra in numpy arrays: N fluxes, their inverse variances, and one grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError, SkyloomError, SpecError
from skyloom.spectra.grid import LENGTHS, Grid
from skyloom.spectra.reading import Reading
from skyloom.spectra.spectrum import Spectrum, make_spectrum

__all__ = ["array_spectra", "read_grid"]


def array_spectra(
    flux: Path,
    reading: Reading,
    *,
    ivar: str | Path | None = None,
    ids: str | Path | None = None,
    wavelength: str | Path | None = None,
    grid: Grid | None = None,
) -> Iterator[Spectrum | SkyloomError]:
    """Yield the spectra of some ``.npy`` files, and what is wrong with those that are none.

    Parameters
    ----------
    flux, ivar, ids, wavelength : path-like
        Shapes (N, L), (N, L), (N,) and (L,).
    reading : Reading
        Unit of fluxes and wavelengths, and what they are measured in.
    grid : Grid, optional
        What the spectra lie on where `wavelength` is not told.

    Raises
    ------
    NotFoundError
        If a file is missing.
    SpecError
        If the shapes do not fit one another, an array is lacking, or nothing says the wavelengths.
    DataError
        If a file is no array.
    """
    fluxes = _load(flux)
    if fluxes.ndim != 2:
        raise _wrong(f"{flux} has shape {fluxes.shape}; spectra are (N, L)")
    weights = None if ivar is None else _load(ivar)
    if weights is None and reading.ivar:
        raise _wrong("give the inverse variances with --ivar, or say --no-ivar to store flux alone")
    names: NDArray[Any] = np.arange(len(fluxes)) if ids is None else _load(ids)
    along, medium = _wavelengths(reading, wavelength, grid)
    given = {"--ivar": (weights, fluxes.shape), "--ids": (names, fluxes.shape[:1])}
    given["--source-wavelength"] = (along, fluxes.shape[1:])
    for option, (values, shape) in given.items():
        if values is not None and values.shape != shape:
            raise _wrong(f"{flux} has shape {fluxes.shape} and {option} {values.shape}, not {shape}")
    for row in range(len(fluxes)):
        try:
            yield make_spectrum(
                f"{flux}, row {row}", along, fluxes[row], ivar=None if weights is None else weights[row],
                unit=reading.unit, medium=medium, id=names[row].item(),
                negative_is_bad=reading.negative_is_bad,
            )  # fmt: skip
        except SkyloomError as error:
            yield error


def read_grid(path: str | Path, *, unit: str, medium: str, log10: bool = False) -> Grid:
    """Return the grid whose wavelengths, or their decimal logarithms, are in a ``.npy``, shape (L,).

    Raises
    ------
    NotFoundError, DataError
        If there is no such array.
    SpecError
        If it is no grid.
    """
    values = _load(path)
    if values.ndim != 1:
        raise _wrong(f"{path} has shape {values.shape}; a grid is (L,)")
    return Grid(len(values), log10=log10, unit=unit, medium=medium, values=tuple(values.tolist()))


def _wavelengths(reading: Reading, path: str | Path | None, grid: Grid | None) -> tuple[NDArray[np.float64], str]:
    if path is not None:
        if reading.wavelength_unit not in LENGTHS:
            raise _wrong(f"{reading.wavelength_unit!r} is no unit of wavelengths; there is: {', '.join(LENGTHS)}")
        return np.asarray(_load(path), np.float64) * LENGTHS[reading.wavelength_unit], reading.medium
    if grid is None:
        raise _wrong(
            "nothing says the wavelengths of the array: give --source-wavelength, or the grid they lie on"
        )
    return grid.wavelengths(), grid.medium


def _load(path: str | Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except FileNotFoundError as error:
        msg = f"there is no file {path}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, path=str(path)) from error
    except (ValueError, EOFError, OSError) as error:
        msg = f"{path} is no array that numpy.save wrote: {error}"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error


def _wrong(text: str) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER)
