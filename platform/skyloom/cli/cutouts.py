"""`skyloom cutouts`: make, import, check, describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from skyloom.cli.stores import Json, Words, show_check, show_made, show_store

__all__ = ["app"]

app = cyclopts.App(
    name="cutouts", help="Images aligned with a catalog: make, import, check, describe.", help_epilogue=""
)


@app.command
def make(
    catalog: str,
    /,
    *,
    images: Words,
    output: Path,
    size: int | None = None,
    size_arcsec: float | None = None,
    pixel_arcsec: float | None = None,
    bands: Words = (),
    band_key: str | None = None,
    psf_key: str | None = None,
    hdu: str | None = None,
    unit: str | None = None,
    dtype: str = "float32",
    json: Json = False,
) -> int:
    """Cut the rows of a catalog out of FITS images with WCS; takes up what an earlier call left.

    For example:
        skyloom cutouts make hats/peaks --images jwst/ --size 64 --output stores/peaks-64
        skyloom cutouts make hats/g --images g=g/ r=r/ --bands g r --size-arcsec 16 --output s

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    images
        FITS files, directories or patterns; band=PLACE says the band.
    output
        The store to make.
    size
        Side in pixels.
    size_arcsec
        Side in arcseconds.
    pixel_arcsec
        Resample onto this pixel scale, north up; the images' own pixels unless told.
    bands
        Channels, in this order; all bands of the headers unless told.
    band_key
        Header key that holds the band.
    psf_key
        Header key of the PSF's full width at half maximum, with its unit where the card's comment is
        silent: FWHM=pixel or SEEING=arcsec. The usual keys are looked for unless told.
    hdu
        Name or number of the HDU to take; every image but errors, weights and masks unless told.
    unit
        Unit of the pixels, where headers do not state it.
    dtype
        float32 or float16.
    json
        Print JSON, for programs.
    """
    from skyloom.catalog import open_catalog
    from skyloom.jobs.make_tensors import make_cutouts

    made = make_cutouts(
        open_catalog(catalog), images, output, size=size, size_arcsec=size_arcsec, pixel_arcsec=pixel_arcsec,
        bands=bands, band_key=band_key, psf_key=psf_key, hdu=hdu, unit=unit, dtype=dtype,
    )  # fmt: skip
    return show_made(made, as_json=json)


@app.command(name="import")
def import_(
    catalog: str,
    /,
    *,
    source: Annotated[Path, Parameter(name="--from")],
    output: Path,
    columns: Words = (),
    id_column: str | None = None,
    ids: Path | None = None,
    shape: tuple[int, int] | None = None,
    encoding: str = "fits",
    bands: Words = (),
    pixel_arcsec: float | None = None,
    unit: str = "",
    dtype: str = "float32",
    json: Json = False,
) -> int:
    """Bring stamps that somebody else cut into a store, matched to the catalog by id.

    For example:
        skyloom cutouts import hats/ztf --from alerts.parquet --columns stamp_science stamp_template --shape 63 63
            --output stores/ztf
        skyloom cutouts import hats/radio --from stamps.npy --ids ids.npy --output stores/radio
        skyloom cutouts import hats/ztf --from packets.parquet --columns cutoutScience.stampData
            --id-column candid --shape 63 63 --output stores/packets

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    source
        A .npy array, a FITS cube, or Parquet (a pattern names several files) with columns of lists, tensors
        or bytes.
    output
        The store to make.
    columns
        Columns of the Parquet file, one per channel; a field of a struct as STRUCT.FIELD.
    id_column
        Its column of ids; named as the catalog's unless told.
    ids
        A .npy with one id per stamp; stamp i has id i unless told.
    shape
        Height and width, of lists and bytes.
    encoding
        What bytes are: fits (a FITS file each, packed by gzip or not), or a numpy type such as '<f4'.
    bands
        Names of the channels.
    pixel_arcsec
        Pixel scale.
    unit
        Unit of the pixels.
    dtype
        float32 or float16.
    json
        Print JSON, for programs.
    """
    from skyloom.catalog import open_catalog
    from skyloom.jobs.make_tensors import import_cutouts

    made = import_cutouts(
        open_catalog(catalog), source, output, columns=columns, id_column=id_column, ids=ids, shape=shape or (),
        encoding=encoding, bands=bands, pixel_arcsec=pixel_arcsec, unit=unit, dtype=dtype,
    )  # fmt: skip
    return show_made(made, as_json=json)


@app.command
def check(store: str, /, *, catalog: str, json: Json = False) -> int:
    """Check a store byte by byte against its statement and a catalog; exit code 1 if anything is wrong.

    For example:
        skyloom cutouts check stores/peaks-64 --catalog hats/peaks

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
    """Print what a store says of itself: shape, bands, unit, pixel scale, catalog, codec.

    For example:
        skyloom cutouts describe stores/peaks-64

    Parameters
    ----------
    store
        Path or URL of the store.
    json
        Print JSON, for programs.
    """
    return show_store(store, as_json=json)
