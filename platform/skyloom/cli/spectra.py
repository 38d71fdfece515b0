"""`skyloom spectra`: make, import, check, describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

from skyloom.cli.stores import Json, Words, show_check, show_made, show_store

if TYPE_CHECKING:
    from skyloom.spectra import Grid

__all__ = ["app"]

app = cyclopts.App(
    name="spectra", help="Spectra aligned with a catalog: make, import, check, describe.", help_epilogue=""
)
Medium = Literal["vacuum", "air"]
Steps = Annotated[tuple[float, float, int] | None, Parameter(negative=())]


@app.command
def make(
    catalog: str,
    /,
    *,
    spectra: Words,
    output: Path,
    model: str | None = None,
    grid: Steps = None,
    log10: Annotated[bool, Parameter(negative=())] = False,
    grid_file: Path | None = None,
    grid_unit: str | None = None,
    medium: Medium | None = None,
    method: Literal["conserve", "linear"] = "conserve",
    unit: str | None = None,
    id_key: str | None = None,
    position_keys: Annotated[tuple[str, str] | None, Parameter(negative=())] = None,
    radius_arcsec: float = 1.0,
    format: str | None = None,  # noqa: A002 - the name of the option
    columns: Words = (),
    source_unit: str = "",
    source_wavelength_unit: str = "Angstrom",
    source_medium: Medium | None = None,
    ivar: bool = True,
    negative_is_bad: Annotated[bool, Parameter(negative=())] = False,
    on_bad: Literal["fail", "skip"] = "fail",
    json: Json = False,
) -> int:
    """Put spectra from files beside the rows of a catalog; takes up what an earlier call left.

    For example:
        skyloom spectra make hats/stars --spectra lamost/ --id-key OBSID --output stores/stars
        skyloom spectra make hats/qso --spectra "s*.fits" --grid 3.57 1e-4 3800 --log10 --output s

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    spectra
        FITS, Parquet, ECSV or CSV files, directories or patterns.
    output
        The store to make.
    model
        The model whose grid of wavelengths the spectra shall lie on.
    grid
        Or first wavelength, step and number of pixels; the grid of the first spectrum unless told.
    log10
        The first wavelength and the step are decimal logarithms.
    grid_file
        A .npy of all wavelengths of the grid.
    grid_unit
        Unit of the grid; Angstrom unless told.
    medium
        What the wavelengths of the grid are measured in; vacuum unless told.
    method
        conserve keeps the integral of the flux; linear interpolates.
    unit
        Unit of the flux in the store; the first spectrum's unless told.
    id_key
        Header key or column that holds the id of the row that a spectrum belongs to.
    position_keys
        Header keys or columns of right ascension and declination in degrees, to match by position.
    radius_arcsec
        Within which a spectrum belongs to the nearest row.
    format
        One of specutils' formats; recognised unless told.
    columns
        What columns of a table are called, as flux=FLUX_CAL error=SIGMA wavelength=WAVE mask=BAD.
    source_unit
        Unit of fluxes that state none.
    source_wavelength_unit
        Unit of wavelengths that state none.
    source_medium
        What wavelengths that do not state it are measured in.
    ivar
        Store inverse variances, and refuse spectra without; --no-ivar stores flux alone.
    negative_is_bad
        Pixels with a negative inverse variance or error are bad; their spectra are refused unless told.
    on_bad
        Fail at a spectrum that cannot be used, or skip it and name it.
    json
        Print JSON, for programs.
    """
    from skyloom.catalog import open_catalog
    from skyloom.jobs.make_spectra import SpectraRequest, make_spectra
    from skyloom.spectra import Reading

    reading = Reading(
        format=format, columns=_columns(columns), id_key=id_key, position_keys=position_keys, unit=source_unit,
        wavelength_unit=source_wavelength_unit, medium=source_medium or "", ivar=ivar,
        negative_is_bad=negative_is_bad,
    )  # fmt: skip
    request = SpectraRequest(
        grid=_grid(model, grid, grid_file, grid_unit, medium, log10=log10), method=method, unit=unit,
        reading=reading, radius_arcsec=radius_arcsec, on_bad=on_bad,
    )  # fmt: skip
    return show_made(make_spectra(open_catalog(catalog), spectra, output, request), as_json=json)


@app.command(name="import")
def import_(
    catalog: str,
    /,
    *,
    source: Annotated[Path, Parameter(name="--from")],
    output: Path,
    columns: Words = (),
    id_column: str | None = None,
    ivar: Annotated[Path | None, Parameter(negative=())] = None,
    no_ivar: Annotated[bool, Parameter(negative=())] = False,
    ids: Path | None = None,
    source_wavelength: Path | None = None,
    source_wavelength_unit: str = "Angstrom",
    source_medium: Medium | None = None,
    source_unit: str = "",
    model: str | None = None,
    grid: Steps = None,
    log10: Annotated[bool, Parameter(negative=())] = False,
    grid_file: Path | None = None,
    grid_unit: str | None = None,
    medium: Medium | None = None,
    method: Literal["conserve", "linear"] = "conserve",
    unit: str | None = None,
    negative_is_bad: Annotated[bool, Parameter(negative=())] = False,
    on_bad: Literal["fail", "skip"] = "fail",
    json: Json = False,
) -> int:
    """Put spectra that are arrays or tables already beside the rows of a catalog, matched by id.

    For example:
        skyloom spectra import hats/stars --from s.parquet --source-medium vacuum --output s
        skyloom spectra import hats/stars --from f.npy --ivar i.npy --grid 4000 1 4500 --output s

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    source
        A table with a spectrum in each row (Parquet or FITS; a pattern names several), or a .npy of fluxes.
    output
        The store to make.
    columns
        What columns of a table are called, as flux=FLUX_CAL error=SIGMA wavelength=WAVE mask=BAD.
    id_column
        The table's column of ids; named as the catalog's unless told.
    ivar
        A .npy of inverse variances, of the shape of the fluxes.
    no_ivar
        Store flux alone.
    ids
        A .npy with one id per spectrum; spectrum i of a .npy has id i unless told.
    source_wavelength
        A .npy of the wavelengths of all spectra of a .npy; they lie on the grid unless told.
    source_wavelength_unit
        Unit of wavelengths that state none.
    source_medium
        What wavelengths that do not state it are measured in.
    source_unit
        Unit of fluxes that state none.
    model
        The model whose grid of wavelengths the spectra shall lie on.
    grid
        Or first wavelength, step and number of pixels; the grid of the first spectrum unless told.
    log10
        The first wavelength and the step are decimal logarithms.
    grid_file
        A .npy of all wavelengths of the grid.
    grid_unit
        Unit of the grid; Angstrom unless told.
    medium
        What the wavelengths of the grid are measured in; vacuum unless told.
    method
        conserve keeps the integral of the flux; linear interpolates.
    unit
        Unit of the flux in the store; the first spectrum's unless told.
    negative_is_bad
        Pixels with a negative inverse variance or error are bad; their spectra are refused unless told.
    on_bad
        Fail at a spectrum that cannot be used, or skip it and name it.
    json
        Print JSON, for programs.
    """
    from skyloom.catalog import open_catalog
    from skyloom.jobs.make_spectra import SpectraRequest, import_spectra
    from skyloom.spectra import Reading

    reading = Reading(
        columns=_columns(columns), id_key=id_column, unit=source_unit, wavelength_unit=source_wavelength_unit,
        medium=source_medium or "", ivar=not no_ivar, negative_is_bad=negative_is_bad,
    )  # fmt: skip
    request = SpectraRequest(
        grid=_grid(model, grid, grid_file, grid_unit, medium, log10=log10), method=method, unit=unit,
        reading=reading, on_bad=on_bad,
    )  # fmt: skip
    made = import_spectra(
        open_catalog(catalog), source, output, request, ivar=ivar, ids=ids, wavelength=source_wavelength
    )
    return show_made(made, as_json=json)


@app.command
def check(store: str, /, *, catalog: str, json: Json = False) -> int:
    """Check a store byte by byte against its statement and a catalog; exit code 1 if anything is wrong.

    For example:
        skyloom spectra check stores/stars --catalog hats/stars

    Parameters
    ----------
    store
        Path or URL of the store.
    catalog
        The catalog that it belongs to.
    json
        Print JSON, for programs.
    """
    return show_check(store, catalog, as_json=json)


@app.command
def describe(store: str, /, *, json: Json = False) -> int:
    """Print what a store says of itself: wavelengths, medium, unit, catalog, codec.

    For example:
        skyloom spectra describe stores/stars

    Parameters
    ----------
    store
        Path or URL of the store.
    json
        Print JSON, for programs.
    """
    return show_store(store, as_json=json)


def _grid(
    model: str | None,
    steps: tuple[float, float, int] | None,
    file: Path | None,
    unit: str | None,
    medium: Medium | None,
    *,
    log10: bool,
) -> Grid | None:
    from skyloom.errors import ErrorKind, SpecError
    from skyloom.spectra import Grid, read_grid

    told = [
        name for name, value in {"model": model, "grid": steps, "grid-file": file}.items() if value is not None
    ]
    if len(told) > 1:
        msg = f"--{' and --'.join(told)} each say the grid: give one of them"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if (unit or medium or log10) and told not in (["grid"], ["grid-file"]):
        msg = "--grid-unit, --medium and --log10 say what --grid or --grid-file mean: give one of these"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if model is not None:
        from skyloom.jobs.make_spectra import grid_of_model

        return grid_of_model(model)
    unit, medium = unit or "Angstrom", medium or "vacuum"
    if file is not None:
        return read_grid(file, unit=unit, medium=medium, log10=log10)
    if steps is None:
        return None
    return Grid(steps[2], start=steps[0], step=steps[1], log10=log10, unit=unit, medium=medium)


def _columns(pairs: tuple[str, ...]) -> dict[str, str]:
    from skyloom.errors import ErrorKind, SpecError

    named = {}
    for pair in pairs:
        what, equals, name = pair.partition("=")
        if not equals or not name:
            msg = f"--columns takes WHAT=NAME, as in flux=FLUX_CAL, not {pair!r}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        named[what] = name
    return named
