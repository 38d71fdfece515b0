"""Hold a system against its contract, on rows made up from the columns that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column, schema_of
from skyloom.models import registry
from skyloom.models.weights import default_variant, load_weights
from skyloom.runtime.contract import System
from skyloom.runtime.scoring import layer_columns, score
from skyloom.runtime.tensors import tensor_column

__all__ = ["RULES", "check_contract", "example_rows"]

_LAYER = "contract"
_ROWS = 12

Scored = Callable[..., pa.RecordBatch]


def check_contract(
    name: str, variant: str | None = None, *, settings: Mapping[str, Any] | None = None, seed: int = 0
) -> dict[str, bool]:
    """Check the rules that every system keeps.

    Parameters
    ----------
    name : str
        As in `skyloom.models.registry.names`.
    variant : str, optional
        Which weights; default: the first, if there are any.
    settings : mapping, optional
        Of the system's config; needed where it has no defaults.
    seed : int
        Of the rows.

    Returns
    -------
    dict of str to bool
        Each of `RULES`, and whether it holds.
    """
    system = registry.system(name)
    config = system.Config(**(settings or {}))
    chosen = variant or default_variant(name)
    estimator = system.build(config, load_weights(name, chosen)[1] if chosen else None)
    rows = example_rows(system, config, _ROWS, seed=seed)

    def scored(rows: pa.RecordBatch, batch_rows: int = _ROWS) -> pa.RecordBatch:
        return score(system, estimator, config, rows, layer=_LAYER, batch_rows=batch_rows)[0]

    declared = schema_of(layer_columns(system, config, layer=_LAYER))
    return {rule: holds(scored, rows, declared) for rule, holds in RULES.items()}


def example_rows(system: System, config: Any, n: int, *, seed: int = 0) -> pa.RecordBatch:
    """Make N rows of the columns that a system reads: plausible in type, with a null here and there.

    Nested columns are light curves of 20 to 40 points; the second row's is empty. Tensors are round
    sources on noise: of the first row there is none, the second has a pixel without data.
    """
    rng = np.random.default_rng(seed)
    reads = system.reads(config)
    plain = {column.name: _plain(column, n, rng) for column in reads if not column.child}
    for parent in dict.fromkeys(column.parent for column in reads if column.child):
        length = rng.integers(20, 41, n)
        length[1:2] = 0
        fields = [column for column in reads if column.child and column.parent == parent]
        bands = tuple(getattr(config, "bands", ("r",)))
        lists = [_list(column, length, bands, rng) for column in fields]
        plain[parent] = pa.StructArray.from_arrays(lists, names=[column.child for column in fields])
    for tensor in system.tensors(config) if hasattr(system, "tensors") else ():
        values, valid = _sources(tensor.shape, n, rng)
        plain[tensor.name] = tensor_column(values, valid)
        share = np.isfinite(values).reshape(n, -1).mean(axis=1) if n else np.empty(0)
        plain[f"{tensor.name}_coverage"] = pa.array(np.where(valid, share, 0.0).astype(np.float32))
    return pa.RecordBatch.from_arrays(list(plain.values()), names=list(plain))


def _sources(
    shape: tuple[int, ...], n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return tensors (n, *shape) that are brightest in the middle, and which rows have one."""
    away = sum(axis**2 for axis in np.ogrid[tuple(slice(-(k - 1) / 2, k / 2) for k in shape[1:])])
    width, height = rng.uniform(1.5, 4.0, n), rng.uniform(50.0, 500.0, n)
    spread = (slice(None), *(None for _ in shape))
    values = height[spread] * np.exp(-np.sqrt(away)[None, None] / width[spread]) + rng.normal(0, 1, (n, *shape))
    values[1:2, ..., :1] = np.nan
    return np.asarray(values, dtype=np.float32), np.arange(n) > 0


def _plain(column: Column, n: int, rng: np.random.Generator) -> pa.Array:
    values = np.abs(rng.normal(10.0, 5.0, n))
    mask = rng.random(n) < 0.05
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return pa.array(values, mask=mask).cast(column.type, safe=False)
    return pa.nulls(n, column.type)


def _list(column: Column, length: NDArray[np.int64], bands: tuple[str, ...], rng: np.random.Generator) -> pa.Array:
    offsets = pa.array(np.concatenate(([0], np.cumsum(length))), type=pa.int32())
    total = int(length.sum())
    if column.child == "band":
        return pa.ListArray.from_arrays(offsets, pa.array(rng.choice(bands, total)))
    if column.child == "mjd":
        values = np.sort(rng.uniform(60_000.0, 60_300.0, total))  # ascends within each row, too
    elif column.child.endswith("_err"):
        values = rng.uniform(1.0, 5.0, total)
    else:
        values = rng.normal(50.0, 20.0, total)
    return pa.ListArray.from_arrays(offsets, pa.array(values).cast(column.type.value_type))


def _gives_what_it_declares(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    schema = scored(rows).schema
    return bool(schema.names == declared.names and schema.types == declared.types)


def _takes_no_rows(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    none = scored(rows.slice(0, 0))
    return bool(none.num_rows == 0 and none.schema.names == declared.names)


def _is_blind_to_neighbours(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    whole = scored(rows)
    return all(scored(rows.slice(i, 1)).equals(whole.slice(i, 1)) for i in range(rows.num_rows))


def _is_blind_to_batches(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    whole = scored(rows)
    return all(scored(rows, size).equals(whole) for size in (1, 5, 7, rows.num_rows + 1))


def _is_blind_to_order(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    back = pa.array(np.arange(rows.num_rows)[::-1])
    return bool(scored(rows.take(back)).equals(scored(rows).take(back)))


def _flags_what_it_cannot_score(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    nulls = [pa.nulls(3, field.type) for field in rows.schema]
    out = scored(pa.RecordBatch.from_arrays(nulls, schema=rows.schema))
    *columns, flag = out.columns
    return all(column.null_count == 3 for column in columns) and bool((flag.to_numpy() > 0).all())


def _has_units_and_words(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    columns = [Column.of_field(field) for field in declared]
    return all(column.description and column.ucd for column in columns)


RULES: dict[str, Callable[[Scored, pa.RecordBatch, pa.Schema], bool]] = {
    "gives the columns and types that it declares": _gives_what_it_declares,
    "describes every column and gives its UCD": _has_units_and_words,
    "takes a batch without rows": _takes_no_rows,
    "gives a row the same values alone and among others": _is_blind_to_neighbours,
    "gives the same values for any batch size": _is_blind_to_batches,
    "gives the same values in any order": _is_blind_to_order,
    "flags a row that it cannot score, with nulls": _flags_what_it_cannot_score,
}
"""What each rule says, and what checks it."""
