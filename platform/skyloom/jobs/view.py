"""CatalogView: a catalog with its layers, as a user holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyloom.catalog import Catalog, Description, Partition
from skyloom.catalog import open_catalog as open_hats
from skyloom.catalog.files import join, read_footer
from skyloom.catalog.remote import storage_options
from skyloom.columns import Column
from skyloom.jobs.asking import Explained, Queryable
from skyloom.jobs.layers import Layer, check_once, open_layer
from skyloom.jobs.query_files import check_made_from, check_same_pixels, pixels_in, source_of
from skyloom.query import Limits, Source, explain_source
from skyloom.sky import Region

if TYPE_CHECKING:
    from skyloom.jobs.crossmatch import Crossmatched

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


@dataclass(frozen=True)
class CatalogView(Queryable):
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
            If a layer was computed from other partitions than this catalog's. Whether from the same files is
            found out of each file when it is read.
        """
        # Without names, nothing is missing where the descriptor's place is not there.
        place = (store or self.base.layers_place or None) if names else None
        layers = (*self.layers, *(open_layer(name, place) for name in names))
        check_once(layers)
        for layer in layers:
            check_same_pixels(layer, self.base)
        return replace(self, layers=layers)

    def to_lsdb(self, columns: Sequence[str] | None = None, **options: Any) -> Any:
        """Return a lazy LSDB catalog; layers are joined as HATS extensions.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns of the catalog to load; all columns of layers are.
        **options
            Passed to `lsdb.open_catalog`.

        Raises
        ------
        ConflictError
            If a layer was computed from other files than this catalog's.
        """
        check_made_from(self.layers, self.base, self.base.pixels)
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

    def crossmatch(self, other: CatalogView, radius_arcsec: float = 1.0, *, neighbors: int = 1) -> Crossmatched:
        """Return the pairs of rows of this catalog and another that lie within a radius, by LSDB.

        Its ``query`` is that of a catalog: the table ``catalog`` has the columns of both, those of
        `other` that this one has too with its name at their end, and ``_dist_arcsec``. Pairs are found when
        a query runs, in the partitions of this catalog that the query's regions touch.

        Parameters
        ----------
        other : CatalogView
            The other catalog; its layers are in the pairs, too.
        radius_arcsec : float
            At most this far apart.
        neighbors : int
            The nearest so many of `other` for each row.

        Raises
        ------
        SpecError
            If the radius is not in (0, 3600] arcseconds.
        """
        from skyloom.jobs.crossmatch import Crossmatched

        return Crossmatched(self, other, radius_arcsec, neighbors)

    @contextmanager
    def _source(self, *, compare_rows: bool) -> Iterator[Source]:
        yield source_of(self.base, self.layers, compare_rows=compare_rows)

    def explain(self, sql: str, *, region: Region | None = None, limits: Limits | None = None) -> Explained:
        """Say what a query would read, and how DuckDB would run it; see `Queryable.explain`."""
        plan = explain_source(sql, source_of(self.base, self.layers), limits=limits, region=region)
        files = [*plan.chosen.base.files, *(file for part in plan.chosen.layers.values() for file in part.files)]
        footers = [read_footer(file) for file in plan.chosen.base.files]
        return Explained(
            partitions=plan.chosen.partitions,
            partitions_of=len(self.base.pixels),
            rows=sum(footer.metadata().num_rows for footer in footers),
            bytes=sum(Path(file).stat().st_size for file in files),
            regions=plan.regions,
            plan=plan.text,
        )

    def partitions(self, region: Region | None = None) -> tuple[Partition, ...]:
        """Return the partitions that a region may have rows in; all without one."""
        return self.base.partitions(pixels_in(self.base, [region]) if region else None)
