"""Regions named in SQL: which are called, which of them choose partitions, and what stands in their place.

DuckDB knows no ``in_cone``. Each call is found in DuckDB's own parse tree and replaced, in the text,
by the condition that the same region gives as an option. A call also chooses partitions where
that is certain not to change the rows that come out: it is one of the conditions that a WHERE joins
by AND, over the position of the one table that the statement reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skyloom.errors import ErrorKind, SpecError
from skyloom.query.statement import walk

__all__ = ["FORMS", "Call", "Place", "find_calls", "put_conditions"]

FORMS = {
    "in_cone": "in_cone(ra, dec, ra0, dec0, radius)",
    "in_box": "in_box(ra, dec, ra_from, ra_to, dec_from, dec_to)",
    "in_polygon": "in_polygon(ra, dec, ra1, dec1, ra2, dec2, ra3, dec3, ...)",
    "in_moc": "in_moc(healpix_index, 'ASCII MOC')",
}
"""How each function is called; angles in degrees."""

Parse = Callable[[str], dict[str, Any]]
"""DuckDB's ``json_serialize_sql``."""
Unparse = Callable[[dict[str, Any]], str]
"""DuckDB's ``json_deserialize_sql``."""


@dataclass(frozen=True)
class Place:
    """What the columns are called that say where a row lies, and which tables have them."""

    ra: str
    dec: str
    index: str
    """HEALPix index of order 29; empty where there is none."""
    tables: frozenset[str]
    """In lower case."""


@dataclass(frozen=True)
class Call:
    """One call of a region function."""

    name: str
    text: str
    """As it stands in the statement."""
    first_byte: int
    selected_alone: bool
    """Whether it is a result column without a name."""
    arguments: tuple[str, ...]
    """SQL of each."""
    values: tuple[float | str | None, ...]
    """Of the arguments that are written as a number or a text; None for the rest."""
    kept_from_pruning: str
    """Why it chooses no partitions; empty if it does."""


def find_calls(tree: dict[str, Any], sql: str, place: Place, *, parse: Parse, unparse: Unparse) -> list[Call]:
    """Return the calls of region functions in a statement, in the order of the text.

    Parameters
    ----------
    tree : dict
        DuckDB's parse tree of `sql`.
    sql : str
        One SELECT.
    place : Place
        Columns of position.
    parse, unparse : callable
        From SQL to a tree and back.

    Raises
    ------
    SpecError
        BAD_QUERY for a call in another form than `FORMS`.
    """
    found = [node for node in walk(tree) if _is_call(node)]
    if not found:
        return []
    reasons = _reasons(tree, place)
    alone = {id(item) for node in walk(tree) for item in node.get("select_list") or () if not item.get("alias")}
    data = sql.encode()
    calls = []
    for node in sorted(found, key=lambda node: int(node["query_location"])):
        name = str(node["function_name"]).casefold()
        start = int(node["query_location"])
        text = data[start : start + int(node["query_location_length"])].decode(errors="replace")
        arguments = [entry["expression"] for entry in node["arguments"]]
        _check_form(node, name, text, arguments, parse)
        calls.append(
            Call(
                name=name,
                text=text,
                first_byte=start,
                selected_alone=id(node) in alone,
                arguments=tuple(unparse(argument) for argument in arguments),
                values=tuple(map(_literal, arguments)),
                kept_from_pruning=_why_not(name, arguments, reasons.get(id(node), _NOT_JOINED_BY_AND), place),
            )
        )
    return calls


def put_conditions(sql: str, calls: Sequence[Call], conditions: Sequence[str]) -> str:
    """Return the statement with a condition in the place of each call."""
    data = sql.encode()
    for call, condition in sorted(zip(calls, conditions, strict=True), key=lambda pair: -pair[0].first_byte):
        end = call.first_byte + len(call.text.encode())
        name = f" AS {call.name}" if call.selected_alone else ""
        data = data[: call.first_byte] + f"({condition}){name}".encode() + data[end:]
    return data.decode()


_NOT_JOINED_BY_AND = "it is not one of the conditions that a WHERE joins by AND"


def _is_call(node: Mapping[str, Any]) -> bool:
    return node.get("class") == "FUNCTION" and str(node.get("function_name", "")).casefold() in FORMS


def _check_form(
    node: Mapping[str, Any], name: str, text: str, arguments: Sequence[dict[str, Any]], parse: Parse
) -> None:
    """Refuse what is no plain call, and a place in the text that is not the call's."""
    count = len(arguments)
    right_count = {"in_cone": count == 5, "in_box": count == 6, "in_moc": count == 2}.get(
        name, count >= 8 and count % 2 == 0
    )
    plain = len(node["qualified_name"]["path"]) == 1 and not node["filter"] and not node["distinct"]
    named = any(entry["name"] for entry in node["arguments"])
    inner = any(_is_call(child) for argument in arguments for child in walk(argument))
    again = parse(f"SELECT {text}")
    same = not again["error"] and _bare(again["statements"][0]["node"]["select_list"][0]) == _bare(node)
    if not right_count or not plain or named or inner or not same:
        shown = text if len(text) <= 120 else text[:120] + "..."
        msg = f"{shown!r} is no call that a query knows: write {FORMS[name]}, angles in degrees"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY)


def _bare(node: Mapping[str, Any]) -> Any:
    """Return a tree without places in the text and without its own alias."""
    return _without_places({**node, "alias": ""})


def _without_places(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_places(v) for k, v in node.items() if not k.startswith("query_location")}
    return [_without_places(item) for item in node] if isinstance(node, list) else node


def _literal(node: Mapping[str, Any]) -> float | str | None:
    if node.get("type") != "VALUE_CONSTANT":
        return None
    kind, text = node["literal"]["kind"], str(node["literal"]["text"])
    if kind == "STRING":
        return text
    try:
        return float(text) if kind in {"INTEGER", "NUMERIC"} else None
    except ValueError:
        return None


def _why_not(name: str, arguments: Sequence[dict[str, Any]], where: _From | str, place: Place) -> str:
    """Return why a call chooses no partitions, empty if it does."""
    if isinstance(where, str):
        return where
    wanted = (place.index,) if name == "in_moc" else (place.ra, place.dec)
    for argument, column in zip(arguments, wanted, strict=False):
        path = tuple(str(part).casefold() for part in argument.get("column_names", ()))
        known = {(where.name, column.casefold())} | ({(column.casefold(),)} if where.is_alone else set())
        if not column or path not in known:
            how = "" if where.is_alone else f", written {where.name}.{column}"
            return f"its first arguments are not the table's {' and '.join(wanted) or 'HEALPix index'}{how}"
    if any(_literal(argument) is None for argument in arguments[len(wanted) :]):
        return "its other arguments are not written as plain values"
    return ""


def _reasons(tree: Any, place: Place) -> dict[int, _From | str]:
    """Return, by identity of each condition under a WHERE's ANDs, the table whose rows it chooses, or why none."""
    nodes = list(walk(tree))
    tables = [node for node in nodes if str(node.get("table_name", "")).casefold() in place.tables]
    ctes = {str(entry["key"]).casefold() for n in nodes for entry in (n.get("cte_map") or {}).get("map", ())}
    ctes |= {str(node["cte_name"]).casefold() for node in nodes if "cte_name" in node}
    why = ""
    if len(tables) != 1:
        why = f"the statement names tables of the catalog {len(tables)} times: name one once, in a WITH"
    elif ctes & place.tables:
        why = "a WITH has the name of a table"
    reasons: dict[int, _From | str] = {}
    for node in nodes:
        if node.get("type") == "SELECT_NODE" and node.get("where_clause"):
            where = why or _from(node, tables[0])
            reasons |= dict.fromkeys(map(id, _conjuncts(node["where_clause"])), where)
    return reasons


def _conjuncts(condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _conjuncts(child)
    else:
        yield condition


@dataclass(frozen=True)
class _From:
    """The table of a catalog in the FROM of a SELECT."""

    name: str
    """Its alias, or its own name; in lower case."""
    is_alone: bool


def _from(select: Mapping[str, Any], table: Mapping[str, Any]) -> _From | str:
    """Return how a SELECT's FROM names a table, or why its WHERE does not choose among all rows of it.

    Under inner and left joins a row that the WHERE would drop can be left out before: where it made another row
    null, the condition on that null drops the other row, too.
    """
    leaves, stack = [], [select["from_table"]]
    if select.get("sample"):
        return _SAMPLE
    while stack:
        part = stack.pop()
        if part.get("sample"):
            return _SAMPLE
        if part["type"] != "JOIN":
            leaves.append(part)
        elif part["join_type"] in {"INNER", "LEFT"} and part["ref_type"] in {"REGULAR", "CROSS"}:
            stack += [part["left"], part["right"]]
        else:
            return f"its FROM has a join of kind {part['join_type']} {part['ref_type']}"
    if not any(leaf is table for leaf in leaves):
        return "its FROM has no table of the catalog"
    if table["type"] != "BASE_TABLE" or table["column_name_alias"] or table["at_clause"]:
        return "its table's columns have other names"
    return _From(str(table["alias"] or table["table_name"]).casefold(), len(leaves) == 1)


_SAMPLE = "a sample is taken before the WHERE"
