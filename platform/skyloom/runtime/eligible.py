"""Rows that the model is not asked about: left out before it sees any, in their place again afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import schema_of
from skyloom.runtime.contract import Flag, System
from skyloom.runtime.scoring import RowFault, layer_columns, score, units_of

__all__ = ["null_rows", "score_eligible"]


def score_eligible(
    system: System,
    estimator: Any,
    config: Any,
    rows: pa.RecordBatch,
    *,
    skipped: NDArray[np.uint32],
    reasons: Sequence[Flag],
    layer: str,
    batch_rows: int,
) -> tuple[pa.RecordBatch, list[RowFault]]:
    """Score those of N rows that are not to be left out.

    Parameters
    ----------
    system, estimator, config, rows, layer, batch_rows
        As for `score`.
    skipped : ndarray of uint32, shape (N,)
        Bits that say why a row is left out; 0 for a row to score.
    reasons : sequence of Flag
        What the bits mean; at least one.

    Returns
    -------
    batch : pyarrow.RecordBatch
        N rows, as `layer_columns` has them: the model never saw what is left out.
    faults : list of RowFault
        Rows are counted among the N.

    Raises
    ------
    SpecError, DataError, MemoryError
        As `score`.
    """
    kept = np.flatnonzero(skipped == 0)
    shown = rows if len(kept) == rows.num_rows else rows.take(pa.array(kept))
    scored, faults = score(system, estimator, config, shown, layer=layer, batch_rows=batch_rows)
    *columns, flag = scored.columns
    place = np.zeros(rows.num_rows, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    where = pa.array(place, mask=skipped != 0)
    bits = skipped.copy()
    bits[kept] = flag.to_numpy()
    spread = [column.take(where) for column in columns]
    schema = schema_of(layer_columns(system, config, layer=layer, units=units_of(rows.schema), reasons=reasons))
    eligible, found = pa.array(skipped == 0), pa.array(bits)
    at = [RowFault(int(kept[fault.row]), fault.cause, fault.message) for fault in faults]
    return pa.RecordBatch.from_arrays([*spread, eligible, found], schema=schema), at


def null_rows(
    system: System,
    config: Any,
    flag: NDArray[np.uint32],
    *,
    layer: str,
    units: Mapping[str, str] | None = None,
    reasons: Sequence[Flag] = (),
) -> pa.RecordBatch:
    """Return N rows of nulls with their flags, shape (N,), as `layer_columns` has them."""
    schema = schema_of(layer_columns(system, config, layer=layer, units=units, reasons=reasons))
    every = sum(reason.mask for reason in reasons)
    ends = [pa.array(flag & np.uint32(every) == 0)] if reasons else []
    nulls = [pa.nulls(len(flag), field.type) for field in list(schema)[: len(schema) - len(ends) - 1]]
    return pa.RecordBatch.from_arrays([*nulls, *ends, pa.array(flag)], schema=schema)
