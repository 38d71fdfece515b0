"""A ranking as a table: who is to be looked at, in which order, why, and what made the order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from skyloom.columns import Column, schema_of
from skyloom.storage import canonical_json

__all__ = ["PROVENANCE", "Ranking", "Taken", "anomaly_ranking", "followup_ranking"]

PROVENANCE = b"skyloom.ranking"
"""Key of the provenance in the schema metadata of a ranking's Parquet file."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What to look at, best first, and what made the order."""

    table: pa.Table
    """One row per object; units and descriptions in the fields, provenance in the schema's metadata."""
    provenance: dict[str, Any]

    @property
    def summary(self) -> str:
        """One line: how much was looked at, with which labels, and what it costs."""
        made = self.provenance
        spent, request = made["spent"], made["request"]
        text = (
            f"{spent['objects']:,} of {made['rows_scored']:,} rows, cost {spent['cost']:g} of "
            f"{request['budget']:g} in {spent['batches']} batches; seed {request['seed']}; "
            f"{made['labels_used']:,} labels used ({made['labels_digest'] or 'none there'})"
        )
        left_out = {
            "have no features": made["rows_without_features"],
            "cannot be paid": made["rows_that_cannot_be_paid"],
        }
        return "; ".join([text, *(f"{count:,} rows {why}" for why, count in left_out.items() if count)])

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the ranking to a file whose name says the format, as results of queries are.

        Raises
        ------
        SpecError
            If the file exists, or its ending is no format of a result.
        """
        from skyloom.query.write import write_result

        write_result(self.table, path, overwrite=overwrite)


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The rows that a ranking has, best first; arrays of shape (N,), features (N, F)."""

    ids: NDArray[np.int64]
    features: NDArray[np.float64]
    places: pa.Table
    """Positions, and what else the layer repeats of its catalog."""
    score: NDArray[np.float64]
    cost: NDArray[np.float64]
    batch: NDArray[np.int16]


def anomaly_ranking(
    taken: Taken,
    id_field: pa.Field,
    reasons: Sequence[str],
    provenance: Mapping[str, Any],
    *,
    labels: Mapping[int, int],
) -> Ranking:
    """Return the table of the anomaly loop; `labels` are those that taught it, by id."""
    label = [labels.get(int(i), 0) for i in taken.ids]
    learnt_from = np.full(len(label), len(labels))
    values = (taken.score, label, learnt_from, taken.cost, taken.batch, reasons)
    return _tabulate(taken, id_field, _ANOMALY, values, provenance)


def followup_ranking(
    taken: Taken, id_field: pa.Field, reasons: Sequence[str], provenance: Mapping[str, Any]
) -> Ranking:
    """Return the table of the follow-up loop."""
    values = (taken.score, taken.cost, taken.batch, reasons)
    return _tabulate(taken, id_field, _FOLLOWUP, values, provenance)


def _tabulate(
    taken: Taken,
    id_field: pa.Field,
    columns: Sequence[Column],
    values: Sequence[ArrayLike],
    provenance: Mapping[str, Any],
) -> Ranking:
    batches = int(taken.batch.max(initial=-1)) + 1
    spent = {"cost": float(taken.cost.sum()), "objects": len(taken.ids), "batches": batches}
    said = canonical_json({**provenance, "spent": spent})
    first, *others = schema_of(columns)
    arrays = [
        pa.array(np.arange(1, len(taken.ids) + 1), type=first.type),
        pa.array(taken.ids).cast(id_field.type),
        *(column.combine_chunks() for column in taken.places.columns),
        *(pa.array(v, type=f.type) for v, f in zip(values, others, strict=True)),
    ]
    schema = pa.schema([first, id_field, *taken.places.schema, *others], metadata={PROVENANCE: said})
    return Ranking(pa.table(arrays, schema=schema), json.loads(said))


_REASON = Column("reason", "", "why the object is here", "string", "meta.note")

_ANOMALY: tuple[Column, ...] = (
    Column("aad_rank", "", "place in the ranking, from 1", "int32", "stat.rank"),
    Column(
        "aad_score", "", "score of the forest with the labels so far; higher is odder", "float32", "stat.value"
    ),
    Column("aad_label", "", "label so far: -1 anomaly, 1 normal, 0 none", "int8", "meta.code"),
    Column("aad_round", "", "labelled objects that the forest had learnt from", "int32", "meta.number"),
    Column("aad_cost", "", "cost of looking at the object; 1 unless a column says", "float32"),
    Column("aad_batch", "", "batch in which the budget pays for it, from 0", "int16", "meta.id.part"),
    _REASON,
)

_FOLLOWUP: tuple[Column, ...] = (
    Column("al_rank", "", "place in the ranking, from 1", "int32", "stat.rank"),
    Column(
        "al_score", "", "how much the type of the object would teach, by the strategy", "float32", "stat.value"
    ),
    Column("al_cost", "", "cost of a spectrum; 1 unless a column says", "float32"),
    Column("al_batch", "", "batch in which the budget pays for it, from 0", "int16", "meta.id.part"),
    _REASON,
)
