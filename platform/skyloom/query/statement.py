"""What a SELECT refers to, read from DuckDB's own parse tree.

DuckDB 2 calls ``WITH x AS (INSERT ...) SELECT ...`` a SELECT, and has table functions that
read files, take SQL as text, or write logs. So a statement is accepted by what its tree
holds: queries over the tables we made, and functions that make rows from values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["Aggregates", "Statement", "parsed_tree", "read_statement", "walk"]

_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS = frozenset(
    "generate_series histogram histogram_values json_each json_tree range repeat repeat_row unnest".split()  # noqa: SIM905
)
# Aggregates whose result does not depend on the order of rows (but for rounding).
_ORDER_FREE = frozenset(
    """approx_count_distinct approx_quantile avg bool_and bool_or corr count count_if count_star covar_pop
    covar_samp entropy histogram kurtosis mad max mean median min quantile quantile_cont quantile_disc
    regr_count regr_intercept regr_r2 regr_slope skewness stddev stddev_pop stddev_samp sum sum_no_overflow
    var_pop var_samp variance""".split()  # noqa: SIM905
)
# Functions of one row, of which DuckDB need not be asked: that costs more than most statements take to be read.
_OF_ONE_ROW = frozenset(
    """+ - * / // % ^ ** || ~~ !~~ abs acos asin atan atan2 cbrt ceil cos degrees exp floor greatest in_box in_cone
    in_moc in_polygon isfinite isnan least len ln log10 log2 lower pi pow power radians round sign sin sqrt
    struct_extract tan upper""".split()  # noqa: SIM905
)
Aggregates = Callable[[frozenset[str]], Collection[str]]
"""Of names of functions, in lower case, those that aggregate."""


@dataclass(frozen=True)
class Statement:
    """One SELECT that may run, and what it takes from its tables."""

    tables: frozenset[str]
    """Names that stand where a table stands, in lower case."""
    identifiers: frozenset[str]
    """Every word that may name a column or a table, in lower case."""
    takes_all: bool
    """Whether it may take columns that it does not name: ``*``, ``COLUMNS``, natural joins, whole rows."""
    is_order_free: bool
    """Whether the order in which rows are read cannot change the rows that come out."""
    plain: dict[str, tuple[str, ...]]
    """Names of result columns that are plain selections, with the path to what they select."""
    unnested: frozenset[str]
    """Those of them that have one row per element of what they select."""
    computed: frozenset[str]
    """Names, in lower case, that some expression of the statement gives to something else."""

    def may_read(self, table: str) -> bool:
        """Say whether the statement can read a table by its name."""
        return self.takes_all or table.casefold() in self.tables

    def may_use(self, columns: Collection[str]) -> bool:
        """Say whether the statement can depend on one of `columns`."""
        return self.takes_all or any(column.casefold() in self.identifiers for column in columns)


def parsed_tree(tree_json: str) -> dict[str, Any]:
    """Return what DuckDB's ``json_serialize_sql`` wrote, of one statement.

    Raises
    ------
    SpecError
        BAD_QUERY if it is none, more than one, or nested too deeply to be read.
    """
    try:
        tree: dict[str, Any] = json.loads(tree_json)
    except RecursionError:
        msg = "the query is nested too deeply: simplify it"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY) from None
    if tree.get("error") or len(tree.get("statements", ())) != 1:
        msg = f"the query must be one SELECT statement: {tree.get('error_message', 'it is not')}"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY)
    return tree


def read_statement(tree: dict[str, Any], *, tables: Collection[str], aggregates: Aggregates) -> Statement:
    """Read DuckDB's parse tree of one SELECT, and refuse what may not run.

    Parameters
    ----------
    tree : dict
        See `parsed_tree`.
    tables : collection of str
        Names of the tables that the query may read.
    aggregates : callable
        Asked only about functions that are not known here.

    Raises
    ------
    SpecError
        BAD_QUERY if it writes, reads other tables or files, or calls a table function that is not
        one of those that make rows from values.
    """
    nodes = list(walk(tree))
    _check(nodes, {name.casefold() for name in tables})
    return _facts(tree["statements"][0]["node"], nodes, aggregates)


def walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _check(nodes: list[dict[str, Any]], tables: set[str]) -> None:
    ctes = {str(entry["key"]).casefold() for node in nodes for entry in (node.get("cte_map") or {}).get("map", ())}
    ctes |= {str(node["cte_name"]).casefold() for node in nodes if "cte_name" in node}
    for node in nodes:
        kind = str(node.get("type", ""))
        if kind.endswith("_NODE") and kind not in _NODES:
            _refuse(f"it holds {kind.removesuffix('_QUERY_NODE')}, and queries are read-only: write a SELECT")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).casefold()
            if name not in _TABLE_FUNCTIONS or node["function"].get("schema"):
                _refuse(
                    f"table function {name}() is not allowed: a query reads "
                    f"{', '.join(sorted(tables))} and nothing else"
                )
        if kind in {"BASE_TABLE", "SHOW_REF"}:
            _check_table(node, tables, ctes)


def _check_table(node: dict[str, Any], tables: set[str], ctes: set[str]) -> None:
    name = str(node.get("table_name", ""))
    if node["type"] == "SHOW_REF" and (not name or node.get("show_type") == "SHOW_SPECIAL"):
        return
    qualified = len((node.get("qualified_name") or {}).get("path", ())) > 1
    if qualified or node.get("schema_name") or node.get("catalog_name") or name.casefold() not in tables | ctes:
        shown = name if len(name) <= 80 else name[:80] + "..."
        _refuse(f"there is no table {shown!r}: {close_matches(shown, tables)}")


def _refuse(reason: str) -> None:
    msg = f"the query cannot run: {reason}"
    raise SpecError(msg, kind=ErrorKind.BAD_QUERY)


def _facts(top: dict[str, Any], nodes: list[dict[str, Any]], aggregates: Aggregates) -> Statement:
    identifiers: set[str] = set()
    relations: set[str] = set()
    computed: set[str] = set()
    takes_all = False
    plain, unnested = _plain(top)
    for node in nodes:
        kind = node.get("type")
        alias = str(node.get("alias") or "").casefold()
        if kind == "COLUMN_REF":
            identifiers.update(str(part).casefold() for part in node["column_names"])
            if alias and alias != str(node["column_names"][-1]).casefold():
                computed.add(alias)
        elif kind in {"BASE_TABLE", "SUBQUERY", "TABLE_FUNCTION", "JOIN"} and "class" not in node:
            relations.update({alias, str(node.get("table_name") or "").casefold()})
            identifiers.update(str(name).casefold() for name in node.get("using_columns", ()))
            takes_all |= node.get("ref_type") == "NATURAL" or bool(node.get("column_name_alias"))
        elif alias and id(node) not in unnested:
            computed.add(alias)
        takes_all |= kind in {"STAR", "SHOW_REF", "PIVOT"}
        for names in (node.get("column_name_alias") or (), node.get("aliases") or ()):
            computed.update(str(name).casefold() for name in names)
        for entry in [*(node.get("replace_list") or ()), *(node.get("rename_list") or ())]:
            computed.update(str(value).casefold() for value in entry.values() if isinstance(value, str))
            # json_serialize_sql writes qualified names of REPLACE and RENAME as objects.
            computed.update(str(v.get("column", "")).casefold() for v in entry.values() if isinstance(v, dict))
    # A table's own name, selected like a column, is the whole row.
    takes_all |= bool(identifiers & (relations - {""})) and _selects_rows(nodes, relations)
    return Statement(
        tables=frozenset(str(n["table_name"]).casefold() for n in nodes if n.get("table_name")),
        identifiers=frozenset(identifiers),
        takes_all=takes_all,
        is_order_free=_is_order_free(top, nodes, aggregates),
        plain=plain,
        unnested=frozenset(unnested.values()),
        computed=frozenset(computed),
    )


def _selects_rows(nodes: list[dict[str, Any]], relations: set[str]) -> bool:
    return any(n.get("type") == "COLUMN_REF" and str(n["column_names"][-1]).casefold() in relations for n in nodes)


def _is_order_free(top: dict[str, Any], nodes: list[dict[str, Any]], aggregates: Aggregates) -> bool:
    """Say whether the statement aggregates, and does nothing else that depends on order."""
    if top["type"] != "SELECT_NODE":
        return False
    called = frozenset(str(node.get("function_name", "")).casefold() for node in nodes) - {""}
    unknown = called - _ORDER_FREE - _OF_ONE_ROW
    if unknown and aggregates(unknown):
        return False
    # A limit on the aggregated rows is harmless, one below it picks rows by order.
    limits = sum("LIMIT" in str(node.get("type", "")) for node in nodes)
    if limits > sum("LIMIT" in str(modifier["type"]) for modifier in top["modifiers"]):
        return False
    for node in nodes:
        if node.get("class") == "WINDOW" or node.get("sample") or node.get("distinct_on_targets"):
            return False
    return bool(top["group_expressions"]) or _aggregates(top["select_list"])


def _aggregates(select_list: list[dict[str, Any]]) -> bool:
    """Say whether an expression of the list itself, not of a subquery in it, is an aggregate."""
    stack: list[Any] = [*select_list]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict) and node.get("class") != "SUBQUERY":
            if str(node.get("function_name", "")).casefold() in _ORDER_FREE:
                return True
            stack.extend(node.values())
    return False


def _plain(top: dict[str, Any]) -> tuple[dict[str, tuple[str, ...]], dict[int, str]]:
    """Return paths by result name, and the names that are UNNEST of a path by identity of the call."""
    found, unnested = {}, {}
    for node in top["select_list"] if top["type"] == "SELECT_NODE" else ():
        column = node
        if node.get("function_name") == "unnest" and node.get("alias") and len(node["arguments"]) == 1:
            column = node["arguments"][0]["expression"]
        if column.get("type") == "COLUMN_REF":
            path = tuple(str(part) for part in column["column_names"])
            name = str(node.get("alias") or path[-1])
            found[name] = path
            if column is not node:
                unnested[id(node)] = name
    return found, unnested
