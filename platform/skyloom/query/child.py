"""The process that runs one query: two lines of JSON in, two lines and an Arrow stream out.

The first line has the statement and the schemas; the answer says which regions the statement names
and which layers it needs. The second line has the files that are left after that; the answer is
what is certain of the result's columns, the rows as Arrow IPC, and how it ended.

It is started fresh for each query (``python -m skyloom.query``), perhaps before anybody asks; it imports
DuckDB and pyarrow only, and nothing in either direction is a pickle.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.query import sandbox, views
from skyloom.query.calls import Call, Place, find_calls, put_conditions
from skyloom.query.prepare import Prepared, check_rows, prepare, read
from skyloom.query.statement import Statement
from skyloom.query.tables import CATALOG, TableFiles, Tables, new_columns
from skyloom.query.trouble import as_skyloom_error

_BATCH_ROWS = 65_536


def main() -> int:
    """Read a request, answer it, and say how it ended; without a request, end."""
    # All that takes time and needs no request comes first: the process may have been started ahead of it.
    sandbox.confine()
    connection = sandbox.connect()
    asked = sys.stdin.buffer.readline()
    if not asked:
        return 0
    opening = json.loads(asked)
    try:
        outcome = _answer(connection, opening)
    except SkyloomError as error:
        outcome = {
            "error": type(error).__name__,
            "message": error.message,
            "kind": error.kind,
            "context": error.context,
        }
    _say(outcome)
    return 0


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def _answer(connection: duckdb.DuckDBPyConnection, opening: dict[str, Any]) -> dict[str, Any]:
    limits = opening["limits"]
    sandbox.limit_time(limits["wall_s"])
    schemas = {
        name: pa.ipc.read_schema(pa.py_buffer(base64.b64decode(schema)))
        for name, schema in opening["schemas"].items()
    }
    tables = _tables(opening, {name: TableFiles((), (), schema) for name, schema in schemas.items()})
    try:
        sandbox.limit_work(connection, memory_bytes=limits["memory_bytes"], threads=limits["threads"])
        calls, parsed = _opened(connection, opening, tables)
        used = used_layers(parsed, tables) if parsed else list(tables.layers)
        _say({"calls": [asdict(call) for call in calls], "used": used})
        request = json.loads(sys.stdin.buffer.readline())
        tables = _tables(
            opening,
            {
                name: TableFiles(
                    tuple(part["files"]), None if part["rows"] is None else tuple(part["rows"]), schemas[name]
                )
                for name, part in request["files"].items()
            },
        )
        for name, table in tables.named():
            if not table.files:
                connection.register(views.EMPTY + name, table.schema.empty_table())
        work = {"query": _query, "explain": _explain, "check": _check}[opening["what"]]
        return work(connection, opening | request | {"calls": calls, "parsed": parsed}, tables)
    except BrokenPipeError:
        raise
    # While a result is streamed, Arrow hands DuckDB's errors on as OSError.
    except (duckdb.Error, MemoryError, pa.ArrowException, OSError) as error:
        raise as_skyloom_error(error, tables, limits["memory_bytes"]) from None


def _tables(opening: dict[str, Any], parts: dict[str, TableFiles]) -> Tables:
    layers = {name: part for name, part in parts.items() if name != CATALOG}
    return Tables(parts[CATALOG], layers, tuple(opening["keys"]), tuple(opening["copies"]))


def _opened(
    con: duckdb.DuckDBPyConnection, opening: dict[str, Any], tables: Tables
) -> tuple[list[Call], Statement | None]:
    """Return the calls of region functions, and what the statement takes from the tables; nothing for a check."""
    if opening["what"] == "check":
        return [], None
    tree, parsed = read(con, opening["sql"], tables)
    ra, dec, index = opening["place"]
    place = Place(ra, dec, index, frozenset(name.casefold() for name, _ in tables.named()))

    def parse(sql: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
        return found

    def unparse(expression: dict[str, Any]) -> str:
        select = parse("SELECT 1")
        select["statements"][0]["node"]["select_list"] = [expression]
        written = con.execute("SELECT json_deserialize_sql(?)", [json.dumps(select)]).fetchall()[0][0]
        return str(written).removeprefix("SELECT ")

    return find_calls(tree, opening["sql"], place, parse=parse, unparse=unparse), parsed


def used_layers(parsed: Statement, tables: Tables) -> list[str]:
    """Return the layers whose columns a statement may take from ``catalog``."""
    if CATALOG not in parsed.tables and not parsed.takes_all:
        return []
    return [name for name, layer in tables.layers.items() if parsed.may_use(new_columns(layer, tables.copies))]


def _prepared(con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables) -> Prepared:
    sql = put_conditions(request["sql"], request["calls"], request["conditions"])
    # With conditions in their places it is another statement, and has to be accepted as such.
    parsed = read(con, sql, tables)[1] if request["calls"] else request["parsed"]
    return prepare(
        con,
        sql,
        tables,
        parsed,
        trusted=frozenset(request["aligned"]),
        where=request["where"],
        threads=request["limits"]["threads"],
        unnest=request["unnest"],
    )


def _query(con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables) -> dict[str, Any]:
    prepared = _prepared(con, request, tables)
    reader = prepared.relation.to_arrow_reader(_BATCH_ROWS)
    parsed = prepared.statement
    _say(
        {
            "plain": {**parsed.plain, **prepared.plain},
            "unnested": [*parsed.unnested, *prepared.plain],
            "computed": sorted(parsed.computed),
        }
    )
    return _send(reader, request["limits"], request["first"], sys.stdout.buffer)


def _explain(con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables) -> dict[str, Any]:
    return {"plan": _prepared(con, request, tables).relation.explain()}


def _check(con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables) -> dict[str, Any]:
    con.execute("SET preserve_insertion_order = false")
    sandbox.lock(con, [file for _, table in tables.named() for file in table.files])
    check_rows(con, tables, list(tables.layers))
    con.execute(views.alignment_sql(tables, threads=request["limits"]["threads"])).fetchall()
    return {}


def _send(
    reader: pa.RecordBatchReader, limits: dict[str, Any], first: int | None, out: BinaryIO
) -> dict[str, Any]:
    """Write batches as they come; stop at the limits, and after as many rows as were asked for."""
    rows = size = 0
    with pa.ipc.new_stream(out, reader.schema) as writer:
        for batch in reader:
            if first is not None and rows + batch.num_rows > first:
                writer.write_batch(batch.slice(0, first - rows))
                return {"is_whole": False}
            rows += batch.num_rows
            size += batch.nbytes
            if rows > limits["max_rows"]:
                _too_much(f"more than max_rows={limits['max_rows']:,} rows")
            if size > limits["max_bytes"]:
                _too_much(f"more than max_bytes={limits['max_bytes']:,} bytes (in {rows:,} rows)")
            writer.write_batch(batch)
    return {"is_whole": True}


def _too_much(found: str) -> None:
    msg = f"the result has {found}: add LIMIT or aggregate, or raise the limit and write the result to a file"
    raise SpecError(msg, kind=ErrorKind.QUERY_LIMIT)
