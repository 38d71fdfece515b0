"""A model as a lazy operation on an LSDB catalog."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from skyloom.catalog.nesting import as_struct_of_lists, is_list_of_structs
from skyloom.errors import ErrorKind, SpecError
from skyloom.jobs.eligibility import criteria_of
from skyloom.jobs.models import LoadedModel, load_model
from skyloom.jobs.scoring import judged, model_rows
from skyloom.jobs.sources import bind
from skyloom.models.eligibility import Eligibility
from skyloom.runtime.eligible import score_eligible
from skyloom.runtime.scoring import layer_columns, score

if TYPE_CHECKING:
    from skyloom.jobs.view import CatalogView

__all__ = ["with_model"]

BATCH_ROWS = 8192

_MODELS: dict[tuple[str, ...], tuple[LoadedModel, Any]] = {}


def with_model(
    view: CatalogView,
    name: str,
    weights: str | None,
    settings: dict[str, Any],
    columns: dict[str, str],
    *,
    eligibility: Sequence[str] = (),
) -> Any:
    """Return `view` as an LSDB catalog with a model's columns; see `CatalogView.with_model`."""
    model = load_model(name, weights, settings)
    if model.tensors:
        names = ", ".join(read.name for read in model.tensors)
        msg = f"model {name} reads tensors ({names}), which only a job does: name their stores in [input.tensors]"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, model=name)
    criteria = criteria_of(eligibility, model, view.base, view.layers, columns)
    others = criteria.eligibility.columns if criteria else ()
    sources = bind(model.reads, view.base, view.layers, columns=columns, units={}, others=others)
    units = {source.read.name: source.found.unit for source in sources}
    flat = [[source.read.name, "", source.found.name, source.found.unit] for source in sources]
    reasons = criteria.flags if criteria else ()
    written = layer_columns(model.system, model.config, layer=name, units=units, reasons=reasons)
    asked = [(c, "", found) for c, _, found in criteria.settings()["columns"]] if criteria else []
    texts = criteria.eligibility.texts if criteria else ()
    frame = view.to_lsdb()
    # The model goes by name: an estimator in the graph would be pickled into every task.
    apply = partial(
        _apply, name=name, weights=weights, settings=settings, sources=flat, criteria=texts, asked=asked
    )
    meta = _with_columns(frame.meta, {c.name: pa.nulls(0, c.type) for c in written})
    return frame.map_partitions(apply, meta=meta)


def _apply(
    frame: Any,
    *,
    name: str,
    weights: str | None,
    settings: dict[str, Any],
    sources: list[list[str]],
    criteria: Sequence[str],
    asked: Sequence[tuple[str, str, str]],
) -> Any:
    model, estimator = _loaded(name, weights, settings)
    wanted = dict.fromkeys(found.partition(".")[0] for _, _, found, *_ in [*sources, *asked])
    table = _structs_of_lists(pa.Table.from_pandas(frame[list(wanted)], preserve_index=False))
    rows = model_rows(table, sources, model.reads)
    given = (model.system, estimator, model.config, rows)
    if criteria:
        eligibility = Eligibility.of(criteria)
        skipped, reasons = judged(eligibility, table, asked).skipped, eligibility.flags(model.system.FLAGS)
        scored, _ = score_eligible(*given, skipped=skipped, reasons=reasons, layer=name, batch_rows=BATCH_ROWS)
    else:
        scored, _ = score(*given, layer=name, batch_rows=BATCH_ROWS)
    return _with_columns(frame, dict(zip(scored.schema.names, scored.columns, strict=True)))


def _structs_of_lists(table: pa.Table) -> pa.Table:
    """Return the table with nested columns as the catalog has them; pandas hands out lists of structs."""
    for i, field in enumerate(table.schema):
        if is_list_of_structs(field.type):
            table = table.set_column(i, field.name, as_struct_of_lists(table.column(i)))
    return table


def _loaded(name: str, weights: str | None, settings: dict[str, Any]) -> tuple[LoadedModel, Any]:
    key = (name, weights or "", repr(sorted(settings.items())))
    if key not in _MODELS:
        model = load_model(name, weights, settings)
        _MODELS[key] = (model, model.build())
    return _MODELS[key]


def _with_columns(frame: Any, columns: dict[str, pa.Array]) -> Any:
    import pandas as pd

    added = {
        name: pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])), index=frame.index)
        for name, array in columns.items()
    }
    return frame.assign(**added)
