"""Inside the query process: accept a statement, lock the connection, make the tables it reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from skyloom.errors import DataError, ErrorKind, SpecError, close_matches
from skyloom.query import sandbox, views
from skyloom.query.statement import Statement, parsed_tree, read_statement
from skyloom.query.tables import CATALOG, Tables, new_columns

__all__ = ["Prepared", "check_rows", "prepare", "read"]


@dataclass(frozen=True)
class Prepared:
    """A statement over tables that are there, not yet run."""

    relation: duckdb.DuckDBPyRelation
    statement: Statement
    plain: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Columns that came out of a nested one afterwards, with what they were."""


def read(con: duckdb.DuckDBPyConnection, sql: str, tables: Tables) -> tuple[dict[str, Any], Statement]:
    """Return the parse tree of a statement and what it takes from the tables.

    Raises
    ------
    SpecError
        BAD_QUERY if it is not one SELECT that may run.
    """
    statements = con.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        msg = f"the query must be one SELECT statement, and this is {found}; it cannot write, set or attach"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY)
    tree = parsed_tree(con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])

    def aggregates(names: frozenset[str]) -> frozenset[str]:
        every = con.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'")
        return names & {str(row[0]).casefold() for row in every.fetchall()}

    return tree, read_statement(tree, tables=[name for name, _ in tables.named()], aggregates=aggregates)


def prepare(
    con: duckdb.DuckDBPyConnection,
    sql: str,
    tables: Tables,
    parsed: Statement,
    *,
    trusted: Collection[str],
    where: str,
    threads: int,
    unnest: Sequence[str],
) -> Prepared:
    """Make the tables and bind a statement to them.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        Locked afterwards: it reads the tables' files, and no other.
    sql : str
        One SELECT.
    tables : Tables
    parsed : Statement
        What `read` says of it.
    trusted : collection of str
        Layers whose rows need no comparison with the base's.
    where : str
        A condition that the rows of every table fulfil; empty for none.
    threads : int
        How many positional joins to run side by side.
    unnest : sequence of str
        Nested columns of the result to be given row by row.

    Raises
    ------
    SpecError
        BAD_QUERY for a column to be unnested that the result has not, or not nested.
    DataError
        ROW_COUNT if a file has other rows than its list says.
    """
    if parsed.is_order_free:
        # Runs of files are then read side by side also where their order would have been kept for nothing.
        con.execute("SET preserve_insertion_order = false")
    sandbox.lock(con, [file for _, table in tables.named() for file in table.files])
    every = list(tables.layers)
    used = [name for name, layer in tables.layers.items() if parsed.may_use(new_columns(layer, tables.copies))]

    def make(layers: list[str]) -> duckdb.DuckDBPyRelation:
        guarded = [name for name in layers if name not in trusted]
        if guarded and CATALOG in parsed.tables:
            check_rows(con, tables, guarded)
        for name, table in tables.named():
            if not parsed.may_read(name):
                continue
            if name == CATALOG:
                select = views.catalog_sql(tables, used=layers, threads=threads, guarded=guarded)
            else:
                select = views.scan_sql(table.files, table.schema.names, empty=name)
            if where:
                select = views.within_sql(select, where)
            con.execute(f"CREATE OR REPLACE TEMP VIEW {views.quoted(name)} AS {select}")
        return con.sql(con.extract_statements(sql)[0])

    try:
        relation = make(used)
    except duckdb.BinderException:
        if len(used) == len(every):
            raise
        relation = make(every)
    return _unnested(relation, parsed, unnest) if unnest else Prepared(relation, parsed)


def check_rows(con: duckdb.DuckDBPyConnection, tables: Tables, used: Collection[str]) -> None:
    """Compare the rows of each file with what was promised: a positional join hides a difference.

    Raises
    ------
    DataError
        ROW_COUNT, naming the file.
    """
    for name, table in tables.named():
        if not table.files or table.rows is None or (name != CATALOG and name not in used):
            continue
        found = dict(con.execute(views.footers_sql(table.files)).fetchall())
        for file, rows in zip(table.files, table.rows, strict=True):
            if found.get(file) != rows:
                msg = f"{file} of {name!r} has {found.get(file)} rows where {rows} are listed: it was changed"
                raise DataError(msg, kind=ErrorKind.ROW_COUNT, file=file, table=name)


def _unnested(relation: duckdb.DuckDBPyRelation, parsed: Statement, unnest: Sequence[str]) -> Prepared:
    """Put one row for each point in the place of one with a struct of equally long lists."""
    columns, types = list(relation.columns), dict(zip(relation.columns, relation.types, strict=True))
    chosen: list[str] = []
    plain: dict[str, tuple[str, str]] = {}
    taken = {name.casefold() for name in columns if name not in unnest}
    for name in columns:
        if name not in unnest:
            chosen.append(views.quoted(name))
            continue
        fields = dict(types[name].children) if types[name].id == "struct" else {}
        if not fields or any(kind.id != "list" for kind in fields.values()):
            msg = f"column {name!r} is {str(types[name])[:80]}, and only a struct of lists can be unnested"
            raise SpecError(msg, kind=ErrorKind.BAD_QUERY, column=name)
        for child in fields:
            new = child if child.casefold() not in taken else f"{name}_{child}"
            taken.add(new.casefold())
            plain[new] = ((parsed.plain.get(name) or (name,))[-1], child)
            chosen.append(f"unnest({views.quoted(name)}.{views.quoted(child)}) AS {views.quoted(new)}")
    for name in unnest:
        if name not in columns:
            msg = f"the result has no column {name!r} to unnest; {close_matches(name, columns)}"
            raise SpecError(msg, kind=ErrorKind.BAD_QUERY, column=name)
    return Prepared(relation.project(", ".join(chosen)), parsed, plain)
