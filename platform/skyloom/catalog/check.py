"""Check a catalog against itself: files, schema, counts, positions, pixels, order, ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.catalog.files import join, read_footer
from skyloom.catalog.nesting import same_meaning
from skyloom.catalog.partition import Partition, partition_key, read_partition, scan_partition
from skyloom.catalog.value import Catalog
from skyloom.errors import DataError, ErrorKind

__all__ = ["CheckReport", "Finding", "check_catalog"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    """As `ErrorKind` spells it."""
    key: str
    """Key of the partition, or ``""`` for the catalog as a whole."""
    file: str
    """The file to look at."""
    message: str
    """What was found, what was expected."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found, and how much it looked at."""

    findings: tuple[Finding, ...]
    partitions: int
    rows: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def check_catalog(catalog: Catalog, *, full: bool = False, id_unique: bool = True) -> CheckReport:
    """Look for everything that would make a run over the catalog fail or lie.

    Reads every footer, and of every row the position, ``_healpix_29`` and id.

    Parameters
    ----------
    catalog : Catalog
        Freshly opened: a change of files since then is not looked for.
    full : bool
        Read every column of every row too, which finds damaged pages where they have CRCs.
    id_unique : bool
        Look for ids that name several rows, over the whole catalog: 8 bytes per row.

    Returns
    -------
    CheckReport
        Findings in partition order, then those of the whole catalog.
    """
    looker = _Looker(catalog, full=full, id_unique=id_unique)
    for order, npix in catalog.pixels:
        looker.look(order, npix)
    looker.whole()
    return CheckReport(tuple(looker.findings), len(catalog.pixels), looker.rows)


class _Looker:
    """Goes from partition to partition, keeping what only the whole catalog can tell."""

    def __init__(self, catalog: Catalog, *, full: bool, id_unique: bool) -> None:
        self.catalog = catalog
        self.full = full
        self.id_unique = id_unique and catalog.id_column is not None
        self.findings: list[Finding] = []
        self.rows = 0
        self.ids: list[pa.Array] = []
        self.places: list[tuple[str, str]] = []
        """Key and file of each of `ids`."""

    def look(self, order: int, npix: int) -> None:
        key = partition_key(order, npix)
        try:
            files = self.catalog.files(order, npix)
            partition = scan_partition(self.catalog.root, order, npix, files)
        except DataError as error:
            self._add(error.kind, key, str(error.context.get("file", "")), error.message)
            return
        self.rows += partition.rows
        for file in partition.files:
            self._schema(key, join(self.catalog.root, file))
        self._rows(partition)

    def whole(self) -> None:
        stated = self.catalog.rows
        if stated is not None and stated != self.rows:
            message = f"hats.properties states {stated} rows, the files hold {self.rows}"
            self._add(ErrorKind.ROW_COUNT, "", join(self.catalog.root, "hats.properties"), message)
        if self.id_unique and self.ids:
            self._duplicates(pa.chunked_array(self.ids))

    def _add(self, kind: ErrorKind, key: str, file: str, message: str) -> None:
        self.findings.append(Finding(str(kind), key, file, message))

    def _schema(self, key: str, file: str) -> None:
        found = read_footer(file).metadata().schema.to_arrow_schema()
        for message in _schema_differences(self.catalog.schema, found):
            self._add(ErrorKind.SCHEMA_DRIFT, key, file, f"{file}: {message}")

    def _rows(self, partition: Partition) -> None:
        catalog = self.catalog
        names = [catalog.ra_column, catalog.dec_column, catalog.healpix_column or None, catalog.id_column]
        columns = None if self.full else [name for name in names if name]
        where = join(catalog.root, partition.files[0])
        try:
            table = read_partition(catalog.root, partition, columns, schema=catalog.schema)
        except DataError as error:
            if error.kind is not ErrorKind.SCHEMA_DRIFT:  # that one is found, column by column
                self._add(error.kind, partition.key, str(error.context.get("file", where)), error.message)
            return
        for kind, message in _row_findings(catalog, partition, table):
            self._add(kind, partition.key, where, f"{where}: {message}")
        if self.id_unique:
            chunks = table[catalog.id_column].chunks
            self.ids += chunks
            self.places += [(partition.key, where)] * len(chunks)

    def _duplicates(self, ids: pa.ChunkedArray) -> None:
        counts = ids.value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1))
        if len(twice):
            first = twice.field("values").slice(0, 5)
            shown = ", ".join(f"{value} ({', '.join(self._keys_of(value))})" for value in first)
            message = f"{len(twice)} ids in {self.catalog.id_column!r} name more than one row, such as {shown}"
            key, file = next(place for place, ids in self._placed() if pc.is_in(first[0], ids).as_py())
            self._add(ErrorKind.DUPLICATE_ID, key, file, message)

    def _placed(self) -> Iterator[tuple[tuple[str, str], pa.Array]]:
        return zip(self.places, self.ids, strict=True)

    def _keys_of(self, value: pa.Scalar) -> list[str]:
        """Return the keys of the partitions that have an id, each once."""
        return list(dict.fromkeys(key for (key, _), ids in self._placed() if pc.is_in(value, ids).as_py()))


def _schema_differences(expected: pa.Schema, found: pa.Schema) -> Iterator[str]:
    for field in expected:
        if field.name not in found.names:
            yield f"column {field.name!r} is missing; the catalog's schema has it as {field.type}"
        elif not same_meaning(found.field(field.name).type, field.type):
            other = found.field(field.name).type
            yield f"column {field.name!r} is {other}, the catalog's schema says {field.type}"
    for name in found.names:
        if name not in expected.names:
            yield f"column {name!r} is not in the catalog's schema"


def _row_findings(catalog: Catalog, partition: Partition, table: pa.Table) -> Iterator[tuple[ErrorKind, str]]:
    ra, dec = (_numbers(table[name]) for name in (catalog.ra_column, catalog.dec_column))
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~((ra >= 0) & (ra < 360) & (dec >= -90) & (dec <= 90)))
    if len(bad):
        shown = ", ".join(f"{_name(catalog, table, i)} (ra {ra[i]}, dec {dec[i]})" for i in bad[:5].tolist())
        yield ErrorKind.BAD_POSITION, f"{len(bad)} of {len(ra)} rows have no position on the sky: {shown}"
    if catalog.id_column is not None and table[catalog.id_column].null_count:
        yield ErrorKind.BAD_ROW, f"{table[catalog.id_column].null_count} rows have no {catalog.id_column}"
    if not catalog.healpix_column:
        return
    index = table[catalog.healpix_column]
    if index.null_count:
        yield ErrorKind.BAD_ROW, f"{index.null_count} rows have no {catalog.healpix_column}"
        return
    yield from _index_findings(catalog, partition, table, index.to_numpy())


def _declares_order(catalog: Catalog, partition: Partition) -> bool:
    """Return whether the files say that they are sorted; HATS does not ask it of them."""
    if len(partition.files) > 1:
        return False
    metadata = read_footer(join(catalog.root, partition.files[0])).metadata()
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    first = [group.sorting_columns[0].column_index for group in groups if group.sorting_columns]
    return any(metadata.schema.column(i).path == catalog.healpix_column for i in first)


def _index_findings(
    catalog: Catalog, partition: Partition, table: pa.Table, index: Any
) -> Iterator[tuple[ErrorKind, str]]:
    """Compare HEALPix indices with the partition, with the positions, and with one another."""
    name = catalog.healpix_column
    outside = np.flatnonzero(index >> (2 * (catalog.healpix_order - partition.order)) != partition.npix)
    if len(outside):
        row = _name(catalog, table, int(outside[0]))
        yield (
            ErrorKind.BAD_POSITION,
            (
                f"{len(outside)} of {len(index)} rows are in another pixel than Norder={partition.order} "
                f"Npix={partition.npix} by their {name}, first {row}"
            ),
        )
    moved = _moved(catalog, table, index)
    if len(moved):
        row = _name(catalog, table, int(moved[0]))
        yield (
            ErrorKind.BAD_POSITION,
            (f"{len(moved)} of {len(index)} rows have a {name} that is not that of their ra and dec, first {row}"),
        )
    back = np.flatnonzero(np.diff(index) < 0)
    if len(back) and _declares_order(catalog, partition):
        row = _name(catalog, table, int(back[0]) + 1)
        yield ErrorKind.ROW_ORDER, f"rows are not sorted by {name}: row {int(back[0]) + 1} ({row}) is out of order"


def _moved(catalog: Catalog, table: pa.Table, index: Any) -> Any:
    """Return rows whose index is farther than one cell from that of their position, both at order 18.

    Rows without a position are another finding. Order 18 has cells of 0.8 arcsec: float32
    positions and other libraries' rounding pass.
    """
    from hats.pixel_math import compute_spatial_index

    ra, dec = (_numbers(table[name]) for name in (catalog.ra_column, catalog.dec_column))
    with np.errstate(invalid="ignore"):
        usable = (ra >= 0) & (ra < 360) & (np.abs(dec) <= 90)
    order = min(18, catalog.healpix_order)
    own = np.asarray(compute_spatial_index(ra[usable], dec[usable], order))
    stored = index[usable] >> (2 * (catalog.healpix_order - order))
    differ = np.flatnonzero(own != stored)
    if len(differ):
        differ = differ[_arcsec_apart(own[differ], stored[differ], order) > 2]
    return np.flatnonzero(usable)[differ]


def _arcsec_apart(first: Any, second: Any, order: int) -> Any:
    """Return the distance between the centres of nested pixels of one order, in arcsec."""
    import cdshealpix

    lon1, lat1 = cdshealpix.healpix_to_lonlat(first.astype(np.uint64), order)
    lon2, lat2 = cdshealpix.healpix_to_lonlat(second.astype(np.uint64), order)
    a1, d1, a2, d2 = (np.radians(angle.deg) for angle in (lon1, lat1, lon2, lat2))
    half = np.sin((d1 - d2) / 2) ** 2 + np.cos(d1) * np.cos(d2) * np.sin((a1 - a2) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))) * 3600


def _numbers(column: pa.ChunkedArray) -> Any:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _name(catalog: Catalog, table: pa.Table, row: int) -> str:
    if catalog.id_column is None:
        return f"row {row}"
    return f"{catalog.id_column} {table[catalog.id_column][row].as_py()}"
