"""The process that runs one query: a request on stdin, Arrow IPC and a last line of JSON on stdout.

It is started fresh for each query (``python -m skyloom.query.child``), imports DuckDB and
pyarrow only, and nothing in either direction is a pickle.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from skyloom.errors import DataError, ErrorKind, SkyloomError, SpecError
from skyloom.query import sandbox, views
from skyloom.query.statement import Statement, read_statement
from skyloom.query.tables import CATALOG, TableFiles, Tables, new_columns
from skyloom.query.trouble import as_skyloom_error

if TYPE_CHECKING:
    import duckdb

_BATCH_ROWS = 65_536


def main() -> int:
    """Read a request, answer it, and say how it ended."""
    request = json.loads(sys.stdin.buffer.read())
    out = sys.stdout.buffer
    sandbox.confine(wall_s=request["limits"]["wall_s"])
    tables = _tables(request)
    try:
        outcome = _answer(request, tables, out)
    except SkyloomError as error:
        outcome = {
            "error": type(error).__name__,
            "message": error.message,
            "kind": error.kind,
            "context": error.context,
        }
    out.write(json.dumps(outcome).encode() + b"\n")
    out.flush()
    return 0


def _tables(request: dict[str, Any]) -> Tables:
    parts = {
        name: TableFiles(
            tuple(part["files"]),
            tuple(part["rows"]),
            pa.ipc.read_schema(pa.py_buffer(base64.b64decode(part["schema"]))),
        )
        for name, part in request["files"].items()
    }
    return Tables(parts.pop(CATALOG), parts, tuple(request["keys"]), tuple(request["copies"]))


def _answer(request: dict[str, Any], tables: Tables, out: BinaryIO) -> dict[str, Any]:
    import duckdb

    limits = request["limits"]
    work = {"query": _query, "explain": _explain, "check": _check}[request["what"]]
    try:
        connection = sandbox.connect(memory_bytes=limits["memory_bytes"], threads=limits["threads"])
        for name, table in tables.named():
            if not table.files:
                connection.register(views.EMPTY + name, table.schema.empty_table())
        sandbox.limit_memory(limits["memory_bytes"])
        return work(connection, request, tables, out)
    except BrokenPipeError:
        raise
    # While a result is streamed, Arrow hands DuckDB's errors on as OSError.
    except (duckdb.Error, MemoryError, pa.ArrowException, OSError) as error:
        raise as_skyloom_error(error, tables, limits["memory_bytes"]) from None


def _query(
    con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables, out: BinaryIO
) -> dict[str, Any]:
    statement, parsed = _prepare(con, request, tables)
    _send(con.sql(statement).to_arrow_reader(_BATCH_ROWS), request["limits"], out)
    return {"plain": parsed.plain, "computed": sorted(parsed.computed)}


def _explain(
    con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables, _: BinaryIO
) -> dict[str, Any]:
    _prepare(con, request, tables)
    rows = con.execute(f"EXPLAIN {request['sql']}").fetchall()
    return {"plan": "\n".join(str(row[1]) for row in rows)}


def _check(con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables, _: BinaryIO) -> dict[str, Any]:
    con.execute("SET preserve_insertion_order = false")
    _lock(con, tables)
    _check_rows(con, tables, list(tables.layers))
    con.execute(views.alignment_sql(tables, threads=request["limits"]["threads"])).fetchall()
    return {}


def _lock(con: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    sandbox.lock(con, [file for _, table in tables.named() for file in table.files])


def _prepare(con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables) -> tuple[Any, Statement]:
    """Accept the statement, lock the connection, make the tables; return the statement to run."""
    import duckdb

    statement, parsed = _read(con, request["sql"], tables)
    if parsed.is_order_free:
        # Runs of files are then read side by side also where their order would have been kept for nothing.
        con.execute("SET preserve_insertion_order = false")
    _lock(con, tables)
    used = [name for name, layer in tables.layers.items() if parsed.may_use(new_columns(layer, tables.copies))]
    _make_tables(con, request, tables, used, parsed)
    try:
        con.sql(statement)
    except duckdb.BinderException:
        if len(used) == len(tables.layers):
            raise
        _make_tables(con, request, tables, list(tables.layers), parsed)
    return statement, parsed


def _read(con: duckdb.DuckDBPyConnection, sql: str, tables: Tables) -> tuple[Any, Statement]:
    import duckdb

    statements = con.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        msg = f"the query must be one SELECT statement, and this is {found}; it cannot write, set or attach"
        raise SpecError(msg, kind=ErrorKind.BAD_QUERY)
    tree = con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0]
    aggregates = con.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
    )
    names = frozenset(str(row[0]).casefold() for row in aggregates.fetchall())
    return statements[0], read_statement(tree, tables=[name for name, _ in tables.named()], aggregates=names)


def _make_tables(
    con: duckdb.DuckDBPyConnection, request: dict[str, Any], tables: Tables, used: list[str], parsed: Statement
) -> None:
    guard = not request["aligned"]
    if guard and used and CATALOG in parsed.tables:
        _check_rows(con, tables, used)
    threads = request["limits"]["threads"]
    for name, table in tables.named():
        if name == CATALOG:
            select = views.catalog_sql(tables, used=used, threads=threads, guard=guard)
        else:
            select = views.scan_sql(table.files, table.schema.names, empty=name)
        if request["where"]:
            select = views.within_sql(select, request["where"])
        con.execute(f"CREATE OR REPLACE TEMP VIEW {views.quoted(name)} AS {select}")


def _check_rows(con: duckdb.DuckDBPyConnection, tables: Tables, used: list[str]) -> None:
    """Compare the rows of each file with what was promised: a positional join hides a difference."""
    for name, table in tables.named():
        if not table.files or (name != CATALOG and name not in used):
            continue
        found = dict(con.execute(views.footers_sql(table.files)).fetchall())
        for file, rows in zip(table.files, table.rows, strict=True):
            if found.get(file) != rows:
                msg = f"{file} of {name!r} has {found.get(file)} rows where {rows} are listed: it was changed"
                raise DataError(msg, kind=ErrorKind.ROW_COUNT, file=file, table=name)


def _send(reader: pa.RecordBatchReader, limits: dict[str, Any], out: BinaryIO) -> None:
    """Write batches as they come, and stop at the limits."""
    rows = size = 0
    with pa.ipc.new_stream(out, reader.schema) as writer:
        for batch in reader:
            rows += batch.num_rows
            size += batch.nbytes
            if rows > limits["max_rows"]:
                _too_much(f"more than max_rows={limits['max_rows']:,} rows")
            if size > limits["max_bytes"]:
                _too_much(f"more than max_bytes={limits['max_bytes']:,} bytes (in {rows:,} rows)")
            writer.write_batch(batch)


def _too_much(found: str) -> None:
    msg = f"the result has {found}: add LIMIT or aggregate, or raise the limit and write the result to a file"
    raise SpecError(msg, kind=ErrorKind.QUERY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
