"""Small FITS images with WCS, and catalogs of rows on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.wcs import WCS

from skyloom.catalog import Catalog, read_partition
from skyloom.catalog.ingest import import_catalog
from skyloom.catalog.spec import ImportSpec
from skyloom.tensors import open_tensors

CENTRE = (150.0, 2.0)


def tan(size: int, *, scale: float = 0.25, angle: float = 0.0, centre: tuple[float, float] = CENTRE) -> WCS:
    """A TAN projection of `size` by `size` pixels of `scale` arcsec, turned by `angle` radians."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = list(centre), [(size + 1) / 2] * 2
    c, s = np.cos(angle), np.sin(angle)
    wcs.wcs.cd = np.array([[-c, s], [s, c]]) * scale / 3600
    return wcs


def write_image(
    path: Path,
    data: np.ndarray,
    wcs: WCS,
    *,
    band: str = "r",
    unit: str = "nJy",
    compressed: bool = False,
    **cards: Any,
) -> Path:
    """Write an image as the second HDU of a file; `cards` are values, or (value, comment)."""
    header = wcs.to_header(relax=True)
    header["FILTER"] = band
    if unit:
        header["BUNIT"] = unit
    for key, card in cards.items():
        header[key] = card
    if compressed:
        made = fits.CompImageHDU(data, header, compression_type="GZIP_1", quantize_level=0)
    else:
        made = fits.ImageHDU(data, header)
    fits.HDUList([fits.PrimaryHDU(), made]).writeto(path)
    return path


def catalog_at(root: Path, ra: Any, dec: Any, ids: Any = None) -> Catalog:
    """Import a catalog of rows at some positions, with ids from 0 unless told."""
    table = root.with_suffix(".parquet")
    ids = np.arange(len(ra)) if ids is None else ids
    pq.write_table(pa.table({"object_id": ids, "ra": np.asarray(ra), "dec": np.asarray(dec)}), table)
    said = {"files": [str(table)], "id": "object_id", "ra": "ra", "dec": "dec"}
    return import_catalog(ImportSpec.model_validate({"name": root.name, "output": str(root), "objects": said}))


def all_rows(catalog: Catalog, store: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values and coverage over all partitions, by id."""
    opened = open_tensors(store)
    ids, values, coverage = [], [], []
    for partition in catalog.partitions():
        ids.append(read_partition(catalog.root, partition, ["object_id"])["object_id"].to_numpy())
        found = opened.read(partition.key, 0, partition.rows)
        values.append(found.values)
        coverage.append(found.coverage)
    order = np.argsort(np.concatenate(ids))
    return np.concatenate(values)[order], np.concatenate(coverage)[order]
