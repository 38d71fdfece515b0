"""Two catalogs cross-matched by position, through LSDB, as one table that SQL runs over."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog import Partition
from skyloom.catalog.nesting import as_struct_of_lists, is_list_of_structs
from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.jobs.asking import Explained, Queryable
from skyloom.jobs.query_files import Pixels, pixels_in
from skyloom.query import Chosen, Limits, Source, TableFiles, explain_source
from skyloom.sky import MocRegion, Region
from skyloom.sky.regions import DEPTH

if TYPE_CHECKING:
    from skyloom.jobs.view import CatalogView

__all__ = ["DISTANCE", "MAX_ROWS", "Crossmatched"]

DISTANCE = Column("_dist_arcsec", "arcsec", "angular distance of the two positions", "float64", "pos.angDistance")
MAX_ROWS = 5_000_000
"""Rows of a second catalog without a margin that are held in memory: it is made there."""
_FIRST_ORDER_ARCSEC = 58.6 * 3600
"""About the side of a HEALPix cell of order 0."""


@dataclass(frozen=True)
class Crossmatched(Queryable):
    """Pairs of rows of two catalogs; see `CatalogView.crossmatch`."""

    left: CatalogView
    right: CatalogView
    radius_arcsec: float = 1.0
    neighbors: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.radius_arcsec <= 3600.0 or self.neighbors < 1:
            msg = (
                f"a cross-match takes a radius in (0, 3600] arcseconds and at least one neighbour, got "
                f"{self.radius_arcsec} and {self.neighbors}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the left catalog and its layers, then those of the right one, then the distance.

        A column of the right catalog that the left one has too gets the right one's name at its end.
        """
        fields = _fields(self.left, index=True)
        taken = {field.name for field in fields}
        for field in _fields(self.right, index=False):
            fields.append(field.with_name(f"{field.name}{self._suffix}") if field.name in taken else field)
        return pa.schema([*fields, DISTANCE.field()])

    @property
    def _suffix(self) -> str:
        return f"_{self.right.name.replace('-', '_')}"

    def explain(self, sql: str, *, region: Region | None = None, limits: Limits | None = None) -> Explained:
        """Say which partitions of both catalogs would be matched, and how DuckDB would run over the pairs.

        Nothing is matched, so that DuckDB's plan is over a table of no rows; see `Queryable.explain`.
        """
        chosen: list[tuple[int, int]] = []

        def choose(regions: Sequence[Region], _needed: frozenset[str]) -> Chosen:
            chosen.extend(pixels_in(self.left.base, regions))
            return Chosen(TableFiles((), (), self.schema), {}, partitions=len(chosen))

        plan = explain_source(sql, self._source_of(choose), limits=limits, region=region)
        nearby = self._near(chosen)
        of_left, of_right = self.left.base.partitions(chosen), self.right.base.partitions(nearby)
        other = (
            f"cross-match within {self.radius_arcsec:g} arcsec: "
            f"{len(nearby):,} of {len(self.right.base.pixels):,} partitions of {self.right.name} are near, "
            f"with {sum(part.rows for part in of_right):,} rows"
        )
        return Explained(
            partitions=len(chosen),
            partitions_of=len(self.left.base.pixels),
            rows=sum(part.rows for part in of_left),
            bytes=_bytes(self.left, of_left) + _bytes(self.right, of_right),
            regions=(*plan.regions, other),
            plan=plan.text,
        )

    @contextmanager
    def _source(self, *, compare_rows: bool) -> Iterator[Source]:
        del compare_rows
        with tempfile.TemporaryDirectory(prefix="skyloom-crossmatch-") as folder:
            yield self._source_of(partial(self._choose, Path(folder)))

    def _source_of(self, choose: Callable[[Sequence[Region], frozenset[str]], Chosen]) -> Source:
        base = self.left.base
        return Source(
            base=self.schema,
            layers={},
            id_column=base.id_column,
            healpix_column=base.healpix_column,
            position_columns=(base.ra_column, base.dec_column),
            choose=choose,
            index_column=base.healpix_column if base.healpix_order == DEPTH else "",
        )

    def _near(self, pixels: Pixels) -> Pixels:
        """Return the other catalog's partitions that may have rows near those of some partitions."""
        return pixels_in(self.right.base, [_around(pixels, self.radius_arcsec)]) if pixels else ()

    def _choose(self, folder: Path, regions: Sequence[Region], _needed: frozenset[str]) -> Chosen:
        """Match the partitions of the left catalog that the regions touch, and write the pairs."""
        pixels = pixels_in(self.left.base, regions)
        files, rows = [], []
        with warnings.catch_warnings():
            # Of pandas, about how LSDB calls it.
            warnings.filterwarnings("ignore", message="The inplace keyword")
            for number, part in enumerate(self._matched(pixels) if pixels else ()):
                table = _as_table(part.compute(), self.schema)
                files.append(str(folder / f"{number}.parquet"))
                rows.append(table.num_rows)
                pq.write_table(table, files[-1], compression="zstd", compression_level=1)
        return Chosen(TableFiles(tuple(files), tuple(rows), self.schema), {}, partitions=len(pixels))

    def _matched(self, pixels: Pixels) -> list[Any]:
        """Return one delayed frame of pairs per pair of partitions."""
        import lsdb

        left = self.left.to_lsdb(self.left.base.schema.names)
        if len(pixels) < len(self.left.base.pixels):
            left = left.search(lsdb.PixelSearch(list(pixels)))
        nearby = self._near(pixels)
        if not nearby:
            return []
        right = self._with_margin(nearby)
        matched = left.crossmatch(
            right,
            radius_arcsec=self.radius_arcsec,
            n_neighbors=self.neighbors,
            suffixes=("", self._suffix),
            suffix_method="overlapping_columns",
            require_right_margin=True,
            log_changes=False,
        )
        return list(matched.to_delayed())

    def _with_margin(self, pixels: Pixels) -> Any:
        """Return the right catalog with a margin, without which pairs across partitions are lost.

        Its own where it has one that is wide enough; otherwise the rows of `pixels` are read, and LSDB makes it.
        """
        import lsdb

        base = self.right.base
        frame = self.right.to_lsdb(base.schema.names)
        margin = frame.margin
        if margin is not None and margin.hc_structure.catalog_info.margin_threshold >= self.radius_arcsec:
            return frame
        rows = sum(partition.rows for partition in base.partitions(pixels))
        if rows > MAX_ROWS:
            msg = (
                f"catalog {self.right.name} has no margin of {self.radius_arcsec:g} arcsec and {rows:,} rows "
                f"near the other's; up to {MAX_ROWS:,} one is made in memory. Give a region (--cone), name the "
                "larger catalog first, or import it with a margin (hats-import)"
            )
            raise SpecError(msg, kind=ErrorKind.QUERY_LIMIT, rows=rows)
        near = frame.search(lsdb.PixelSearch(list(pixels))).compute(progress_bar=False)
        return lsdb.from_dataframe(
            near,
            ra_column=base.ra_column,
            dec_column=base.dec_column,
            margin_threshold=self.radius_arcsec * 1.01,
            catalog_name=self.right.name,
        )


def _fields(view: CatalogView, *, index: bool) -> list[pa.Field]:
    """Return the columns of a view in the order of LSDB, the HEALPix index only if asked for."""
    fields = [field for field in view.base.schema if index or field.name != view.base.healpix_column]
    return fields + [layer.schema.field(column.name) for layer in view.layers for column in layer.columns]


def _bytes(view: CatalogView, partitions: Sequence[Partition]) -> int:
    """Return the size of the files of some partitions, those of layers included."""
    keys = {part.key for part in partitions}
    layers = sum(e.size_bytes for layer in view.layers for e in layer.published.files if e.key in keys)
    return layers + sum(part.bytes for part in partitions)


def _around(pixels: Pixels, radius_arcsec: float) -> MocRegion:
    """Return pixels and all within a radius of them."""
    import numpy as np
    from mocpy import MOC

    depth = 12
    while depth and _FIRST_ORDER_ARCSEC / 2**depth < 2 * radius_arcsec:
        depth -= 1
    numbers = np.array([npix for _, npix in pixels], np.uint64)
    orders = np.array([order for order, _ in pixels], np.uint8)
    moc = MOC.from_healpix_cells(numbers, orders, max_depth=max(depth, int(orders.max())))
    # Neighbours are cells of the finest order that the MOC has.
    moc = moc.refine_to_order(depth) if moc.max_order < depth else moc
    moc = moc.degrade_to_order(depth) if moc.max_order > depth else moc
    return MocRegion(moc.add_neighbours())


def _as_table(frame: Any, schema: pa.Schema) -> pa.Table:
    """Return rows of LSDB in the types of a schema; nested columns as structs of lists."""
    found = pa.Table.from_pandas(frame, preserve_index=frame.index.name in schema.names)
    columns = []
    for field in schema:
        column = found[field.name]
        if is_list_of_structs(column.type) and pa.types.is_struct(field.type):
            column = as_struct_of_lists(column)
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)
