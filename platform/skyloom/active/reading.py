"""A layer's columns, batch by batch: what a ranking reads, never more than a batch of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.active.records import Id
from skyloom.catalog.files import parquet_errors
from skyloom.errors import ErrorKind, NotFoundError, SpecError, close_matches

if TYPE_CHECKING:
    from skyloom.jobs.layers import Layer

__all__ = ["BATCH_ROWS", "Chunk", "LayerReader", "find_objects", "holds_text", "typed_ids"]

BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows.

    Attributes
    ----------
    ids : ndarray of int64, shape (N,)
    features : ndarray of float64, shape (N, F)
        NaN is missing.
    others : pyarrow.Table
        The other columns that were asked for.
    """

    ids: NDArray[np.int64]
    features: NDArray[np.float64]
    others: pa.Table


@dataclass(frozen=True)
class LayerReader:
    """Reads the id, some features and some other columns of every row of a layer.

    Attributes
    ----------
    layer : Layer
    id_column : str
    features : tuple of str
    others : tuple of str
    """

    layer: Layer
    id_column: str
    features: tuple[str, ...]
    others: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        layer: Layer,
        *,
        patterns: Sequence[str] = (),
        others: Sequence[str] = (),
        id_column: str | None = None,
    ) -> LayerReader:
        """Choose columns; nothing but the schema is read.

        Parameters
        ----------
        layer : Layer
        patterns : sequence of str
            Feature columns: names, or patterns such as ``"lcf_*_g"``. Every column of numbers that
            the layer adds unless told, but its flag.
        others : sequence of str
            Columns to carry along; positions are, where there are any.
        id_column : str, optional
            The integer id that the layer repeats from its catalog unless told.

        Raises
        ------
        SpecError
            If there is no such column, no feature, or no integer id.
        """
        schema = layer.schema
        own = [c.name for c in layer.columns if c.name != f"{layer.name.replace('-', '_')}_flag"]
        numbers = [name for name in own if _is_number(schema.field(name).type) and not name.endswith("_flag")]
        chosen = [n for n in numbers if not patterns or any(fnmatchcase(n, p) for p in patterns)]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in numbers):
                msg = f"layer {layer.name} has no column of numbers {pattern!r}; {close_matches(pattern, numbers)}"
                raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=pattern)
        if not chosen:
            msg = f"layer {layer.name} adds no column of numbers to rank by; give a layer of features or scores"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, layer=layer.name)
        for name in others:
            if name not in schema.names:
                msg = f"layer {layer.name} has no column {name!r}; {close_matches(name, schema.names)}"
                raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
        places = [n for n in layer.provenance["repeated_columns"] if pa.types.is_floating(schema.field(n).type)]
        carried = tuple(dict.fromkeys([*places, *others]))
        return cls(
            layer, id_column or _integer_column(layer), tuple(n for n in chosen if n not in others), carried
        )

    def __iter__(self) -> Iterator[Chunk]:
        """Yield all rows of all partitions, in their order."""
        wanted = list(dict.fromkeys([self.id_column, *self.others, *self.features]))
        schema = pa.schema([self.layer.schema.field(name) for name in self.others])
        for batch in _batches(self.layer, wanted):
            features = np.empty((batch.num_rows, len(self.features)))
            for k, name in enumerate(self.features):
                features[:, k] = _floats(batch.column(name))
            # As the layer's schema describes them: files do not repeat units and descriptions.
            others = pa.Table.from_arrays([batch.column(name) for name in self.others], schema=schema)
            yield Chunk(_ids(batch.column(self.id_column), self.id_column), features, others)


def typed_ids(layer: Layer | None, texts: Sequence[str]) -> list[Id]:
    """Return ids as a layer has them: integers, or the texts; without a layer what looks like an integer is one.

    Raises
    ------
    SpecError
        BAD_PARAMETER if the layer's ids are integers, and one of the texts is none.
    """
    if layer is not None and not pa.types.is_integer(layer.schema.field(_id_column(layer)).type):
        return list(texts)
    found: list[Id] = []
    for text in texts:
        try:
            found.append(int(text))
        except ValueError:
            if layer is not None:
                msg = f"{text!r} is no id of layer {layer.name}: its column {_id_column(layer)} has integers"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, object_id=text) from None
            found.append(text)
    return found


def find_objects(layer: Layer, ids: Sequence[Id], column: str | None = None) -> dict[Id, float | None]:
    """Return the value of a column for some objects of a layer (None where null, or without a column).

    Raises
    ------
    NotFoundError
        If the layer has no such object.
    SpecError
        If it has no such column of numbers.
    """
    name = _id_column(layer)
    if column is not None and (
        column not in layer.schema.names or not _is_number(layer.schema.field(column).type)
    ):
        msg = (
            f"layer {layer.name} has no column of numbers {column!r}; {close_matches(column, layer.schema.names)}"
        )
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=column)
    kind = pa.int64() if pa.types.is_integer(layer.schema.field(name).type) else pa.string()
    wanted = pa.array(ids, type=kind)
    found: dict[Id, float | None] = {}
    for batch in _batches(layer, [name, column] if column else [name]):
        there = batch.column(name).cast(kind)
        is_wanted = pc.is_in(there, value_set=wanted)
        values = (
            batch.column(column).filter(is_wanted).to_pylist() if column else [None] * pc.sum(is_wanted).as_py()
        )
        found.update(zip(there.filter(is_wanted).to_pylist(), values, strict=True))
    missing = [i for i in ids if i not in found]
    if missing:
        msg = f"layer {layer.name} has no object {missing[0]}" + (
            f", nor {len(missing) - 1} more of the ids given" if len(missing) > 1 else ""
        )
        raise NotFoundError(f"{msg}; look at its column {name}", kind=ErrorKind.BAD_ROW, object_id=missing[0])
    return found


def _batches(layer: Layer, columns: list[str]) -> Iterator[pa.RecordBatch]:
    journal = layer.published.journal
    for entry in layer.published.files:
        name = journal.data(entry.key)
        with layer.store.open(name) as source, parquet_errors(layer.store.location(name)):
            yield from pq.ParquetFile(source).iter_batches(BATCH_ROWS, columns=columns)


def _id_column(layer: Layer) -> str:
    """Return the id that the layer repeats, of integers or texts."""
    repeated = layer.provenance["repeated_columns"]
    keys = [name for name in layer.row_keys if not name.startswith("_healpix") and name in repeated]
    found = [name for name in keys if pa.types.is_integer(k := layer.schema.field(name).type) or holds_text(k)]
    if not found:
        msg = (
            f"layer {layer.name} repeats no id of its catalog (row keys: {', '.join(layer.row_keys)}), "
            "and labels are of ids; import the catalog with one"
        )
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, layer=layer.name)
    return found[0]


def _integer_column(layer: Layer) -> str:
    name = _id_column(layer)
    if not pa.types.is_integer(layer.schema.field(name).type):
        msg = (
            f"ids of layer {layer.name} are texts (column {name}), and a whole layer is ranked by integer ids: "
            "rank a selection on the page of `skyloom explore`, or import the catalog with an integer id"
        )
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, layer=layer.name, column=name)
    return name


def holds_text(kind: pa.DataType) -> bool:
    """Say whether a column is of texts, however Arrow stores them."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _floats(column: pa.Array) -> NDArray[np.float64]:
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def _ids(column: pa.Array, name: str) -> NDArray[np.int64]:
    if column.null_count:
        msg = f"column {name} has {column.null_count} rows without an id; labels are of ids"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, column=name)
    return np.asarray(column.cast(pa.int64(), safe=False).to_numpy())
