"""Make a store of spectra for a catalog: files are read once, and matched by id or by position."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from skyloom.catalog import Catalog
from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.jobs.gather_spectra import GatheredSpectra, SpectraRequest, UsableSpectra
from skyloom.jobs.stores import Made, make_store, store_layout
from skyloom.models import registry
from skyloom.runtime.tensors import TensorInput
from skyloom.spectra import Grid, Spectrum, array_spectra, find_spectra, in_medium, read_spectra
from skyloom.storage import canonical_json, sha256_bytes
from skyloom.tensors import Layout

__all__ = ["MadeSpectra", "SpectraRequest", "grid_of_model", "import_spectra", "make_spectra"]


@dataclass(frozen=True)
class MadeSpectra(Made):
    """What was made of a store of spectra, and of which spectra; nothing was read if it was finished."""

    spectra: int = 0
    """Spectra read."""
    unmatched: int = 0
    """Spectra that belong to no row."""
    skipped: int = 0
    """Spectra that could not be used."""
    why_skipped: tuple[str, ...] = ()
    """Why, of the first of them."""
    rows_with_several: int = 0
    """Rows that more than one spectrum belongs to: they have the one with the best signal to noise."""
    passed_over: tuple[str, ...] = ()
    """Which spectrum was taken before which, of the first of those rows."""


def make_spectra(
    catalog: Catalog, places: Sequence[str], output: str | Path, request: SpectraRequest
) -> MadeSpectra:
    """Put spectra from files beside the rows of a catalog.

    Parameters
    ----------
    catalog : Catalog
    places : sequence of str
        FITS, ECSV, CSV or Parquet files, directories or patterns.
    output : path-like
        The store; one that the same request began is taken up.
    request : SpectraRequest

    Raises
    ------
    NotFoundError
        If a place has no files.
    SpecError
        If there is no spectrum, or nothing says which row a spectrum belongs to.
    DataError
        If a spectrum cannot be used, and `request.on_bad` is ``"fail"``.
    """
    files = find_spectra(places)
    found = itertools.chain.from_iterable(read_spectra(path, request.reading) for path in files)
    return _make(catalog, found, files, output, request)


def import_spectra(
    catalog: Catalog,
    source: str | Path,
    output: str | Path,
    request: SpectraRequest,
    *,
    ivar: str | Path | None = None,
    ids: str | Path | None = None,
    wavelength: str | Path | None = None,
) -> MadeSpectra:
    """Put spectra that are arrays or tables already beside the rows of a catalog, matched by id.

    Parameters
    ----------
    catalog : Catalog
        With an id column.
    source : path-like
        A table with a spectrum in each row, or a pattern of several; or a ``.npy`` of fluxes,
        shape (N, L).
    output, request
        As `make_spectra` has them; a table's ids are in `request.reading.id_key`, or the column
        named as the catalog's.
    ivar, ids, wavelength : path-like
        Beside a ``.npy``: shapes (N, L), (N,) and (L,). Without `ids`, spectrum *i* has id *i*;
        without `wavelength` (in `request.reading.wavelength_unit`), they lie on `request.grid`.

    Raises
    ------
    SpecError, NotFoundError, DataError
        If the arrays do not fit one another, or as `make_spectra`.
    """
    if catalog.id_column is None:
        msg = f"catalog {catalog.name} has no id column to match by; name one in its descriptor"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, catalog=catalog.name)
    reading = replace(request.reading, id_key=request.reading.id_key or catalog.id_column)
    request = replace(request, reading=reading)
    beside = [Path(path) for path in (ivar, ids, wavelength) if path is not None]
    if Path(source).suffix != ".npy":
        if beside:
            msg = (
                f"{beside[0]} lies beside a .npy of fluxes, and {source} is none: a table holds all in its columns"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return make_spectra(catalog, [str(source)], output, request)
    found = array_spectra(Path(source), reading, ivar=ivar, ids=ids, wavelength=wavelength, grid=request.grid)
    return _make(catalog, found, [Path(source), *beside], output, request)


def grid_of_model(name: str) -> Grid:
    """Return the grid of wavelengths that a model reads, with its default settings.

    Raises
    ------
    SpecError
        If there is no such model, or it reads no spectrum, several grids, or any grid.
    """
    system = registry.system(name)
    read: Sequence[TensorInput] = system.tensors(system.Config()) if hasattr(system, "tensors") else ()
    grids = list(dict.fromkeys(tensor.grid for tensor in read if tensor.grid is not None))
    if len(grids) != 1:
        msg = f"model {name} reads spectra on {len(grids)} grids of its own, so none follows; say which by --grid"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
    return grids[0]


def _make(
    catalog: Catalog,
    found: Iterable[Spectrum | SkyloomError],
    files: Sequence[Path],
    output: str | Path,
    request: SpectraRequest,
) -> MadeSpectra:
    usable = UsableSpectra(found, request)
    first = usable.first()
    if first is None:
        msg = f"there is no usable spectrum in {len(files)} files, the first {files[0]}{usable.said()}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    layout = _layout(catalog, first, files, request)
    with GatheredSpectra(catalog, layout, request, usable) as gathered:
        made = make_store(catalog, layout, output, [], gathered.tensors)
    return MadeSpectra(
        **asdict(made), spectra=gathered.spectra, unmatched=gathered.unmatched, skipped=usable.skipped,
        why_skipped=tuple(usable.why), rows_with_several=gathered.several, passed_over=tuple(gathered.passed_over),
    )  # fmt: skip


def _layout(catalog: Catalog, first: Spectrum, files: Sequence[Path], request: SpectraRequest) -> Layout:
    stats = [(path, path.stat()) for path in files]
    listed = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    if request.grid is None:
        in_medium(first, "vacuum")  # refuses one that does not state its own
        grid = Grid.through(first.wavelength, first.medium)
    else:
        grid = request.grid
    bands = ("flux", "ivar") if request.reading.ivar else ("flux",)
    return store_layout(
        catalog,
        kind="spectra",
        shape=(len(bands), grid.pixels),
        bands=bands,
        unit=first.unit if request.unit is None else request.unit,
        wavelength=grid.said(),
        # Not the files one by one: there may be millions.
        origin={
            "files": len(files),
            "digest": sha256_bytes(canonical_json(listed)),
            "first": listed[0][0],
            "method": request.method,
            # A store that was half made in one way must not be finished in another.
            "reading": asdict(request.reading),
            "radius_arcsec": None if request.reading.id_key else request.radius_arcsec,
        },
    )
