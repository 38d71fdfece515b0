"""Make a store of cutouts for a catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.catalog import Catalog, read_partition
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.imaging import Image, ImageSet, cut_rows, find_images, open_stamps
from skyloom.imaging.parquet_stamps import parquet_column
from skyloom.jobs.matching import MatchIds
from skyloom.jobs.sources import same_unit
from skyloom.jobs.stores import Made, Tensors, check_tensors, make_store, store_layout

__all__ = ["Made", "MadeCutouts", "check_tensors", "import_cutouts", "make_cutouts"]


@dataclass(frozen=True)
class MadeCutouts(Made):
    """What was made of a store of stamps that somebody else cut."""

    unreadable: int = 0
    """Stamps that could not be read; their rows have no tensor."""
    first_unreadable: str = ""


def make_cutouts(
    catalog: Catalog,
    images: Sequence[str],
    output: str | Path,
    *,
    size: int | None = None,
    size_arcsec: float | None = None,
    pixel_arcsec: float | None = None,
    bands: Sequence[str] = (),
    band_key: str | None = None,
    psf_key: str | None = None,
    hdu: str | None = None,
    unit: str | None = None,
    dtype: str = "float32",
) -> Made:
    """Cut the rows of a catalog out of FITS images.

    Parameters
    ----------
    catalog : Catalog
    images : sequence of str
        See `skyloom.imaging.find_images`.
    output : path-like
        The store; one that the same request began is taken up.
    size : int, optional
        Side in pixels; or `size_arcsec`.
    size_arcsec : float, optional
    pixel_arcsec : float, optional
        Resample onto this scale, north up.
    bands : sequence of str
        Channels in order; by default all bands of the headers, sorted.
    band_key, psf_key, hdu : str, optional
        Header keys of the band and of the PSF's width, and the HDU to take; see
        `skyloom.imaging.find_images`. Widths are stored per row and band, in arcsec, NaN where the
        image taken for the row states none.
    unit, dtype : str
        Unit of the pixels where headers do not say; type to store.

    Raises
    ------
    SpecError
        If size, bands, units or pixel scales leave it open what to make.
    """
    found = find_images(images, band_key=band_key, psf_key=psf_key, hdu=hdu)
    bands = tuple(bands) or tuple(sorted({image.band for image in found}))
    used = [image for image in found if image.band in bands]
    lacking = sorted(set(bands) - {image.band for image in used})
    if lacking:
        there = ", ".join(sorted({image.band or "(none stated)" for image in found}))
        raise _wrong(f"no image has band {', '.join(lacking)}; there is: {there}. Say band=PLACE in --images")
    unit = _one_unit(used, unit)
    scales = [image.pixel_arcsec for image in used]
    if pixel_arcsec is None and max(scales) / min(scales) > 1.01:
        raise _wrong(
            f"pixel scales go from {min(scales):g} to {max(scales):g} arcsec; resample with --pixel-arcsec"
        )
    scale = pixel_arcsec or float(np.median(scales))
    if (size is None) == (size_arcsec is None):
        raise _wrong("give either --size in pixels or --size-arcsec")
    side = size if size is not None else max(1, round((size_arcsec or 0.0) / scale))
    origin: dict[str, Any] = {
        "images": [[str(i.path), i.hdu, i.path.stat().st_size, i.path.stat().st_mtime_ns] for i in used],
        "grid": "images' own" if pixel_arcsec is None else "TAN, north up, bilinear",
    }
    widths = np.array([image.psf_fwhm_arcsec for image in used] + [np.nan], np.float32)  # the last: no image
    stated = bool(np.isfinite(widths).any())
    if stated:
        origin["psf_fwhm"] = _widths_of(used)
    layout = store_layout(
        catalog,
        kind="cutouts",
        shape=(len(bands), side, side),
        bands=bands,
        pixel_arcsec=scale,
        unit=unit,
        dtype=dtype,
        origin=origin,
        extras=("psf_fwhm_arcsec",) if stated else (),
    )
    opened = ImageSet(used)

    def cut(rows: pa.Table, _: int) -> Tensors:
        ra, dec = (rows[name].to_numpy().astype(np.float64) for name in (catalog.ra_column, catalog.dec_column))
        made = cut_rows(opened, ra, dec, bands=bands, size=side, pixel_arcsec=pixel_arcsec)
        return made.values, {"psf_fwhm_arcsec": widths[made.image]} if stated else {}

    try:
        return make_store(catalog, layout, output, [catalog.ra_column, catalog.dec_column], cut)
    finally:
        opened.close()


def _one_unit(images: Sequence[Image], said: str | None) -> str:
    """Return the unit of all images; `said` is that of those which state none, or none that is known.

    Raises
    ------
    SpecError
        If images state several units, some do and some do not, or `said` contradicts them.
    """
    stated: dict[str, Image] = {}
    for image in images:
        own = image.unit
        if said is not None and not (own and _is_unit(own)):
            own = said
        if not any(same_unit(own, other) for other in stated):
            stated[own] = image
    if said is not None and len(stated) == 1 and not same_unit(next(iter(stated)), said):
        own, image = next(iter(stated.items()))
        raise _wrong(f"{image.path}[{image.hdu}] is in {own!r} by its header, and --unit says {said!r}")
    if len(stated) > 1:
        lines = "\n".join(
            f"  {own or 'no unit stated'}: band {image.band or '(none stated)'}, {image.path}[{image.hdu}]"
            for own, image in stated.items()
        )
        raise _wrong(
            f"the images have several units (BUNIT), and pixels of a store have one:\n{lines}\nConvert the "
            "images; --unit says the unit of those that state none"
        )
    return next(iter(stated))


def _is_unit(text: str) -> bool:
    from astropy import units

    try:
        units.Unit(text)
    except ValueError:
        return False
    return True


def _widths_of(images: Sequence[Image]) -> dict[str, Any]:
    """Return what the images of each band say of their PSF, for the store's description."""
    found: dict[str, Any] = {}
    for band in dict.fromkeys(image.band for image in images):
        of_band = [image for image in images if image.band == band]
        known = [image for image in of_band if np.isfinite(image.psf_fwhm_arcsec)]
        widths = [round(image.psf_fwhm_arcsec, 6) for image in known]
        found[band] = {
            "images": len(of_band),
            "stated": len(known),
            "arcsec": [min(widths), max(widths)] if widths else [],
            "keys": sorted({image.psf_key for image in known}),
        }
    return found


def import_cutouts(
    catalog: Catalog,
    source: str | Path,
    output: str | Path,
    *,
    columns: Sequence[str] = (),
    id_column: str | None = None,
    ids: str | Path | None = None,
    shape: Sequence[int] = (),
    encoding: str = "fits",
    bands: Sequence[str] = (),
    pixel_arcsec: float | None = None,
    unit: str = "",
    dtype: str = "float32",
) -> MadeCutouts:
    """Bring stamps that somebody else cut into a store, matched to the catalog by id.

    Parameters
    ----------
    catalog : Catalog
        With an id column.
    source : path-like
        ``.npy`` (N, C, H, W) or (N, H, W); a FITS cube of the same; or Parquet, a file or a
        pattern of several (``"cutouts-*.parquet"``), with one column of lists or bytes per
        channel or one column of fixed-shape tensors.
    output : path-like
    columns : sequence of str
        Columns of lists or bytes of a Parquet file, one per channel, or its one column of tensors;
        a field of a struct as ``cutoutScience.stampData``.
    id_column : str, optional
        Column of the Parquet file with ids; named as the catalog's unless told.
    ids : path-like, optional
        ``.npy`` with the N ids. Without it, row *i* has id *i*, as `catalog import` numbers rows.
    shape : sequence of int
        (H, W) of a column of lists or bytes; tensors say theirs.
    encoding : str
        What bytes are: ``"fits"``, a FITS file each, packed by gzip or not; or the values in a numpy
        type, such as ``"<f4"``. A stamp that cannot be read, or is of another shape, costs its own
        row and is counted.
    bands, pixel_arcsec, unit, dtype
        What the stamps are.

    Raises
    ------
    SpecError, NotFoundError
        If the request does not fit the file.
    DataError
        If an id occurs twice, or none is in the catalog.
    """
    if catalog.id_column is None:
        raise _wrong(f"catalog {catalog.name} has no id column to match stamps by; name one in its descriptor")
    path = Path(source)
    paths = [path] if path.is_file() else sorted(path.parent.glob(path.name))
    if not paths:
        msg = f"there is no file {path}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, path=str(path))
    stamps = open_stamps(paths, columns=columns, shape=shape, encoding=encoding)
    if path.suffix == ".parquet":
        known = _ids(paths, id_column or catalog.id_column)
    else:
        known = np.arange(stamps.shape[0]) if ids is None else _array_of_ids(ids)
    if len(known) != stamps.shape[0]:
        raise _wrong(f"{path} has {stamps.shape[0]} stamps and there are {len(known)} ids")
    match = MatchIds(known)
    if len(match.repeated):
        twice = match.repeated[0]
        msg = f"{path}: id {twice} occurs twice; each row of the catalog has one stamp"
        raise DataError(msg, kind=ErrorKind.DUPLICATE_ID, file=str(path))
    _check_any(catalog, match, known, where=str(path))
    stats = [each.stat() for each in paths]
    layout = store_layout(
        catalog,
        kind="cutouts",
        shape=stamps.shape[1:],
        bands=tuple(bands),
        pixel_arcsec=pixel_arcsec,
        unit=unit,
        dtype=dtype,
        origin={
            "files": [[str(p), s.st_size, s.st_mtime_ns] for p, s in zip(paths, stats, strict=True)],
            "columns": list(columns),
        },
    )

    def take(rows: pa.Table, _: int) -> Tensors:
        wanted = rows[catalog.id_column].to_numpy(zero_copy_only=False)
        out = np.full((len(wanted), *stamps.shape[1:]), np.nan, np.float32)
        at = match(wanted)
        out[at >= 0] = stamps.take(at[at >= 0])
        return out, {}

    made = make_store(catalog, layout, output, [catalog.id_column], take)
    return MadeCutouts(**asdict(made), unreadable=stamps.unreadable, first_unreadable=stamps.first_unreadable)


def _check_any(catalog: Catalog, match: MatchIds, known: NDArray[Any], *, where: str) -> None:
    """Refuse stamps of which no row of the catalog has one: their ids are others."""
    seen: list[Any] = []
    for partition in catalog.partitions():
        rows = read_partition(catalog.root, partition, [str(catalog.id_column)])
        ids = rows[str(catalog.id_column)].to_numpy(zero_copy_only=False)
        if (match(ids) >= 0).any():
            return
        seen = seen or ids[:3].tolist()
    msg = (
        f"{where}: none of its {len(known)} stamps is of a row of catalog {catalog.name}: its ids are "
        f"{', '.join(map(str, known[:3].tolist()))}, …, and those of the catalog {', '.join(map(str, seen))}, …; "
        "name the column that holds the catalog's ids with --id-column, or an array of them with --ids"
    )
    raise DataError(msg, kind=ErrorKind.ROW_ORDER, file=where)


def _ids(paths: Sequence[Path], name: str) -> NDArray[Any]:
    found = []
    for path in paths:
        file = pq.ParquetFile(path)
        if name not in file.schema_arrow.names and name.partition(".")[0] not in file.schema_arrow.names:
            raise _wrong(f"{path} has no id column {name!r}; name it with --id-column")
        found.append(parquet_column(file.read(columns=[name], use_threads=False), name).to_numpy())
    return np.concatenate(found)


def _array_of_ids(path: str | Path) -> NDArray[Any]:
    try:
        found = np.load(path)
    except (OSError, ValueError) as error:
        msg = f"{path} holds no ids: {error}; --ids is a .npy array with one id per stamp"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error
    if found.ndim != 1:
        raise _wrong(f"{path} has shape {found.shape}; --ids has one id per stamp")
    return np.asarray(found)


def _wrong(text: str, **context: Mapping[str, Any]) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER, **context)
