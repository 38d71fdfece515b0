"""The chapter on single objects: the best, the worst and the most anomalous, with what the model saw of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from skyloom.columns import Column
from skyloom.errors import DataError, NotFoundError, SkyloomError
from skyloom.reporting.charts import scatter
from skyloom.reporting.content import Note, Object, Objects, Section, cut
from skyloom.reporting.counts import flag_names
from skyloom.reporting.gather import Gathered
from skyloom.reporting.lightcurves import Bands, LightCurveColumns, draw_light_curve, light_curve_of
from skyloom.reporting.pictures import grey_png
from skyloom.reporting.roles import Roles, is_number, period_of
from skyloom.reporting.subject import Finished, Subject, TensorPlace
from skyloom.reporting.svg import number
from skyloom.reporting.top import Place
from skyloom.tensors import Spectra

__all__ = ["objects"]

MOST_CHANNELS = 4
"""Of a cutout, that are shown."""
MOST_SAMPLES = 800
"""Of a spectrum, that are drawn."""
MOST_WORDS = 5
"""Columns of words of the catalog that are told of an object."""
MOST_HIGHEST = 3
"""Of many scores, that are told of an object."""
MOST_OUTPUTS = 10
"""Columns of the layer that are told of it."""
MOST_ELEMENTS = 6
"""Of a list, that are told."""
_WORD_TYPES = ("string", "large_string", "bool")


@dataclass(slots=True)
class _Seen:
    """What is known of a row."""

    outputs: dict[str, Any]
    catalog: dict[str, Any] = field(default_factory=dict)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    drawings: list[Markup] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def objects(subject: Subject, gathered: Gathered | None, roles: Roles | None, *, pictures: bool = True) -> Section:
    """Return the chapter on objects.

    Parameters
    ----------
    subject : Subject
    gathered : Gathered or None
    roles : Roles or None
    pictures : bool
        Whether cutouts and light curves are shown.
    """
    section = Section("objects", "Best, worst and most anomalous objects")
    finished = subject.finished
    if finished is None or gathered is None or roles is None:
        section.blocks.append(Note("There are no values before a version is published."))
        return section
    if not gathered.top:
        section.blocks.append(Note("No column of numbers gives an order."))
        return section
    section.blocks += [
        Note(f"No image or spectrum {place.name!r} is shown: {place.trouble}", "warning")
        for place in subject.tensors
        if place.trouble
    ]
    if subject.catalog is None:
        section.blocks.append(Note("Neither light curves nor the catalog's columns: the catalog is not read."))
    seen = _look(subject, finished, [place for top in gathered.top for _, place in top.rows], pictures=pictures)
    told = _told(finished, roles)
    for top in gathered.top:
        ranking = top.ranking
        listed = tuple(
            _object(finished, seen[place], told, roles, title=f"{ranking.column} = {number(value)}")
            for value, place in top.rows
        )
        order = "highest" if ranking.highest else "lowest"
        source = f"rows of the {order} {ranking.column}, of every row; equal ones in the layer's order"
        section.blocks.append(Objects(ranking.title, listed, source))
    return section


def _told(finished: Finished, roles: Roles) -> list[Column]:
    """Return the columns of the layer that are told of an object: words, scores, and what stands beside them."""
    *outputs, _ = finished.columns
    first = [c for c in outputs if not is_number(c.dtype)]
    chosen = [*first, *(() if roles.left_out else roles.scores), *roles.known]
    chosen += [c for c in outputs if c.name.endswith(("_entropy", "_sd", "_score")) or c.ucd == "time.period"]
    likely = {*roles.scores, *roles.left_out}
    chosen += [c for c in outputs if not c.name.endswith("_raw") and not (roles.left_out and c in likely)]
    return list({column.name: column for column in chosen}.values())[:MOST_OUTPUTS]


def _look(subject: Subject, finished: Finished, places: Sequence[Place], *, pictures: bool) -> dict[Place, _Seen]:
    """Read the rows at some places, partition by partition."""
    seen: dict[Place, _Seen] = {}
    bands = Bands()
    curve = None
    if subject.catalog is not None:
        curve = light_curve_of(subject.identity.get("columns", {}), subject.catalog.columns)
    names = [*_keys(finished), *(column.name for column in finished.columns)]
    for partition in sorted({place.partition for place in places}):
        mine = sorted({place.row for place in places if place.partition == partition})
        for batch in finished.rows.batches(names, partitions=[partition]):
            for row in mine:
                if batch.start <= row < batch.start + batch.rows.num_rows:
                    at = row - batch.start
                    seen[Place(partition, row)] = _Seen(batch.rows.slice(at, 1).to_pylist()[0])
        here = {row: seen[Place(partition, row)] for row in mine}
        _add_catalog(subject, finished, partition, here, curve=curve if pictures else None)
        for row, one in here.items():
            if pictures and curve is not None and curve.parent in one.catalog:
                period = period_of(finished.columns)
                value = None if period is None else one.outputs.get(period.name)
                drawn, said = draw_light_curve(one.catalog.pop(curve.parent), curve, bands, period_d=value)
                one.drawings += drawn
                one.notes.append(said)
            if pictures:
                for place in subject.tensors:
                    _add_tensor(place, subject.planned[partition][0], row, one)
    return seen


def _keys(finished: Finished) -> list[str]:
    return list(dict.fromkeys(filter(None, (finished.row_id, *finished.position))))


def _add_catalog(
    subject: Subject,
    finished: Finished,
    partition: int,
    here: Mapping[int, _Seen],
    *,
    curve: LightCurveColumns | None,
) -> None:
    catalog = subject.catalog
    if catalog is None:
        return
    words = [c.name for c in catalog.columns if not c.child and c.dtype in _WORD_TYPES][:MOST_WORDS]
    names = [*filter(None, [finished.rows.magnitude]), *words, *(curve.names if curve else ())]
    if not names:
        return
    try:
        table = finished.rows.beside(partition, names)
    except SkyloomError as error:
        for one in here.values():
            one.notes.append(f"the catalog cannot be read: {error.message}")
        return
    rows = table.take(pa.array(list(here))).to_pylist()
    for one, row in zip(here.values(), rows, strict=True):
        one.catalog = row


def _add_tensor(place: TensorPlace, key: str, row: int, one: _Seen) -> None:
    if place.store is None:
        return
    try:
        found = place.store.read(key, row, row + 1)
    except (DataError, NotFoundError) as error:
        one.notes.append(f"{place.name} cannot be read: {error.message}")
        return
    values = np.asarray(found.values[0], np.float64)
    if not np.any(found.coverage):
        one.notes.append(f"{place.name}: nothing is stored for this row")
        return
    layout = place.store.layout
    names = layout.bands or tuple(f"channel {k}" for k in range(layout.channels))
    if isinstance(place.store, Spectra):
        step = -(-values.shape[-1] // MOST_SAMPLES)
        wavelength = place.store.wavelength[::step]
        band = np.zeros(len(wavelength), np.int64)
        said: dict[str, Any] = {"x_label": "wavelength (Angstrom)", "upside_down": False}
        for k in range(min(len(values), MOST_CHANNELS)):
            title, label = f"spectrum {place.name}", str(names[k])
            one.drawings.append(
                scatter(wavelength, values[k][::step], None, band, title=title, y_label=label, **said)
            )
        return
    for k in range(min(len(values), MOST_CHANNELS)):
        one.pictures.append((f"{place.name}: {names[k]}", grey_png(values[k])))


def _object(finished: Finished, one: _Seen, told: Sequence[Column], roles: Roles, *, title: str) -> Object:
    facts = []
    for name in _keys(finished):
        value = one.outputs[name]
        facts.append((name, f"{value:.6f}" if name in finished.position and value is not None else cut(value)))
    columns = [*told, *(_highest(one, roles) if roles.left_out else ())]
    facts += [
        (column.name, _value(one.outputs[column.name], column.unit, is_epoch=column.ucd == "time.epoch"))
        for column in columns
    ]
    flag = finished.columns[-1]
    bits = int(one.outputs[flag.name] or 0)
    names = flag_names(flag)
    set_bits = [names.get(bit, f"bit {bit}") for bit in range(32) if bits >> bit & 1]
    facts.append((flag.name, ", ".join(set_bits) or "0"))
    for name, value in one.catalog.items():
        if name not in one.outputs and not isinstance(value, dict | list):
            facts.append((f"catalog: {name}", _value(value, "")))
    return Object(title, tuple(facts), tuple(one.drawings), tuple(one.pictures), "; ".join(one.notes))


def _highest(one: _Seen, roles: Roles) -> list[Column]:
    """Return the scores of a row that are highest, where there are too many to tell all of them."""
    there = [c for c in (*roles.scores, *roles.left_out) if one.outputs[c.name] is not None]
    return sorted(there, key=lambda column: -float(one.outputs[column.name]))[:MOST_HIGHEST]


def _value(value: Any, unit: str, *, is_epoch: bool = False) -> str:
    """Return a value as people write it; of a list the first few, and how many there are."""
    if value is None:
        return "null"
    if isinstance(value, list):
        if not value:
            return "none"
        told = ", ".join(_value(each, "", is_epoch=is_epoch) for each in value[:MOST_ELEMENTS])
        more = f", … ({len(value):,} in all)" if len(value) > MOST_ELEMENTS else ""
        return f"{cut(told, 80)}{more} {unit}".strip()
    said = f"{value:.4f}" if is_epoch else number(value) if isinstance(value, float) else cut(value, 80)
    return f"{said} {unit}".strip()
