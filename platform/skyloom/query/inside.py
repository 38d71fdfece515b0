"""From a region function in SQL to the region that it names, and to the condition that replaces it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.query.calls import FORMS, Call
from skyloom.sky import Box, Cone, MocRegion, Polygon, Region

__all__ = ["condition_of", "read_calls", "region_of"]


def read_calls(said: Sequence[dict[str, Any]]) -> list[Call]:
    """Return the calls that a query process found."""
    return [Call(**{**one, "arguments": tuple(one["arguments"]), "values": tuple(one["values"])}) for one in said]


def region_of(call: Call) -> Region | None:
    """Return the region of a call; None for a cone or box whose numbers are not written as numbers.

    Raises
    ------
    SpecError
        BAD_QUERY if the numbers are no region, or a polygon or MOC is not written out.
    """
    try:
        return _region(call)
    except SkyloomError as error:
        msg = f"{_shown(call)}: {error.message}"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY) from error


def condition_of(call: Call, region: Region | None) -> str:
    """Return the SQL that says of a row what the call says."""
    if isinstance(region, MocRegion):
        return region.sql("", "", f"({call.arguments[0]})")
    ra, dec, *rest = (f"({argument})" for argument in call.arguments)
    if region is not None:
        return region.sql(ra, dec, None)
    return _any_cone(ra, dec, rest) if call.name == "in_cone" else _any_box(ra, dec, rest)


def _region(call: Call) -> Region | None:
    if call.name == "in_moc":
        if not isinstance(call.values[1], str):
            raise _written_out(call)
        return MocRegion.parse(call.values[1])
    numbers = call.values[2:]
    if any(isinstance(number, str) for number in numbers):
        raise _written_out(call)
    if None in numbers:
        if call.name == "in_polygon":
            raise _written_out(call)
        return None
    values = cast("tuple[float, ...]", numbers)
    if call.name == "in_cone":
        return Cone(*values)
    if call.name == "in_box":
        return Box(*values)
    return Polygon(tuple(zip(values[::2], values[1::2], strict=True)))


def _written_out(call: Call) -> SpecError:
    kind = "a text" if call.name == "in_moc" else "numbers"
    return SpecError(f"write {kind} in it, as in {FORMS[call.name]}", kind=ErrorKind.BAD_QUERY)


def _any_cone(ra: str, dec: str, circle: Sequence[str]) -> str:
    """Return the haversine of `Cone.sql`, for a centre and a radius that differ from row to row."""
    ra0, dec0, radius = circle
    distance = (
        f"pow(sin(radians({dec} - {dec0}) / 2), 2) + cos(radians({dec})) * cos(radians({dec0})) * "
        f"pow(sin(radians({ra} - {ra0}) / 2), 2)"
    )
    return f"{radius} >= 0 AND ({radius} >= 180 OR {distance} <= pow(sin(radians(least({radius}, 180)) / 2), 2))"


def _any_box(ra: str, dec: str, limits: Sequence[str]) -> str:
    """Return the condition of `Box.sql`, for limits that differ from row to row."""
    ra_from, ra_to, dec_from, dec_to = limits
    after, before = f"{ra} >= {ra_from}", f"{ra} <= {ra_to}"
    east = f"CASE WHEN {ra_from} <= {ra_to} THEN {after} AND {before} ELSE {after} OR {before} END"
    return f"{dec} BETWEEN {dec_from} AND {dec_to} AND {east}"


def _shown(call: Call) -> str:
    return call.text if len(call.text) <= 120 else call.text[:120] + "..."
