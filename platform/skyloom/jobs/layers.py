"""Layers: published columns of a catalog, opened by name or path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog import Catalog
from skyloom.columns import Column
from skyloom.engine import Published, history, published
from skyloom.engine.expire import tombstone
from skyloom.engine.publish import expired
from skyloom.errors import ConflictError, ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.storage import LocalStore, Store, open_store

__all__ = ["Layer", "check_aligned", "check_once", "layer_history", "layer_place", "list_layers", "open_layer"]


@dataclass(frozen=True)
class Layer:
    """A finished version of a layer, pinned by the digest of its manifest."""

    name: str
    store: Store
    published: Published

    @property
    def version(self) -> int:
        """Version number, from 1."""
        return self.published.reference.version

    @property
    def path(self) -> str:
        """Directory of the version's own HATS catalog: what `lsdb.open_catalog` takes."""
        return self.store.location(self.published.journal.name())

    @property
    def collection(self) -> str:
        """Directory of the HATS collection that lists the base and this version."""
        return self.store.location(f"{self.name}/versions/v{self.version:08d}")

    @property
    def rows(self) -> int:
        """Rows, equal to those of the catalog."""
        return self.published.manifest.rows

    @property
    def row_keys(self) -> tuple[str, ...]:
        """Columns that the layer repeats from its base, to say which row a row is."""
        return self.published.manifest.row_keys

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Data files, in partition order."""
        return tuple(self.store.location(self.published.journal.data(f.key)) for f in self.published.files)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made the layer."""
        values: dict[str, Any] = json.loads(self.store.read(self.published.journal.name("provenance.json")))
        return values

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema, with unit, UCD and description in the fields' metadata."""
        name = self.published.journal.name("dataset", "_common_metadata")
        return pq.read_schema(pa.BufferReader(self.store.read(name)))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the layer adds, its flag last."""
        repeated = set(self.provenance["repeated_columns"])
        return tuple(Column.of_field(field) for field in self.schema if field.name not in repeated)

    def __repr__(self) -> str:
        return f"Layer({self.name!r}, version={self.version}, rows={self.rows}, path={self.path!r})"


def open_layer(name: str | Path, store: str | Path | None = None, *, version: int | None = None) -> Layer:
    """Open a finished layer.

    Parameters
    ----------
    name : str or Path
        A layer's name in `store`, or the path or URL of its directory.
    store : str or Path, optional
        The directory or URL of layers; needed for a name.
    version : int, optional
        By default the newest.

    Raises
    ------
    NotFoundError
        If there is no such layer, or no run of it has finished; the close names are offered.
    DataError
        If its manifest was changed.
    """
    opened, text = layer_place(name, store)
    try:
        return Layer(text, opened, published(opened, text, version))
    except NotFoundError as error:
        if error.kind != ErrorKind.NOT_FINISHED or opened.names(f"{text}/jobs"):
            raise
        there = [layer.name for layer in list_layers(opened.root)]
        msg = f"no layer {text!r} in {opened.root}; {close_matches(text, there)}"
        raise NotFoundError(msg, kind=ErrorKind.UNKNOWN_LAYER, layer=text) from None


def layer_place(name: str | Path, store: str | Path | None = None) -> tuple[Store, str]:
    """Return the store of a layer and its name there; see `open_layer`. Nothing is looked up."""
    text = str(name)
    if "://" in text:
        place, _, text = text.rstrip("/").rpartition("/")
        return open_store(place), text
    if "/" in text or store is None:
        path = Path(text).absolute()
        return open_store(path.parent), path.name
    return open_store(store), text


def list_layers(store: str | Path) -> tuple[Layer, ...]:
    """Return the finished layers of a store, by name.

    Raises
    ------
    NotFoundError
        If there is no such directory.
    """
    opened = open_store(store)
    if isinstance(opened, LocalStore) and not Path(opened.root).is_dir():
        msg = f"there is no directory {opened.root}; give the store that a run wrote layers to"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, store=opened.root)
    names = [name for name in opened.names("") if opened.names(f"{name}/refs")]
    return tuple(Layer(name, opened, published(opened, name)) for name in names)


def layer_history(name: str, store: str | Path) -> list[dict[str, Any]]:
    """Return one row per version of a layer, oldest first, with what made it; expired ones too.

    Raises
    ------
    NotFoundError
        If no run of the layer has finished.
    """
    opened = open_layer(name, store).store
    gone = expired(opened, name)
    rows = []
    for reference in history(opened, name):
        if reference.version in gone:
            kept = tombstone(opened, name, reference.version)
            manifest, provenance = kept.get("manifest", {}), kept.get("provenance", {})
        else:
            layer = open_layer(name, store, version=reference.version)
            manifest, provenance = asdict(layer.published.manifest), layer.provenance
        identity = provenance.get("identity", {})
        rows.append(
            {
                "version": reference.version,
                "state": "expired" if reference.version in gone else "kept",
                "job_id": reference.job_id,
                "model": identity.get("model", {}).get("name", ""),
                "weights": identity.get("model", {}).get("weights") or "",
                **{count: manifest.get(count) for count in ("rows", "flagged", "quarantined")},
                "snapshot": identity.get("catalog", {}).get("snapshot", ""),
            }
        )
    return rows


def check_aligned(catalog: Catalog, layers: Sequence[Layer]) -> None:
    """Refuse layers that were not computed from exactly this catalog, row for row.

    Raises
    ------
    ConflictError
        If the catalog's files are not those that a layer was computed from.
    SpecError
        If one layer is named twice.
    """
    check_once(layers)
    for layer in layers:
        made_from = layer.provenance["identity"]["catalog"]["snapshot"]
        if made_from != catalog.snapshot():
            msg = (
                f"layer {layer.name} (version {layer.version}) was computed from snapshot {made_from}, "
                f"and {catalog.root} is {catalog.snapshot()}: "
                "rows may not correspond. Run its job again on this catalog"
            )
            raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, layer=layer.name)


def check_once(layers: Sequence[Layer]) -> None:
    """Refuse layers of which two have one name.

    Raises
    ------
    SpecError
        BAD_PARAMETER, naming the layer.
    """
    names = [layer.name for layer in layers]
    for name in names:
        if names.count(name) > 1:
            msg = f"layer {name} is named twice"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=name)
