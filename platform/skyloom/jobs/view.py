"""CatalogView: a catalog with its layers, as a user holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from skyloom.catalog import Catalog, Description, Partition
from skyloom.catalog import open_catalog as open_hats
from skyloom.catalog.files import join, local_path, read_footer
from skyloom.catalog.remote import storage_options
from skyloom.columns import Column
from skyloom.engine.seal import FileEntry
from skyloom.errors import ErrorKind, SpecError
from skyloom.jobs.layers import Layer, check_aligned, open_layer
from skyloom.query import Limits, TableFiles, explain, query
from skyloom.sky import Region
from skyloom.sky.regions import touched

__all__ = ["CatalogView", "Explained", "open_catalog"]


def open_catalog(location: str | Path, *, catalogs: str | Path | None = None) -> CatalogView:
    """Open a HATS catalog: ours, or anybody's.

    Parameters
    ----------
    location : str or Path
        A directory or URL of a HATS catalog or collection, a descriptor (``*.toml``), or the
        name of a descriptor in ``./catalogs``.
    catalogs : path, optional
        Another directory of descriptors.

    Raises
    ------
    NotFoundError
        If there is no catalog; the message says what is there.

    Examples
    --------
    >>> import skyloom as sl
    >>> catalog = sl.open_catalog("catalogs/plasticc.toml")  # doctest: +SKIP
    """
    return CatalogView(open_hats(location, catalogs=Path(catalogs) if catalogs else None))


@dataclass(frozen=True, slots=True)
class Explained:
    """What a query would read."""

    partitions: int
    """Whose files are opened."""
    partitions_of: int
    """That the catalog has."""
    rows: int
    """In these partitions."""
    bytes: int
    """Of their files, of the catalog and of all layers; columns that are not named are not read."""
    plan: str
    """DuckDB's own."""


@dataclass(frozen=True)
class CatalogView:
    """A catalog and the layers chosen of it. Nothing is read until it is asked for."""

    base: Catalog
    layers: tuple[Layer, ...] = ()

    @property
    def name(self) -> str:
        """Short name."""
        return self.base.name

    @property
    def rows(self) -> int | None:
        """Rows, where the catalog's properties say."""
        return self.base.rows

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns with types, units, UCDs and descriptions: the catalog's, then the layers'."""
        return (*self.base.columns, *(column for layer in self.layers for column in layer.columns))

    def describe(self) -> Description:
        """Return size, skew, columns, licence and citation of the catalog."""
        return self.base.describe()

    def with_layers(self, *names: str | Path, store: str | Path | None = None) -> CatalogView:
        """Return the catalog with finished layers beside it.

        Parameters
        ----------
        *names : str or Path
            Names of layers, or paths of their directories.
        store : str or Path, optional
            Where they lie; by default where the catalog's descriptor says.

        Raises
        ------
        NotFoundError
            If a layer does not exist or is not finished.
        ConflictError
            If a layer was computed from other files than this catalog's.
        """
        place = store or self.base.layers_place or None
        layers = (*self.layers, *(open_layer(name, place) for name in names))
        check_aligned(self.base, layers)
        return replace(self, layers=layers)

    def to_lsdb(self, columns: Sequence[str] | None = None, **options: Any) -> Any:
        """Return a lazy LSDB catalog; layers are joined as HATS extensions.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns of the catalog to load; all columns of layers are.
        **options
            Passed to `lsdb.open_catalog`.
        """
        frame = self.base.to_lsdb(columns, **options)
        for layer in self.layers:
            place = join(layer.collection, f"{layer.name}.properties")
            frame = frame.load_extension(place, storage_options=storage_options(place) or None)
        return frame

    def with_model(
        self,
        name: str,
        *,
        weights: str | None = None,
        settings: Mapping[str, Any] | None = None,
        columns: Mapping[str, str] | None = None,
        eligibility: Sequence[str] = (),
    ) -> Any:
        """Return a lazy LSDB catalog with a model's columns added; compute it for a look.

        For a result to keep, run a job: it resumes, checks and documents itself.

        Parameters
        ----------
        name : str
            A model: see `skyloom model list`.
        weights : str, optional
            Which of its weights.
        settings : mapping, optional
            The model's own settings.
        columns : mapping, optional
            Names in the catalog, by the model's names, where they differ.
        eligibility : sequence of str, optional
            Which rows the model is asked about, as in a job file.

        Raises
        ------
        SpecError
            If the model, a setting or a column is not there, or of another type or unit.
        """
        from skyloom.jobs.lazy import with_model

        return with_model(self, name, weights, dict(settings or {}), dict(columns or {}), eligibility=eligibility)

    def query(self, sql: str, *, region: Region | None = None, limits: Limits | None = None) -> pa.Table:
        """Run one SELECT over ``catalog``: the catalog's columns and the layers', row by row.

        Parameters
        ----------
        sql : str
            DuckDB's SQL. Each layer is also a table under its own name, with ``-`` as ``_``.
        region : Region, optional
            A `skyloom.sky.Cone`, ``Box``, ``Polygon`` or ``MocRegion``: no row outside it is seen, and no file
            of a partition that it does not touch is opened.
        limits : Limits, optional
            Memory, time and rows that the query may take.

        Returns
        -------
        pyarrow.Table
            Units and descriptions of selected columns are in the fields' metadata.

        Raises
        ------
        SpecError
            If the statement is not one SELECT, is wrong, or hits a limit.
        DataError
            If rows of a layer are not those of the catalog.
        """
        return query(sql, **self._tables(self.partitions(region), region), limits=limits or Limits())

    def explain(self, sql: str, *, region: Region | None = None, limits: Limits | None = None) -> Explained:
        """Say what a query would read, and how DuckDB would run it; nothing but footers is read.

        Parameters and errors are those of `query`.
        """
        chosen = self.partitions(region)
        plan = explain(sql, **self._tables(chosen, region), limits=limits or Limits())
        of_layers = (entry.size_bytes for layer in self.layers for _, entry in _layer_entries(layer, chosen))
        return Explained(
            partitions=len(chosen),
            partitions_of=len(self.base.partitions()),
            rows=sum(p.rows for p in chosen),
            bytes=sum(p.bytes for p in chosen) + sum(of_layers),
            plan=plan,
        )

    def partitions(self, region: Region | None = None) -> tuple[Partition, ...]:
        """Return the partitions that a region may have rows in; all without one."""
        every = self.base.partitions()
        if region is None:
            return tuple(every)
        kept = touched(region, [(p.order, p.npix) for p in every])
        return tuple(partition for partition, keep in zip(every, kept, strict=True) if keep)

    def _tables(self, partitions: Sequence[Partition], region: Region | None) -> dict[str, Any]:
        return {
            "base": self._base_files(partitions),
            "layers": {layer.name: _layer_files(layer, partitions) for layer in self.layers},
            "id_column": self.base.id_column,
            "healpix_column": self.base.healpix_column,
            "position_columns": (self.base.ra_column, self.base.dec_column),
            "region": region,
        }

    def _base_files(self, partitions: Sequence[Partition]) -> TableFiles:
        if local_path(self.base.root) is None:
            msg = f"catalog {self.name} lies at {self.base.root}; SQL runs on local catalogs, use to_lsdb() for it"
            raise SpecError(msg, kind=ErrorKind.BAD_QUERY, catalog=self.name)
        return TableFiles(
            files=tuple(join(self.base.root, file) for p in partitions for file in p.files),
            rows=tuple(rows for p in partitions for rows in _file_rows(self.base.root, p)),
            schema=self.base.schema,
        )


def _file_rows(root: str, partition: Partition) -> list[int]:
    if len(partition.files) == 1:
        return [partition.rows]
    return [read_footer(join(root, file)).metadata().num_rows for file in partition.files]


def _layer_entries(layer: Layer, partitions: Sequence[Partition]) -> list[tuple[str, FileEntry]]:
    """Return the files of a layer in some partitions, with what its manifest says of each."""
    keys = {partition.key for partition in partitions}
    pairs = zip(layer.files, layer.published.files, strict=True)
    return [(file, entry) for file, entry in pairs if entry.key in keys]


def _layer_files(layer: Layer, partitions: Sequence[Partition]) -> TableFiles:
    if local_path(layer.path) is None:
        msg = f"layer {layer.name} lies at {layer.path}; SQL runs on local layers, use to_lsdb() for it"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY, layer=layer.name)
    kept = _layer_entries(layer, partitions)
    return TableFiles(tuple(file for file, _ in kept), tuple(entry.rows for _, entry in kept), layer.schema)
