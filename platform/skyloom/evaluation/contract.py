"""Hold a system against its contract, on rows made up from the columns that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from skyloom.columns import Column, schema_of
from skyloom.errors import ErrorKind, RowError
from skyloom.evaluation.examples import example_rows, filled
from skyloom.models import registry
from skyloom.models.architecture import build_checked, networks_of
from skyloom.models.card import Card, unsaid
from skyloom.models.weights import default_variant, load_weights
from skyloom.runtime.contract import System
from skyloom.runtime.scoring import layer_columns, score

__all__ = ["CARD_RULES", "RULES", "check_contract"]

_LAYER = "contract"
_ROWS = 12

Scored = Callable[..., pa.RecordBatch]
"""From rows, and how many of them a batch has, to columns; a row on which the model raises is an error."""
Rule = Callable[[Scored, pa.RecordBatch, pa.Schema], bool]


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
        Each of `RULES` (and of `CARD_RULES`, for a system with networks), and whether it holds.

    Raises
    ------
    SpecError, NotFoundError, DataError
        If there is no such model or weights, or they are not those of their card.
    """
    system = registry.system(name)
    config = system.Config(**(settings or {}))
    chosen = variant or default_variant(name)
    bundle = load_weights(name, chosen) if chosen else None
    estimator = build_checked(system, config, bundle)
    rows = example_rows(system, config, _ROWS, seed=seed)

    def scored(rows: pa.RecordBatch, batch_rows: int = _ROWS) -> pa.RecordBatch:
        columns, faults = score(system, estimator, config, rows, layer=_LAYER, batch_rows=batch_rows)
        if faults:
            first = faults[0]
            msg = f"model {name} raised on row {first.row}: {first.cause}: {first.message}"
            raise RowError(msg, kind=ErrorKind.BAD_ROW, model=name, row=first.row)
        return columns

    declared = schema_of(layer_columns(system, config, layer=_LAYER))
    kept = {rule: _holds(holds, scored, rows, declared) for rule, holds in RULES.items()}
    if bundle is not None and networks_of(estimator):
        kept |= {rule: holds(bundle[0], system, config) for rule, holds in CARD_RULES.items()}
    return kept


def _holds(rule: Rule, scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    """Whether a rule holds; a model that raises on a row of its own types breaks it."""
    try:
        return rule(scored, rows, declared)
    except RowError:
        return False


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


def _is_blind_to_partitions(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    """Whether rows dealt out to partitions, in another order and batches of other sizes, come back the same."""
    whole = scored(rows)
    order = np.random.default_rng(0).permutation(rows.num_rows)
    parts = np.split(order, [1, 1, 6])  # the second one is empty
    return all(
        scored(rows.take(pa.array(part)), size).equals(whole.take(pa.array(part)))
        for part, size in zip(parts, (1, 2, 3, 100), strict=True)
    )


def _flags_what_it_cannot_score(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    nulls = [pa.nulls(3, field.type) for field in rows.schema]
    return _is_flagged(scored(pa.RecordBatch.from_arrays(nulls, schema=rows.schema)))


def _flags_nan(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    """Whether rows without a finite number are flagged and null, NaN as well as infinite ones."""
    return all(_is_flagged(scored(filled(rows, value))) for value in (np.nan, np.inf, -np.inf))


def _is_flagged(out: pa.RecordBatch) -> bool:
    *columns, flag = out.columns
    return all(column.null_count == len(column) for column in columns) and bool((flag.to_numpy() > 0).all())


def _keeps_nan_to_its_row(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    """Whether rows of NaN between the others change none of them."""
    whole = scored(rows)
    spoilt = pa.concat_batches([rows, filled(rows, np.nan)])
    both = np.arange(2 * rows.num_rows).reshape(2, -1).T.ravel()
    mixed = scored(spoilt.take(pa.array(both)), 2 * rows.num_rows)
    return bool(mixed.take(pa.array(np.arange(0, 2 * rows.num_rows, 2))).equals(whole))


def _has_units_and_words(scored: Scored, rows: pa.RecordBatch, declared: pa.Schema) -> bool:
    columns = [Column.of_field(field) for field in declared]
    return all(column.description and column.ucd for column in columns)


def _card_says_all(card: Card, system: System, config: Any) -> bool:
    return not unsaid(card)


def _card_says_the_inputs(card: Card, system: System, config: Any) -> bool:
    """Whether the card's inputs are the tensors that are read, each with its normalisation in words."""
    read = system.tensors(config) if hasattr(system, "tensors") else ()
    said = [(i.name, i.shape, i.unit, i.bands, i.pixel_arcsec) for i in card.inputs]
    reads = [(t.name, t.shape, t.unit, t.bands, t.pixel_arcsec) for t in read]
    return said[: len(reads)] == reads and all(i.normalisation for i in card.inputs)


def _card_bounds_every_output(card: Card, system: System, config: Any) -> bool:
    outputs = {column.name for column in system.writes(config)}
    return set(card.tolerance) == outputs and all(value >= 0 for value in card.tolerance.values())


def _card_gives_reasons(card: Card, system: System, config: Any) -> bool:
    """Whether a score that is missing from the table of subgroups says why."""
    return all(np.isfinite(each.value) or each.reason for each in card.subgroups)


RULES: dict[str, Rule] = {
    "gives the columns and types that it declares": _gives_what_it_declares,
    "describes every column and gives its UCD": _has_units_and_words,
    "takes a batch without rows": _takes_no_rows,
    "gives a row the same values alone and among others": _is_blind_to_neighbours,
    "gives the same values for any batch size": _is_blind_to_batches,
    "gives the same values in any order": _is_blind_to_order,
    "gives the same values in any partitioning": _is_blind_to_partitions,
    "flags a row that it cannot score, with nulls": _flags_what_it_cannot_score,
    "flags a row of NaN or infinite numbers, with nulls": _flags_nan,
    "lets a row of NaN change no other row": _keeps_nan_to_its_row,
}
"""What each rule says, and what checks it."""

CARD_RULES: dict[str, Callable[[Card, System, Any], bool]] = {
    "has a card that says what the card of a network must": _card_says_all,
    "has a card whose inputs are those that it reads": _card_says_the_inputs,
    "has a card with the tolerance of every output": _card_bounds_every_output,
    "has a card that says why a subgroup has no score": _card_gives_reasons,
}
"""Rules for systems with networks, whose architecture is held against the card as well, when they are built."""
