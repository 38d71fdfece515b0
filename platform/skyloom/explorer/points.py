"""The points of a catalog in memory: read once, shared by all browsers, never changed.

Positions and drawn columns are float32: right for any screen, half the memory. What a page
says exactly (an object, the table, SQL) is read from the files again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.catalog import Partition
from skyloom.columns import Column
from skyloom.errors import ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.explorer.rows import columns_by_partition, owner_of
from skyloom.explorer.state import Box, State
from skyloom.jobs import CatalogView
from skyloom.jobs.layers import Layer

__all__ = ["CELL_ORDER", "LIMIT_ROWS", "Points"]

LIMIT_ROWS = 10_000_000
"""Rows that are held at most: 0.2 GB, and 40 MB for each drawn column."""
CELL_ORDER = 9
"""HEALPix order of `Points.cells`: 6.9 arcminutes, finer than what is drawn as density."""
KEPT_COLUMNS = 8
_CORE_PERCENT = (0.5, 99.5)
_SAMPLE_ROWS = 200_000


@dataclass(frozen=True, eq=False)
class Points:
    """N points of a catalog, in its row order.

    Made by `Points.of`. Every array is read-only.
    """

    view: CatalogView
    stride: int
    """Every how many-th row was kept: 1 is all of them."""
    total_rows: int
    ra: NDArray[np.float32]
    """Degrees in [0, 360], shape (N,)."""
    dec: NDArray[np.float32]
    ids: pa.Array
    """Of the catalog's id column; row numbers where it has none. Length N."""
    cells: NDArray[np.int32]
    """Nested HEALPix pixel of order `CELL_ORDER`, shape (N,)."""
    _kept: OrderedDict[str, NDArray[np.float32]] = field(default_factory=OrderedDict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, view: CatalogView, *, limit: int = LIMIT_ROWS) -> Self:
        """Read position, id and HEALPix index of a catalog.

        Parameters
        ----------
        view : CatalogView
        limit : int
            Rows to hold at most. Of a larger catalog every k-th row is kept, with the smallest k that does.

        Raises
        ------
        SpecError
            BAD_PARAMETER if the limit is not positive.
        """
        if limit < 1:
            msg = f"at least one row must be held, got a limit of {limit}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        base = view.base
        total = sum(partition.rows for partition in base.partitions())
        stride = max(1, -(-total // limit))
        names = [base.ra_column, base.dec_column, *filter(None, (base.id_column, base.healpix_column))]
        pieces = [
            _thinned(t, a, stride) for a, t in _numbered(columns_by_partition(view, list(dict.fromkeys(names))))
        ]
        if pieces:
            table = pa.concat_tables(pieces)
        else:
            table = pa.schema([base.schema.field(name) for name in names]).empty_table()
        ra, dec = (_float32(table[name]) for name in (base.ra_column, base.dec_column))
        ids = pa.array(np.arange(0, total, stride)) if base.id_column is None else _flat(table[base.id_column])
        if base.healpix_column and base.healpix_order >= CELL_ORDER:
            shift = 2 * (base.healpix_order - CELL_ORDER)
            cells = (table[base.healpix_column].to_numpy().astype(np.int64) >> shift).astype(np.int32)
        else:
            cells = cells_of(table[base.ra_column].to_numpy(), table[base.dec_column].to_numpy(), CELL_ORDER)
        return cls(view, stride, total, _frozen(np.mod(ra, np.float32(360))), _frozen(dec), ids, _frozen(cells))

    def __len__(self) -> int:
        return len(self.ra)

    @cached_property
    def numeric(self) -> tuple[Column, ...]:
        """Columns that can be drawn: flat and of numbers, HEALPix indexes and ids left out."""
        left_out = {self.view.base.healpix_column, self.view.base.id_column}
        types = self._types
        return tuple(
            column
            for column in self.view.columns
            if not column.child and column.name not in left_out and _is_number(types[column.name])
        )

    @cached_property
    def sortable(self) -> tuple[str, ...]:
        """Columns of one value a row: what the table shows."""
        types = self._types
        return tuple(
            column.name
            for column in self.view.columns
            if not column.child
            and column.name != self.view.base.healpix_column
            and not pa.types.is_nested(types[column.name])
        )

    @cached_property
    def _types(self) -> dict[str, pa.DataType]:
        schemas = [self.view.base.schema, *(layer.schema for layer in self.view.layers)]
        return {column.name: column.type for schema in schemas for column in schema}

    def column(self, name: str) -> NDArray[np.float32]:
        """Return a column of numbers, shape (N,), NaN for null; the last few asked for are kept.

        Raises
        ------
        SpecError
            UNKNOWN_COLUMN if there is none, or it is not of numbers.
        DataError
            ROW_ORDER if it is of a layer whose rows are not the catalog's.
        """
        if name not in {column.name for column in self.numeric}:
            msg = f"no column of numbers {name!r}; {close_matches(name, [c.name for c in self.numeric])}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
        with self._lock:
            if name not in self._kept:
                tables = columns_by_partition(self.view, [name], owner_of(self.view, name))
                pieces = [
                    _float32(_thinned(table, start, self.stride)[name]) for start, table in _numbered(tables)
                ]
                whole = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
                self._kept[name] = _frozen(whole)
                if len(self._kept) > KEPT_COLUMNS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(name)
            return self._kept[name]

    def matrix(self, names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return several columns of some points, shape (len(rows), len(names)); `rows` ascends."""
        known = {column.name for column in self.numeric}
        for name in names:
            if name not in known:
                msg = f"no column of numbers {name!r}; {close_matches(name, known)}"
                raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
        found = np.empty((len(rows), len(names)), np.float32)
        owners: dict[str, tuple[Layer | None, list[int]]] = {}
        for place, name in enumerate(names):
            layer = owner_of(self.view, name)
            owners.setdefault(layer.name if layer else "", (layer, []))[1].append(place)
        for layer, places in owners.values():
            tables = columns_by_partition(self.view, [names[place] for place in places], layer)
            for start, table in _numbered(tables):
                first, last = np.searchsorted(rows * self.stride, [start, start + table.num_rows])
                wanted = table.take(rows[first:last] * self.stride - start)
                for place in places:
                    found[first:last, place] = _float32(wanted[names[place]])
        return found

    def core(self, name: str) -> tuple[float, float]:
        """Return the range that holds the middle 99 percent of a column, widened by a twentieth."""
        return _core(self, name)

    def selected(self, state: State) -> NDArray[np.bool_] | None:
        """Return which points a state selects, shape (N,); None if it selects nothing in particular."""
        parts = []
        if state.sky is not None:
            parts.append(self.within(state.sky))
        for name, span in ((state.x, state.xs), (state.y, state.ys)):
            if span is not None:
                values = self.column(name)
                parts.append((values >= np.float32(span.low)) & (values <= np.float32(span.high)))
        return np.logical_and.reduce(parts) if parts else None

    def within(self, sky: Box) -> NDArray[np.bool_]:
        """Return which points are in a box on the sky, through right ascension 0 where it goes there."""
        west, east = self.ra >= np.float32(sky.x0), self.ra <= np.float32(sky.x1)
        along = west & east if sky.x0 <= sky.x1 else west | east
        return np.asarray(along & (self.dec >= np.float32(sky.y0)) & (self.dec <= np.float32(sky.y1)))

    def find(self, text: str) -> int:
        """Return the point whose id is `text`.

        Raises
        ------
        NotFoundError
            If none that is held has it.
        """
        try:
            wanted = pa.scalar(text).cast(self.ids.type)
        except pa.ArrowInvalid:
            wanted = None
        found = -1 if wanted is None else pc.index(self.ids, wanted).as_py()
        if found < 0:
            held = (
                "" if self.stride == 1 else f" among the {len(self):,} of {self.total_rows:,} rows that are held"
            )
            msg = f"no object has the id {text!r}{held}; look it up with `skyloom query`"
            raise NotFoundError(msg, kind=ErrorKind.BAD_PARAMETER, id=text)
        return int(found)

    def place(self, point: int) -> tuple[Partition, int]:
        """Return the partition of a point, and its row there."""
        row = point * self.stride
        number = int(np.searchsorted(self._ends, row, side="right"))
        partition = self.view.base.partitions()[number]
        return partition, row - int(self._ends[number]) + partition.rows

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.array(list(accumulate(partition.rows for partition in self.view.base.partitions())), np.int64)


@lru_cache(maxsize=64)
def _core(points: Points, name: str) -> tuple[float, float]:
    values = points.column(name)
    values = values[:: max(1, len(values) // _SAMPLE_ROWS)]
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, _CORE_PERCENT))
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def cells_of(ra: NDArray[np.float64], dec: NDArray[np.float64], order: int) -> NDArray[np.int32]:
    """Return the nested HEALPix pixels of positions in degrees, shape (N,)."""
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import lonlat_to_healpix

    longitude, latitude = Longitude(ra, unit="deg", copy=False), Latitude(dec, unit="deg", copy=False)
    return np.asarray(lonlat_to_healpix(longitude, latitude, order, num_threads=1)).astype(np.int32)


def _numbered(tables: Iterable[pa.Table]) -> Iterable[tuple[int, pa.Table]]:
    start = 0
    for table in tables:
        yield start, table
        start += table.num_rows


def _thinned(table: pa.Table, start: int, stride: int) -> pa.Table:
    """Return the rows of a table whose numbers, counted from `start`, are multiples of `stride`."""
    return table if stride == 1 else table.take(np.arange(-start % stride, table.num_rows, stride))


def _float32(column: pa.ChunkedArray) -> NDArray[np.float32]:
    numbers = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
    return np.asarray(numbers.cast(pa.float32(), safe=False).to_numpy(), np.float32)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
