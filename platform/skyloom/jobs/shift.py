"""Where on the sky a layer's columns are not as elsewhere, or not as in training: a row per partition and cell.

One pass over the layer, a partition at a time. Of each partition and each HEALPix cell a fair sample of rows is
kept (`skyloom.evaluation.row_samples`), so memory is bounded by the number of cells, not of rows, and the
result does not depend on how rows are dealt out to partitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.columns import Column, schema_of
from skyloom.errors import DataError, ErrorKind, SpecError, close_matches
from skyloom.evaluation.row_samples import RowSample
from skyloom.evaluation.shift import Shift, shift_between
from skyloom.jobs.layers import Layer, open_layer

__all__ = ["MOST_CELLS_ORDER", "measure_shift", "shift_columns"]

MOST_CELLS_ORDER = 6
"""Finest order of cells: there are 49,152 of them on the sky."""

_HEALPIX, _DEPTH = "_healpix_29", 29
_REFERENCE_ROWS = 4096
_KEY = re.compile(r"Norder=(\d+)/.*Npix=(\d+)")
_PARTITION, _CELL = "partition", "cell"


def measure_shift(
    layer: str | Path,
    store: str | Path | None = None,
    *,
    columns: Sequence[str] = (),
    reference: str | Path | None = None,
    order: int = 3,
    rows: int = 256,
    version: int | None = None,
    seed: int = 0,
) -> pa.Table:
    """Compare the rows of each partition and each cell of a layer with a reference.

    Parameters
    ----------
    layer, store, version
        As `skyloom.jobs.open_layer` takes them.
    columns : sequence of str
        Numeric columns of the layer; default: all of floating numbers that it adds.
    reference : str or path, optional
        The rows to compare with: a Parquet file or the directory of a layer that has the columns, as of a
        training set. Default: the rows of the layer that lie elsewhere.
    order : int
        Of the HEALPix cells, nested; 0 to 6.
    rows : int
        Sampled of each partition and cell; at least 16.
    seed : int
        Of the statistics.

    Returns
    -------
    pyarrow.Table
        Of the columns that `shift_columns` describes, partitions first, then cells.

    Raises
    ------
    SpecError
        If a column is not there or no number, or `order` or `rows` is out of bounds.
    NotFoundError, DataError
        As `open_layer`; ``DataError``, too, if the layer has no HEALPix index.
    """
    if not 0 <= order <= MOST_CELLS_ORDER or rows < 16:
        msg = f"order must lie between 0 and {MOST_CELLS_ORDER} and rows be at least 16, got {order} and {rows}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    opened = open_layer(layer, store, version=version)
    names = _columns(opened, columns)
    found = _Samples(rows)
    for key, healpix, values in _partitions(opened, names):
        found.add(key, healpix, values, order)
    apart = _reference(reference, names) if reference is not None else None
    lines = [
        (kind, *place, sample.n, shift_between(sample.rows, found.elsewhere(kind, place, apart), seed=seed))
        for kind, of_kind in ((_PARTITION, found.partitions), (_CELL, found.cells))
        for place, sample in sorted(of_kind.items())
    ]
    return _table(lines, names)


def shift_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of the table for features of these names."""
    return (
        Column("kind", "", "partition of the layer, or cell of the sky", "string", "meta.code"),
        Column("order", "", "HEALPix order", "int64", "pos.healpix"),
        Column("npix", "", "HEALPix pixel, nested", "int64", "pos.healpix"),
        Column("rows", "", "rows that have one of the features", "int64", "meta.number"),
        Column("shift_rows", "", "rows of the sample that was looked at", "int64", "meta.number"),
        Column("shift_mmd2", "", "squared maximum mean discrepancy from the reference, unbiased", "float64",
               "stat.value"),
        Column("shift_p", "", "chance of so large a discrepancy where nothing differs", "float64",
               "stat.probability"),
        Column("shift_auc", "", "area under the ROC curve of a classifier that tells the rows from the reference: "
               "0.5 not at all", "float64", "stat.value"),
        Column("shift_alarm", "", "shift_auc is above 0.6", "bool", "meta.code"),
        *(
            Column(f"shift_w1_{name}", "", f"1-Wasserstein distance of {name} from the reference, in units of the "
                   "reference's spread", "float64", "stat.value")
            for name in names
        ),
    )  # fmt: skip


_Place = tuple[int, int]


@dataclass(slots=True)
class _Samples:
    """Samples by partition and by cell, and one of the whole."""

    most: int
    partitions: dict[_Place, RowSample]
    cells: dict[_Place, RowSample]
    whole: RowSample | None

    def __init__(self, most: int) -> None:
        self.most, self.partitions, self.cells, self.whole = most, {}, {}, None

    def add(self, key: _Place, healpix: NDArray[np.int64], values: NDArray[np.float64], order: int) -> None:
        cell = healpix >> (2 * (_DEPTH - order))
        self.partitions[key] = RowSample.of(healpix, values, healpix, most=self.most)
        for number in np.unique(cell):
            of_cell = cell == number
            part = RowSample.of(healpix[of_cell], values[of_cell], healpix[of_cell], most=self.most)
            place = (order, int(number))
            self.cells[place] = self.cells[place].merged(part, most=self.most) if place in self.cells else part
        part = RowSample.of(healpix, values, healpix, most=_REFERENCE_ROWS)
        self.whole = part if self.whole is None else self.whole.merged(part, most=_REFERENCE_ROWS)

    def elsewhere(self, kind: str, place: _Place, apart: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the reference of a partition or cell: that of training, or the rows of the layer outside."""
        if apart is not None:
            return apart
        assert self.whole is not None, f"a {kind} without rows"
        order, npix = place
        inside = self.whole.place >> (2 * (_DEPTH - order)) == npix
        return np.asarray(self.whole.rows[~inside])


def _columns(layer: Layer, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to look at.

    Raises
    ------
    SpecError
        If one is not there or no number, or there are none.
    DataError
        If the layer has no HEALPix index.
    """
    if _HEALPIX not in layer.schema.names:
        msg = f"{layer.path} has no column {_HEALPIX}, so its rows have no cell; run its job again"
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, layer=layer.name)
    own = {column.name: column.type for column in layer.columns}
    chosen = tuple(dict.fromkeys(asked)) or tuple(n for n, dtype in own.items() if pa.types.is_floating(dtype))
    for name in chosen:
        if name not in own:
            msg = f"layer {layer.name} adds no column {name!r}; {close_matches(name, own)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
        if not (pa.types.is_floating(own[name]) or pa.types.is_integer(own[name])):
            msg = f"column {name} of layer {layer.name} is {own[name]}; only numbers can be compared"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, column=name)
    if not chosen:
        msg = f"layer {layer.name} adds no column of floating numbers; name columns of numbers with --columns"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=layer.name)
    return chosen


def _partitions(
    layer: Layer, names: Sequence[str]
) -> Iterator[tuple[_Place, NDArray[np.int64], NDArray[np.float64]]]:
    """Yield order and pixel, HEALPix index (N,) and values (N, D) of the rows that have one, by partition."""
    for file in layer.published.files:
        matched = _KEY.search(file.key)
        if matched is None:
            msg = f"{layer.path}: partition {file.key!r} is not named Norder=/Npix="
            raise DataError(msg, kind=ErrorKind.BAD_NAME, key=file.key)
        data = layer.store.read(layer.published.journal.data(file.key))
        table = pq.ParquetFile(pa.BufferReader(data)).read(columns=[_HEALPIX, *names], use_threads=False)
        values = _values(table, names)
        some = ~np.isnan(values).all(axis=1)
        healpix = table[_HEALPIX].to_numpy().astype(np.int64)
        yield (int(matched[1]), int(matched[2])), healpix[some], values[some]


def _values(table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as numbers (N, D); what is null or infinite is NaN."""
    values = np.column_stack([table[name].cast(pa.float64()).to_numpy() for name in names])
    return np.where(np.isfinite(values), values, np.nan)


def _reference(place: str | Path, names: Sequence[str]) -> NDArray[np.float32]:
    """Return at most `_REFERENCE_ROWS` rows (M, D) of a Parquet file or a layer."""
    if str(place).endswith(".parquet"):
        file = pq.ParquetFile(place)
        missing = sorted(set(names) - set(file.schema_arrow.names))
        if missing:
            msg = f"{place} has no column {missing[0]!r}; {close_matches(missing[0], file.schema_arrow.names)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=missing[0])
        found = _numbered(file, names)
    else:
        layer = open_layer(place)
        _columns(layer, names)
        found = ((healpix, values) for _, healpix, values in _partitions(layer, names))
    kept = RowSample.of(np.empty(0, np.int64), np.empty((0, len(names))), np.empty(0, np.int64), most=0)
    for key, values in found:
        kept = kept.merged(RowSample.of(key, values, key, most=_REFERENCE_ROWS), most=_REFERENCE_ROWS)
    return kept.rows


def _numbered(
    file: pq.ParquetFile, names: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield numbers (N,) and values (N, D) of the rows of a file that have one."""
    start = 0
    for batch in file.iter_batches(columns=list(names)):
        values = _values(pa.Table.from_batches([batch]), names)
        some = ~np.isnan(values).all(axis=1)
        yield (start + np.arange(len(values)))[some], values[some]
        start += len(values)


def _table(lines: Sequence[tuple[str, int, int, int, Shift]], names: Sequence[str]) -> pa.Table:
    schema = schema_of(shift_columns(names))
    values = [
        (kind, order, npix, n, shift.n, shift.mmd2, shift.p, shift.auc, shift.alarm, *shift.w1)
        for kind, order, npix, n, shift in lines
    ]
    columns = zip(*values, strict=True) if values else ([] for _ in schema)
    return pa.table(
        [
            pa.array(list(column), type=field.type, from_pandas=True)
            for column, field in zip(columns, schema, strict=True)
        ],
        schema=schema,
    )
