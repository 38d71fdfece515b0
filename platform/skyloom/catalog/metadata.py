"""The small files of a HATS catalog: ``hats.properties``, ``collection.properties``, ``partition_info.csv``.

Read as hats reads them, and held against it by tests, but without the second and a half of CPU that
importing hats costs: more than all else that a command does before its first row. hats itself is
asked for places that are not local, and for the partitions of catalogs that do not list them.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any, Literal

from jproperties import Properties  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, model_validator

from skyloom.catalog.files import local_path
from skyloom.catalog.remote import storage_options

__all__ = ["CollectionProperties", "TableProperties", "inner_place", "place_of", "read_pixels", "read_properties"]


class _Words(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)


class TableProperties(_Words):
    """What ``hats.properties`` says of a table; the words of HATS 1.0, and every other one as an extra."""

    catalog_name: str = Field(alias="obs_collection")
    catalog_type: Literal["object", "source", "association", "index", "margin", "map", "extension"] = Field(
        alias="dataproduct_type"
    )
    total_rows: int | None = Field(default=None, alias="hats_nrows")
    ra_column: str | None = Field(default=None, alias="hats_col_ra")
    dec_column: str | None = Field(default=None, alias="hats_col_dec")
    healpix_column: str | None = Field(default=None, alias="hats_col_healpix")
    healpix_order: int | None = Field(default=None, alias="hats_col_healpix_order")
    npix_suffix: str = Field(default=".parquet", alias="hats_npix_suffix")

    @model_validator(mode="after")
    def _has_positions(self) -> TableProperties:
        missing = [name for name in ("ra_column", "dec_column") if getattr(self, name) is None]
        if self.catalog_type in ("object", "source") and missing:
            msg = f"missing required property for a table of type {self.catalog_type}: {', '.join(missing)}"
            raise ValueError(msg)
        return self


class CollectionProperties(_Words):
    """What ``collection.properties`` says: here, where the main table is."""

    name: str = Field(alias="obs_collection")
    hats_primary_table_url: str


def place_of(location: str) -> Any:
    """Return a path, or what hats makes of a URL, which behaves as one."""
    path = local_path(location)
    if path is not None:
        return path
    from hats.io.file_io import get_upath

    return get_upath(location, **storage_options(location))


def inner_place(place: Any, inner: str) -> Any:
    """Return the place of a table that a collection at `place` names, absolutely or from there."""
    path = local_path(inner)
    return place / inner if path is not None and not path.is_absolute() else place_of(inner)


def read_properties(file: Any) -> dict[str, str]:
    """Return the words of a Java properties file.

    Raises
    ------
    FileNotFoundError
    ValueError
        If it is not one.
    """
    words = Properties()
    with file.open("rb") as opened:
        words.load(opened, "utf-8")
    return dict(words.properties)


def read_pixels(place: Any) -> tuple[tuple[int, int], ...]:
    """Return (order, npix) of every partition of the catalog at `place`, as hats sorts them: along the sky.

    Raises
    ------
    ValueError, KeyError
        If ``partition_info.csv`` is no table of Norder and Npix.
    """
    file = place / "partition_info.csv"
    if not isinstance(place, Path) or not file.exists():
        return _by_hats(place)
    with file.open(newline="") as opened:
        pixels = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(opened)]
    deepest = max((order for order, _ in pixels), default=0)
    return tuple(sorted(pixels, key=lambda pixel: pixel[1] << 2 * (deepest - pixel[0])))


def _by_hats(place: Any) -> tuple[tuple[int, int], ...]:
    from hats.catalog.partition_info import PartitionInfo

    with warnings.catch_warnings():
        # Without partition_info.csv hats lists the files, and warns that this may be slow.
        warnings.simplefilter("ignore")
        info = PartitionInfo.read_from_dir(place)
    return tuple((int(pixel.order), int(pixel.pixel)) for pixel in info.get_healpix_pixels())
