"""Which files a query over a catalog and its layers reads, and that they belong together.

Partitions are chosen by their pixels alone. Only of those that are left are files opened: the ends
of the base's and of the layers' say whether each layer was computed from the base as it is now.
That is what lets rows be joined by position without a look at their keys: a layer's file holds, in
its footer, the digest of the partition it was computed from, and was committed only after its row
keys had the digest of that partition's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pyarrow.parquet as pq

from skyloom.catalog import Catalog
from skyloom.catalog.files import join, local_path, parquet_errors, read_footer
from skyloom.catalog.partition import digest_of, partition_key
from skyloom.engine.partition_file import FOOTER_PREFIX
from skyloom.engine.seal import FileEntry
from skyloom.errors import ConflictError, DataError, ErrorKind, SpecError
from skyloom.jobs.layers import Layer
from skyloom.jobs.tensors import catalog_part
from skyloom.query import Chosen, Source, TableFiles
from skyloom.sky import Region
from skyloom.sky.regions import DEPTH, touched

__all__ = ["check_made_from", "check_same_pixels", "pixels_in", "source_of"]

Pixels = Sequence[tuple[int, int]]


def pixels_in(catalog: Catalog, regions: Iterable[Region]) -> Pixels:
    """Return the pixels that all regions touch, in the order of the catalog; no file is opened."""
    kept: Pixels = catalog.pixels
    for region in regions:
        kept = [pixel for pixel, inside in zip(kept, touched(region, kept), strict=True) if inside]
    return kept


def source_of(catalog: Catalog, layers: Sequence[Layer], *, compare_rows: bool = False) -> Source:
    """Return where a query finds its tables.

    Parameters
    ----------
    catalog : Catalog
    layers : sequence of Layer
    compare_rows : bool
        Compare the keys of every row that a query reads, too.

    Raises
    ------
    SpecError
        If catalog or layers are not on this machine.
    """
    if local_path(catalog.root) is None:
        msg = f"catalog {catalog.name} lies at {catalog.root}; SQL runs on local catalogs, use to_lsdb() for it"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY, catalog=catalog.name)
    for layer in layers:
        if local_path(layer.path) is None:
            msg = f"layer {layer.name} lies at {layer.path}; SQL runs on local layers, use to_lsdb() for it"
            raise SpecError(msg, kind=ErrorKind.BAD_QUERY, layer=layer.name)
    return Source(
        base=catalog.schema,
        layers={layer.name: layer.schema for layer in layers},
        id_column=catalog.id_column,
        healpix_column=catalog.healpix_column,
        position_columns=(catalog.ra_column, catalog.dec_column),
        choose=partial(_choose, catalog, layers, compare_rows),
        index_column=catalog.healpix_column if catalog.healpix_order == DEPTH else "",
    )


def _choose(
    catalog: Catalog,
    layers: Sequence[Layer],
    compare_rows: bool,
    regions: Sequence[Region],
    needed: frozenset[str],
) -> Chosen:
    pixels = pixels_in(catalog, regions)
    check_made_from([layer for layer in layers if layer.name in needed], catalog, pixels)
    entries = {layer.name: _by_key(layer) for layer in layers}
    keys = [partition_key(*pixel) for pixel in pixels]
    return Chosen(
        base=_base_files(catalog, pixels, next(iter(entries.values()), None)),
        layers={
            layer.name: TableFiles(
                tuple(entries[layer.name][key][0] for key in keys),
                tuple(entries[layer.name][key][1].rows for key in keys),
                layer.schema,
            )
            for layer in layers
        },
        aligned=frozenset() if compare_rows else needed,
        partitions=len(pixels),
    )


def _base_files(
    catalog: Catalog, pixels: Pixels, listed: Mapping[str, tuple[str, FileEntry]] | None
) -> TableFiles:
    files: list[str] = []
    rows: list[int] = []
    for pixel in pixels:
        names = [join(catalog.root, name) for name in catalog.files(*pixel)]
        files += names
        if listed is not None:
            one = [listed[partition_key(*pixel)][1].rows]
            rows += one if len(names) == 1 else [read_footer(name).metadata().num_rows for name in names]
    return TableFiles(tuple(files), None if listed is None else tuple(rows), catalog.schema)


def _by_key(layer: Layer) -> dict[str, tuple[str, FileEntry]]:
    """Return each file of a layer with what its manifest says of it, by partition."""
    return {entry.key: (file, entry) for file, entry in zip(layer.files, layer.published.files, strict=True)}


def check_same_pixels(layer: Layer, catalog: Catalog) -> None:
    """Refuse a layer of other partitions than the catalog's; no file is opened.

    Raises
    ------
    ConflictError
        SNAPSHOT_CHANGED, naming a partition that only one of them has.
    """
    there, wanted = {entry.key for entry in layer.published.files}, {partition_key(*p) for p in catalog.pixels}
    if there != wanted:
        key = min(there ^ wanted)
        which = "the layer" if key in there else "the catalog"
        raise _other_catalog(layer, catalog, f"only {which} has partition {key}", key)


def check_made_from(layers: Sequence[Layer], catalog: Catalog, pixels: Pixels) -> None:
    """Refuse files of layers that were not computed from the catalog's as they are now.

    Reads the ends of the files of these partitions, of the catalog and of the layers.

    Parameters
    ----------
    layers : sequence of Layer
    catalog : Catalog
    pixels : sequence of (int, int)
        Of the catalog's, those that are looked at.

    Raises
    ------
    ConflictError
        SNAPSHOT_CHANGED if the catalog's files are not those that the layer was computed from.
    DataError
        DIGEST_MISMATCH if a file of the layer is not the one that its run committed, NO_SUCH_FILE or BAD_FILE
        if there is none; each names the file.
    """
    files = [(layer, _by_key(layer)) for layer in layers]
    for pixel in pixels if layers else ():
        key = partition_key(*pixel)
        digest = digest_of(catalog.root, catalog.files(*pixel))
        for layer, by_key in files:
            file, entry = by_key[key]
            if digest != catalog_part(entry.input_digest):
                raise _other_catalog(layer, catalog, f"partition {key} was changed since", key)
            if local_path(layer.path) is not None:
                _check_committed(layer, file, entry)


def _check_committed(layer: Layer, file: str, entry: FileEntry) -> None:
    footer = read_footer(file)
    job = {"job_id": layer.published.journal.job_id, "key": entry.key, "input_digest": entry.input_digest}
    expected = {f"{FOOTER_PREFIX}{word}": value for word, value in job.items()}
    if footer.size == entry.size_bytes and footer.states(entry.rows, expected):
        return
    with parquet_errors(file):
        metadata: pq.FileMetaData = footer.metadata()
    said = metadata.metadata or {}
    named = all(said.get(word.encode()) == value.encode() for word, value in expected.items())
    if footer.size != entry.size_bytes or metadata.num_rows != entry.rows or not named:
        of = said.get(f"{FOOTER_PREFIX}key".encode(), b"no partition").decode(errors="replace")
        msg = (
            f"{file} is not the file that layer {layer.name!r} was published with: it has {footer.size:,} bytes "
            f"and {metadata.num_rows:,} rows of {of}, "
            f"published were {entry.size_bytes:,} and {entry.rows:,} of {entry.key}. Run `skyloom layer verify`, "
            "restore the file, or run the job again"
        )
        raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, file=file, layer=layer.name)


def _other_catalog(layer: Layer, catalog: Catalog, found: str, key: str) -> ConflictError:
    msg = (
        f"layer {layer.name} (version {layer.version}) was computed from other files than those of "
        f"{catalog.root}: {found}, so that rows may not correspond. Run its job again on this catalog"
    )
    return ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, layer=layer.name, key=key)
