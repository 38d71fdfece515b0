"""Light-curve points into their objects: one struct of equal-length lists per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.catalog.normalise import POINT_ID
from skyloom.catalog.spec import SourcesSpec

__all__ = ["Nested", "nested"]


@dataclass(frozen=True, slots=True)
class Nested:
    """Objects with their points, and the points that found no object."""

    table: pa.Table
    points: int
    """Points that were nested."""
    orphans: pa.ChunkedArray
    """Object ids of the points left over, one per point."""


def nested(objects: pa.Table, points: pa.Table, id_column: str, spec: SourcesSpec) -> Nested:
    """Add to each object its points, in time order.

    Parameters
    ----------
    objects : pyarrow.Table
        N rows with unique ids.
    points : pyarrow.Table
        Any order; the object's id in the column `POINT_ID`, of the same type as in `objects`.

    Returns
    -------
    Nested
        N rows in the order of `objects`. Points of equal time stay in input order; NaN and
        null times come last; an object without points has lists of length 0.
    """
    owner = pc.index_in(points[POINT_ID], value_set=objects[id_column].combine_chunks())
    lost = pc.is_null(owner)
    orphans = points[POINT_ID].filter(lost)
    if len(orphans):
        points, owner = points.filter(pc.invert(lost)), owner.drop_null()
    # No id passes through here: only the row number of the object that it named.
    rows = owner.to_numpy()
    time = points[spec.time].cast(pa.float64()).to_numpy()
    order = np.lexsort((time, rows))
    counts = np.bincount(rows, minlength=objects.num_rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    fields = points.drop_columns([POINT_ID])
    taken = fields.take(pa.array(order))
    lists = [pa.ListArray.from_arrays(offsets, _whole(taken[name])) for name in fields.column_names]
    parts = [
        pa.field(part.name, array.type, metadata=part.metadata)
        for part, array in zip(fields.schema, lists, strict=True)
    ]
    column = pa.StructArray.from_arrays(lists, fields=parts)
    table = objects.append_column(pa.field(spec.column, column.type), column)
    return Nested(table, len(order), orphans)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return one array; of no chunks, an empty one of the right type."""
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
