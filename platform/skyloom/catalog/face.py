"""The HATS face of a layer: the small files that make its directory a catalog for hats and lsdb.

Pure functions of their arguments, without dates or random names, so that a face written twice
is the same bytes and may be created once, by whoever comes first.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.value import Catalog
from skyloom.errors import ErrorKind, SpecError

__all__ = ["extension_face", "layer_face"]


def layer_face(
    *,
    name: str,
    base: Catalog,
    schema: pa.Schema,
    partitions: Sequence[tuple[str, int, int]],
    footers: Iterable[bytes] | None = None,
) -> dict[str, bytes]:
    """Return the files that make ``dataset/Norder=/Dir=/Npix=.parquet`` a valid HATS object catalog.

    Parameters
    ----------
    name : str
        The layer's name.
    base : Catalog
        The catalog that the layer belongs to: position, id and HEALPix columns have its names.
    schema : pyarrow.Schema
        Of the layer's Parquet files.
    partitions : sequence of (str, int, int)
        Key, rows and bytes of each file.
    footers : iterable of bytes, optional
        End of each file, from its footer to the last byte, in the order of `partitions`; gives
        ``dataset/_metadata``, which lets readers prune row groups. It grows with the partitions.

    Returns
    -------
    dict of str to bytes
        Relative path -> contents: ``hats.properties``, ``properties``, ``partition_info.csv``,
        ``dataset/_common_metadata`` and, with `footers`, ``dataset/_metadata``.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN if the schema lacks the base's position columns.
    """
    missing = [column for column in (base.ra_column, base.dec_column) if column not in schema.names]
    if missing:
        msg = f"layer {name!r} has no column {missing[0]!r}, which every HATS catalog needs; repeat it"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=missing[0])
    properties = _properties("HATS catalog", _table_words(name, base, schema, partitions))
    files = {
        "hats.properties": properties,
        "properties": properties,
        "partition_info.csv": _partition_info(key for key, _, _ in partitions),
        "dataset/_common_metadata": _common_metadata(schema),
    }
    if footers is not None:
        files["dataset/_metadata"] = _joined_metadata(partitions, footers)
    return files


def extension_face(*, name: str, base: Catalog, layer_path: str, columns: Sequence[str]) -> dict[str, bytes]:
    """Return the files that make a directory a HATS collection of the base with the layer as extension.

    With it, ``lsdb.open_catalog(directory).load_extension(name)`` gives the base's rows with
    the layer's columns.

    Parameters
    ----------
    name : str
        The layer's name, and that of the extension.
    base : Catalog
        Named by its absolute path or URL.
    layer_path : str
        The layer's HATS directory: absolute, or relative to the directory of these files.
    columns : sequence of str
        Columns that the layer adds.

    Returns
    -------
    dict of str to bytes
        ``collection.properties`` and ``<name>.properties``; nothing where the base has no id
        column, because LSDB joins an extension by one.
    """
    key = base.id_column
    if key is None:
        return {}
    collection = {
        "obs_collection": name,
        "hats_primary_table_url": base.root,
        "all_extensions": f"{name} {name}.properties",
        "hats_builder": "skyloom",
        "hats_version": "v1.0",
    }
    extension = {
        "obs_collection": name,
        "dataproduct_type": "extension",
        "hats_primary_table_url": base.root,
        "hats_col_assn_primary": key,
        "hats_assn_join_table_url": layer_path,
        "hats_col_assn_join": key,
        "hats_ext_cols": " ".join(columns),
        "hats_ext_join_style": "left",
        "hats_ext_shares_primary_coords": "true",
        "hats_builder": "skyloom",
        "hats_version": "v1.0",
    }
    return {
        "collection.properties": _properties("HATS Collection", collection),
        f"{name}.properties": _properties("HATS Extension", extension),
    }


def _table_words(
    name: str, base: Catalog, schema: pa.Schema, partitions: Sequence[tuple[str, int, int]]
) -> dict[str, str]:
    words = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": str(sum(rows for _, rows, _ in partitions)),
        "hats_col_ra": base.ra_column,
        "hats_col_dec": base.dec_column,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": str(max((rows for _, rows, _ in partitions), default=0)),
        "hats_order": str(max((_pixel(key)[0] for key, _, _ in partitions), default=0)),
        "hats_estsize": str(-(-sum(size for _, _, size in partitions) // 1024)),
        "hats_builder": "skyloom",
        "hats_version": "v1.0",
    }
    if base.healpix_column in schema.names:
        words["hats_col_healpix"] = base.healpix_column
        words["hats_col_healpix_order"] = str(base.healpix_order)
    if base.id_column is not None and base.id_column in schema.names:
        words["hats_cols_survey_id"] = base.id_column
    return words


def _properties(title: str, words: Mapping[str, str]) -> bytes:
    """Return a Java properties file, in which a backslash escapes and a line ends a value."""
    lines = [f"#{title}"]
    for key, value in words.items():
        text = " ".join(value.splitlines()).replace("\\", "\\\\")
        lines.append(f"{key}={text}")
    return ("\n".join(lines) + "\n").encode()


def _pixel(key: str) -> tuple[int, int]:
    match = re.fullmatch(r"Norder=(\d+)/Dir=\d+/Npix=(\d+)", key)
    if match is None:
        msg = f"{key!r} is no partition key; it reads Norder=N/Dir=N/Npix=N"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, key=key)
    return int(match[1]), int(match[2])


def _partition_info(keys: Iterable[str]) -> bytes:
    pixels = sorted((_pixel(key) for key in keys), key=lambda pixel: (pixel[1] << (2 * (29 - pixel[0])), pixel[0]))
    return ("Norder,Npix\n" + "".join(f"{order},{npix}\n" for order, npix in pixels)).encode()


def _common_metadata(schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    pq.write_metadata(schema, sink)
    return sink.getvalue()


def _joined_metadata(partitions: Sequence[tuple[str, int, int]], footers: Iterable[bytes]) -> bytes:
    joined: pq.FileMetaData | None = None
    for (key, _, _), footer in zip(partitions, footers, strict=True):
        one = pq.read_metadata(pa.BufferReader(footer))
        one.set_file_path(f"{key}.parquet")
        if joined is None:
            joined = one
        else:
            joined.append_row_groups(one)
    if joined is None:
        return b""
    sink = io.BytesIO()
    joined.write_metadata_file(sink)
    return sink.getvalue()
