"""Find a catalog by path, URL, descriptor file or descriptor name, and read its metadata."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from skyloom.catalog.descriptor import Descriptor, expand_variables, list_descriptors, load_descriptor
from skyloom.catalog.files import local_path, read_footer
from skyloom.catalog.metadata import (
    CollectionProperties,
    TableProperties,
    inner_place,
    place_of,
    read_pixels,
    read_properties,
)
from skyloom.catalog.partition import partition_key
from skyloom.catalog.remote import denied
from skyloom.catalog.value import WELL_KNOWN_IDS, Catalog
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError, close_matches

__all__ = ["Catalog", "open_catalog"]

T = TypeVar("T")
_TABLE_TYPES = ("object", "source")


def open_catalog(location: str | Path, *, catalogs: Path | None = None) -> Catalog:
    """Open a HATS catalog, ours or anybody's; only metadata is read.

    Parameters
    ----------
    location : str or Path
        A directory or URL that holds a HATS catalog or collection; a descriptor (``*.toml``);
        or the name of a descriptor in `catalogs`. A bare word is taken for a descriptor's
        name first; write ``./word`` to mean the directory.
    catalogs : Path, optional
        Where descriptors lie; ``./catalogs`` by default.

    Raises
    ------
    NotFoundError
        NOT_A_CATALOG, saying what was found at the place, or NO_SUCH_FILE.
    SpecError
        If a descriptor is wrong: an unknown key, or a column that the catalog lacks.
    DataError
        BAD_FILE if the catalog's own metadata cannot be read.

    Examples
    --------
    >>> open_catalog("catalogs/gaia.toml").columns  # doctest: +SKIP
    """
    text = str(location)
    folder = Path("catalogs") if catalogs is None else Path(catalogs)
    if text.endswith(".toml") and local_path(text) is not None:
        return _described(load_descriptor(text))
    if re.fullmatch(r"[\w.-]+", text) and (folder / f"{text}.toml").is_file():
        return _described(load_descriptor(folder / f"{text}.toml"))
    path = local_path(text)
    if path is not None and not path.exists():
        known = [file.stem for file in list_descriptors(folder)]
        msg = (
            f"there is no catalog at {path.absolute()}, and no descriptor {text!r} in {folder}/: "
            f"{close_matches(text, known)}"
        )
        raise NotFoundError(msg, kind=ErrorKind.NOT_A_CATALOG, location=text)
    return _open(text if path is None else str(path.absolute()), None)


def _described(descriptor: Descriptor) -> Catalog:
    location = expand_variables(descriptor.location, f"descriptor {descriptor.name!r}")
    path = local_path(location)
    if path is not None and not path.exists():
        msg = (
            f"descriptor {descriptor.name!r} says that the catalog lies at {path}, and nothing is there. "
            "Import it (skyloom catalog import), or correct `location`"
        )
        raise NotFoundError(msg, kind=ErrorKind.NOT_A_CATALOG, location=str(path))
    return _open(location if path is None else str(path), descriptor)


def _open(location: str, descriptor: Descriptor | None) -> Catalog:
    place = place_of(location)
    collection = None
    try:
        table = _has_table(place)
    except PermissionError:
        raise denied(location) from None
    if not table:
        if not (place / "collection.properties").exists():
            raise _not_a_catalog(place)
        collection = location
        words = _checked(place / "collection.properties", _collection)
        place = inner_place(place, words.hats_primary_table_url)
        if not _has_table(place):
            raise _not_a_catalog(place)
    return _read(place, collection, descriptor)


def _has_table(place: Any) -> bool:
    return bool((place / "hats.properties").exists() or (place / "properties").exists())


def _collection(file: Any) -> CollectionProperties:
    return CollectionProperties.model_validate(read_properties(file))


def _table(file: Any) -> TableProperties:
    return TableProperties.model_validate(read_properties(file))


def _checked(file: Any, read: Callable[[Any], T]) -> T:
    """Read a file of metadata; what HATS does not allow becomes a DataError that names the file."""
    try:
        return read(file)
    except (ValueError, KeyError, TypeError) as error:
        said = error.errors() if isinstance(error, ValidationError) else []
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in said)
        msg = f"{file} is no valid HATS metadata: {found or str(error).splitlines()[0]}; correct the file"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(file)) from error


def _read(place: Any, collection: str | None, descriptor: Descriptor | None) -> Catalog:
    named = next(name for name in ("hats.properties", "properties") if (place / name).exists())
    info = _checked(place / named, _table)
    if info.catalog_type not in _TABLE_TYPES:
        msg = (
            f"{place} is a HATS {info.catalog_type}, not a catalog of objects or sources; "
            "open the catalog that it belongs to"
        )
        raise NotFoundError(msg, kind=ErrorKind.NOT_A_CATALOG, location=str(place))
    pixels = _checked(place / "partition_info.csv", lambda _: read_pixels(place))
    schema = _schema(place, pixels, info.npix_suffix)
    if descriptor is not None:
        schema = descriptor.annotate(schema)
    return Catalog(
        name=descriptor.name if descriptor else info.catalog_name,
        root=str(place).rstrip("/"),
        schema=schema,
        rows=info.total_rows,
        ra_column=_known(info.ra_column, schema, place),
        dec_column=_known(info.dec_column, schema, place),
        id_column=_id_column(schema, info, descriptor),
        healpix_column=_healpix_column(info, schema),
        healpix_order=29 if info.healpix_order is None else info.healpix_order,
        pixels=pixels,
        npix_suffix=info.npix_suffix,
        collection=collection,
        descriptor=descriptor,
        notes=_notes(info, descriptor),
    )


def _notes(info: TableProperties, descriptor: Descriptor | None) -> dict[str, str]:
    said = info.model_dump(by_alias=True, exclude_none=True)
    words = {"title": "obs_title", "description": "obs_description", "licence": "obs_copyright",
             "citation": "bib_reference"}  # fmt: skip
    return {
        word: (getattr(descriptor, word) if descriptor else "") or str(said.get(key, ""))
        for word, key in words.items()
    }


def _schema(place: Any, pixels: tuple[tuple[int, int], ...], npix_suffix: str) -> pa.Schema:
    """Read ``_common_metadata``, else ``_metadata``, else the first partition's own schema."""
    candidates = [place / "dataset" / name for name in ("_common_metadata", "_metadata")]
    if pixels:
        first = place / "dataset" / f"{partition_key(*pixels[0])}{npix_suffix}"
        candidates += sorted(first.iterdir())[:1] if first.is_dir() else [first]
    for file in candidates:
        if file.exists():
            return _without_bookkeeping(read_footer(str(file)).metadata().schema.to_arrow_schema())
    msg = f"{place} has no Parquet file to read a schema from: restore dataset/_common_metadata"
    raise DataError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(place / "dataset" / "_common_metadata"))


def _without_bookkeeping(schema: pa.Schema) -> pa.Schema:
    """Drop pandas' and Parquet's own metadata, which say nothing about the sky."""
    fields = []
    for field in schema:
        kept = {k: v for k, v in (field.metadata or {}).items() if not k.startswith(b"PARQUET:")}
        fields.append(field.with_metadata(kept or None))
    return pa.schema(fields)


def _known(name: str | None, schema: pa.Schema, place: Any) -> str:
    if name in schema.names:
        return str(name)
    msg = (
        f"{place}: hats.properties names the position column {name!r}, which the schema lacks; "
        f"{close_matches(str(name), schema.names)}"
    )
    raise DataError(msg, kind=ErrorKind.SCHEMA_DRIFT, file=f"{place}/hats.properties", column=str(name))


def _id_column(schema: pa.Schema, info: TableProperties, descriptor: Descriptor | None) -> str | None:
    if descriptor is None or descriptor.id_column is None:
        stated = str((info.model_extra or {}).get("hats_cols_survey_id", ""))
        return next((name for name in (stated, *WELL_KNOWN_IDS) if name in schema.names), None)
    name = descriptor.id_column
    if name not in schema.names:
        msg = f"descriptor {descriptor.name!r}: id_column {name!r}: {close_matches(name, schema.names)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
    return name


def _healpix_column(info: TableProperties, schema: pa.Schema) -> str:
    named = info.healpix_column or "_healpix_29"
    return named if named in schema.names else ""


def _not_a_catalog(place: Any) -> NotFoundError:
    """Say what lies at the place, and what to do about it."""
    if place.is_file():
        found, way = "a file", "a catalog is a directory; import a table with `skyloom catalog import`"
    elif not place.exists():
        found, way = "nothing", "correct the location"
    else:
        names = sorted(entry.name for entry in place.iterdir())
        inner = [name for name in names if _has_table(place / name)]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        found = f"a directory with {shown}" if names else "an empty directory"
        way = "import tables with `skyloom catalog import`"
        if inner:
            way = f"did you mean {place}/{inner[0]}?"
    msg = f"{place} is not a HATS catalog (no hats.properties, no collection.properties): it is {found}; {way}"
    return NotFoundError(msg, kind=ErrorKind.NOT_A_CATALOG, location=str(place))
