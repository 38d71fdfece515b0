"""Make a store of cutouts for a catalog."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.catalog import Catalog
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.imaging import ImageSet, cut_rows, find_images
from skyloom.jobs.matching import MatchIds
from skyloom.jobs.stores import Made, Tensors, check_tensors, make_store, store_layout

__all__ = ["Made", "check_tensors", "import_cutouts", "make_cutouts"]


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
    band_key, unit, dtype : str
        Header key of the band; unit of the pixels where headers do not say; type to store.

    Raises
    ------
    SpecError
        If size, bands, units or pixel scales leave it open what to make.
    """
    found = find_images(images, band_key=band_key)
    bands = tuple(bands) or tuple(sorted({image.band for image in found}))
    used = [image for image in found if image.band in bands]
    lacking = sorted(set(bands) - {image.band for image in used})
    if lacking:
        there = ", ".join(sorted({image.band or "(none stated)" for image in found}))
        raise _wrong(f"no image has band {', '.join(lacking)}; there is: {there}. Say band=PLACE in --images")
    units = {image.unit for image in used}
    if unit is None and len(units) > 1:
        raise _wrong(f"the images have several units ({', '.join(sorted(map(repr, units)))}); convert them")
    scales = [image.pixel_arcsec for image in used]
    if pixel_arcsec is None and max(scales) / min(scales) > 1.01:
        raise _wrong(
            f"pixel scales go from {min(scales):g} to {max(scales):g} arcsec; resample with --pixel-arcsec"
        )
    scale = pixel_arcsec or float(np.median(scales))
    if (size is None) == (size_arcsec is None):
        raise _wrong("give either --size in pixels or --size-arcsec")
    side = size if size is not None else max(1, round((size_arcsec or 0.0) / scale))
    origin = {
        "images": [[str(i.path), i.hdu, i.path.stat().st_size, i.path.stat().st_mtime_ns] for i in used],
        "grid": "images' own" if pixel_arcsec is None else "TAN, north up, bilinear",
    }
    layout = store_layout(
        catalog,
        kind="cutouts",
        shape=(len(bands), side, side),
        bands=bands,
        pixel_arcsec=scale,
        unit=units.pop() if unit is None else unit,
        dtype=dtype,
        origin=origin,
    )
    opened = ImageSet(used)

    def cut(rows: pa.Table, _: int) -> Tensors:
        ra, dec = (rows[name].to_numpy().astype(np.float64) for name in (catalog.ra_column, catalog.dec_column))
        return cut_rows(opened, ra, dec, bands=bands, size=side, pixel_arcsec=pixel_arcsec).values, {}

    return make_store(catalog, layout, output, [catalog.ra_column, catalog.dec_column], cut)


def import_cutouts(
    catalog: Catalog,
    source: str | Path,
    output: str | Path,
    *,
    columns: Sequence[str] = (),
    id_column: str | None = None,
    ids: str | Path | None = None,
    shape: Sequence[int] = (),
    bands: Sequence[str] = (),
    pixel_arcsec: float | None = None,
    unit: str = "",
    dtype: str = "float32",
) -> Made:
    """Bring stamps that somebody else cut into a store, matched to the catalog by id.

    Parameters
    ----------
    catalog : Catalog
        With an id column.
    source : path-like
        ``.npy`` (N, C, H, W) or (N, H, W); a FITS cube of the same; or Parquet, a file or a
        pattern of several (``"cutouts-*.parquet"``), with one list column per channel or one
        column of fixed-shape tensors.
    output : path-like
    columns : sequence of str
        List columns of a Parquet file, one per channel; or its one column of tensors.
    id_column : str, optional
        Column of the Parquet file with ids; named as the catalog's unless told.
    ids : path-like, optional
        ``.npy`` with the N ids. Without it, row *i* has id *i*, as `catalog import` numbers rows.
    shape : sequence of int
        (H, W) of a list column; tensors say theirs.
    bands, pixel_arcsec, unit, dtype
        What the stamps are.

    Raises
    ------
    SpecError, NotFoundError
        If the request does not fit the file.
    DataError
        If an id occurs twice.
    """
    if catalog.id_column is None:
        raise _wrong(f"catalog {catalog.name} has no id column to match stamps by; name one in its descriptor")
    path = Path(source)
    paths = [path] if path.is_file() else sorted(path.parent.glob(path.name))
    if not paths:
        msg = f"there is no file {path}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, path=str(path))
    if path.suffix == ".parquet":
        whole = _parquet_shape(paths, columns, shape)
        known = np.concatenate([_parquet_ids(each, id_column or catalog.id_column) for each in paths])
        stamps = _parquet_stamps(paths, columns, whole)
    else:
        stamps = _array(path)
        known = np.arange(len(stamps)) if ids is None else np.load(ids)
    if len(known) != len(stamps):
        raise _wrong(f"{path} has {len(stamps)} stamps and there are {len(known)} ids")
    match = MatchIds(known)
    if len(match.repeated):
        twice = match.repeated[0]
        msg = f"{path}: id {twice} occurs twice; each row of the catalog has one stamp"
        raise DataError(msg, kind=ErrorKind.DUPLICATE_ID, file=str(path))
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
        out[at >= 0] = stamps[at[at >= 0]]
        return out, {}

    return make_store(catalog, layout, output, [catalog.id_column], take)


def _parquet_ids(path: Path, name: str) -> NDArray[Any]:
    if name not in pq.read_schema(path).names:
        raise _wrong(f"{path} has no id column {name!r}; name it with --id-column")
    return np.asarray(pq.ParquetFile(path).read(columns=[name], use_threads=False)[name].to_numpy())


def _parquet_shape(paths: Sequence[Path], columns: Sequence[str], shape: Sequence[int]) -> tuple[int, ...]:
    """Return (N, C, H, W) of the stamps in some Parquet files.

    Raises
    ------
    SpecError
        If a file lacks a column, or nothing says the shape of its lists.
    """
    for path in paths:
        schema = pq.read_schema(path)
        for name in columns:
            if name not in schema.names:
                raise _wrong(f"{path} has no column {name!r}; there is: {', '.join(schema.names)}")
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    found = [pq.read_schema(paths[0]).field(name).type for name in columns]
    if len(found) == 1 and isinstance(found[0], pa.FixedShapeTensorType):
        own = tuple(found[0].shape)
        return (rows, *((1, *own) if len(own) == 2 else own))
    if not columns or len(shape) != 2:
        raise _wrong("name the list columns with --columns and their height and width with --shape H W")
    return (rows, len(columns), *shape)


def _parquet_stamps(paths: Sequence[Path], columns: Sequence[str], whole: tuple[int, ...]) -> NDArray[Any]:
    # The rows of a partition are anywhere in the files: they are read once, in order, into a file that has
    # no name, so that memory holds only what is looked at.
    out = np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=whole) if whole[0] else np.empty(whole)  # noqa: SIM115
    for channel, name in enumerate(columns):
        to = slice(None) if len(columns) == 1 else slice(channel, channel + 1)
        shape = whole[1:] if len(columns) == 1 else (1, *whole[2:])
        at = 0
        for path in paths:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=[name], use_threads=False):
                column = batch.column(0)
                storage = column.storage if isinstance(column.type, pa.FixedShapeTensorType) else column
                flat = storage.flatten().to_numpy(zero_copy_only=False)
                if len(flat) != batch.num_rows * int(np.prod(shape)):
                    raise _wrong(f"{path}: lists of {name!r} do not have {shape} values each, or are null")
                out[at : at + batch.num_rows, to] = flat.reshape(-1, *shape)
                at += batch.num_rows
    return out


def _array(path: Path) -> NDArray[Any]:
    if path.suffix == ".npy":
        found = np.load(path, mmap_mode="r")
    elif path.name.lower().endswith((".fits", ".fits.gz", ".fz")):
        from astropy.io import fits

        with fits.open(path, memmap=False) as hdus:
            data = next((hdu.data for hdu in hdus if hdu.is_image and len(hdu.shape) >= 3), np.empty(0))
        found = np.ma.filled(np.ma.asarray(data).astype(np.float32), np.nan)
    else:
        raise _wrong(f"{path}: stamps come from .npy, FITS or .parquet")
    if found.ndim not in {3, 4}:
        raise _wrong(f"{path} has shape {found.shape}; stamps are (N, H, W) or (N, C, H, W)")
    return np.asarray(found[:, None] if found.ndim == 3 else found)


def _wrong(text: str, **context: Mapping[str, Any]) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER, **context)
