"""Where each column that a model reads comes from: the catalog, or a layer of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from skyloom.catalog import Catalog
from skyloom.columns import ANY_UNIT, Column
from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.jobs.layers import Layer

__all__ = ["Source", "bind", "known_columns", "missing", "same_unit"]


@dataclass(frozen=True, slots=True)
class Source:
    """One column read by the model, bound to a column that exists."""

    read: Column
    """As the model declares it."""
    found: Column
    """As the catalog or layer has it."""
    layer: str = ""
    """The layer that has it, or "" for the catalog itself."""


def bind(
    reads: Sequence[Column],
    catalog: Catalog,
    layers: Sequence[Layer],
    *,
    columns: Mapping[str, str],
    units: Mapping[str, str],
    others: Sequence[str] = (),
) -> tuple[Source, ...]:
    """Find every column that a model reads, and check type and unit.

    Parameters
    ----------
    reads : sequence of Column
        What the model reads.
    catalog : Catalog
    layers : sequence of Layer
        Searched after the catalog, in order.
    columns : mapping
        Names in the catalog, by the model's names, where they differ.
    units : mapping
        Units of catalog columns that do not state theirs.
    others : sequence of str
        Columns that are read beside those of the model, and may be mapped too.

    Raises
    ------
    SpecError
        If a column is missing (the close names are offered), or of another type or unit;
        all of them at once.
    """
    known = known_columns(catalog, layers)
    _check_mapped(columns, [*(read.name for read in reads), *others])
    sources, troubles, kinds = [], [], []
    for read in reads:
        name = columns.get(read.name, read.name)
        if name not in known:
            troubles.append(missing(read, name, known, layers))
            kinds.append(ErrorKind.UNKNOWN_COLUMN)
            continue
        layer_name, found = known[name]
        if name in units:
            found = Column(found.name, units[name], found.description, found.dtype, found.ucd)
        trouble, kind = _mismatch(read, found)
        if trouble:
            troubles.append(trouble)
            kinds.append(kind)
        sources.append(Source(read, found, layer_name))
    if troubles:
        shown = troubles[:8] + ([f"and {len(troubles) - 8} more"] if len(troubles) > 8 else [])
        msg = f"the model cannot read catalog {catalog.name}:\n" + "\n".join(f"  {t}" for t in shown)
        raise SpecError(msg, kind=kinds[0], catalog=catalog.name)
    return tuple(sources)


def known_columns(catalog: Catalog, layers: Sequence[Layer]) -> dict[str, tuple[str, Column]]:
    """Return layer ("" for the catalog, which comes first) and column by every name that there is."""
    known: dict[str, tuple[str, Column]] = {}
    for layer in reversed(layers):
        known.update({column.name: (layer.name, column) for column in layer.columns})
    known.update({column.name: ("", column) for column in catalog.columns})
    return known


def _check_mapped(columns: Mapping[str, str], names: Sequence[str]) -> None:
    for name in columns:
        if name not in names:
            msg = (
                f"[input.columns] maps {name!r}, which the model does not read and no criterion names; "
                f"{close_matches(name, names)}"
            )
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)


def missing(read: Column, name: str, known: Mapping[str, object], layers: Sequence[Layer]) -> str:
    """Return what to say of a column that is not there."""
    where = "the catalog" + (f" and layers {', '.join(layer.name for layer in layers)} have" if layers else " has")
    asked = f" (read as {read.name!r})" if name != read.name else ""
    return (
        f"{where} no column {name!r}{asked}; {close_matches(name, known)}. "
        "Map it in [input.columns], or add the layer that has it to [input] layers"
    )


def _mismatch(read: Column, found: Column) -> tuple[str, ErrorKind]:
    if not _readable(found.type if found.dtype else pa.null(), read.type):
        msg = f"column {found.name!r} is {found.dtype}; the model reads {read.dtype}"
        return msg, ErrorKind.COLUMN_TYPE
    if read.unit != ANY_UNIT and not same_unit(found.unit, read.unit):
        stated = f"is in {found.unit!r}" if found.unit else "does not state its unit"
        msg = (
            f"column {found.name!r} {stated}; the model reads {read.unit or 'a dimensionless number'!r}. "
            "Convert it at import, or state its true unit in [input.units] or the descriptor"
        )
        return msg, ErrorKind.COLUMN_UNIT
    return "", ErrorKind.COLUMN_UNIT


def _readable(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether values of one type can be read as another without a change of meaning."""
    types = pa.types
    if types.is_list(wanted) or types.is_large_list(wanted):
        return bool(types.is_list(found) or types.is_large_list(found)) and _readable(
            found.value_type, wanted.value_type
        )
    if types.is_floating(wanted):
        return bool(types.is_floating(found) or types.is_integer(found))
    if types.is_integer(wanted):
        return bool(types.is_integer(found) and found.bit_width <= wanted.bit_width)
    if types.is_boolean(wanted):
        return bool(types.is_boolean(found))
    if types.is_string(wanted):
        text = types.is_string(found) or types.is_large_string(found) or types.is_string_view(found)
        return bool(text or (types.is_dictionary(found) and _readable(found.value_type, wanted)))
    return bool(found.equals(wanted))


def same_unit(found: str, wanted: str) -> bool:
    """Return whether two unit strings mean the same unit, to scale."""
    if found == wanted:
        return True
    if not found or not wanted:
        return False
    from astropy import units

    try:
        return bool(units.Unit(found) == units.Unit(wanted))
    except ValueError:
        return False
