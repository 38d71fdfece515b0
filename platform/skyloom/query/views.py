"""SQL text of the tables that a query sees. Pure: names and counts in, text out.

Layers are joined to the base by position. Two things make that safe:

- the row counts of the files are compared before (by the caller, from the files' footers);
- each column of a layer whose files nobody vouches for is wrapped in a CASE that compares the keys
  of its row with those of the base and fails on a difference. Whatever DuckDB does with filters, limits and
  aggregates, it cannot have the value of a layer without having compared the keys of its
  row, and a base column is right without any comparison. A comparison in the WHERE clause
  of the view would not do: a filter of the user could drop a misaligned row before it.

A positional join runs on one thread, so that the files are cut into as many runs as there
are threads, joined run by run, and put together with UNION ALL.
"""

# ruff: noqa: S608 (names pass through `quoted`, values through `text`)

from __future__ import annotations

from collections.abc import Collection, Sequence

from skyloom.query.tables import CATALOG, TableFiles, Tables, chunks, new_columns

__all__ = [
    "EMPTY",
    "ROW_ORDER_MARK",
    "alignment_sql",
    "catalog_sql",
    "footers_sql",
    "quoted",
    "scan_sql",
    "text",
    "within_sql",
]

ROW_ORDER_MARK = "skyloom-row-order"
"""First word of the error of a row whose keys differ; layer and both keys follow."""
EMPTY = "skyloom_no_rows_"
"""Before a table's name: an empty table of its columns, for one without files."""


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return `value` as an SQL string."""
    return "'" + value.replace("'", "''") + "'"


def scan_sql(files: Sequence[str], columns: Sequence[str], *, empty: str) -> str:
    """Return a SELECT of `columns` over Parquet files, in the order of the list.

    The table called `EMPTY` and `empty` stands for a list without files.
    """
    listed = ", ".join(quoted(column) for column in columns)
    if not files:
        return f"SELECT {listed} FROM {quoted(EMPTY + empty)}"
    return f"SELECT {listed} FROM {_reader(files)}"


def within_sql(select: str, condition: str) -> str:
    """Return the rows of a SELECT for which a condition holds.

    The condition is over position and HEALPix index: columns of the base, which are right whatever
    a layer holds, and which a layer repeats.
    """
    return f"SELECT * FROM ({select}) WHERE {condition}"


def _reader(files: Sequence[str]) -> str:
    # Without hive_partitioning=false the folders Norder=/Dir= would turn up as columns.
    return f"read_parquet([{', '.join(text(f) for f in files)}], hive_partitioning=false, union_by_name=false)"


def footers_sql(files: Sequence[str]) -> str:
    """Return a SELECT of each file and its rows, from the Parquet footers."""
    return f"SELECT file_name, num_rows FROM parquet_file_metadata([{', '.join(text(f) for f in files)}])"


def catalog_sql(tables: Tables, *, used: Collection[str], threads: int, guarded: Collection[str]) -> str:
    """Return the SELECT behind the table ``catalog``.

    Parameters
    ----------
    tables : Tables
        Base and layers; their files are local paths.
    used : collection of str
        Names of the layers to join; the columns of the others are left out.
    threads : int
        How many positional joins to run side by side.
    guarded : collection of str
        Names of the layers whose every value is tied to the comparison of its row's keys.
    """
    layers = {name: layer for name, layer in tables.layers.items() if name in used}
    if not layers:
        return scan_sql(tables.base.files, tables.base.schema.names, empty=CATALOG)
    every = [tables.base, *layers.values()]
    columns = [f"b.{quoted(name)}" for name in tables.base.schema.names]
    for i, (name, layer) in enumerate(layers.items()):
        for column in new_columns(layer, tables.copies):
            value = f"l{i}.{quoted(column)}"
            columns.append(
                (_guarded(value, name, f"l{i}", tables.keys) if name in guarded else value)
                + f" AS {quoted(column)}"
            )
    runs = chunks(every, threads)
    if not runs:
        return _empty_sql(tables, list(layers))
    return "\nUNION ALL\n".join(f"SELECT {', '.join(columns)} FROM {_joined(every, run)}" for run in runs)


def _empty_sql(tables: Tables, layers: Sequence[str]) -> str:
    """Return a SELECT without rows and with all columns."""
    scans = {name: scan_sql(table.files, table.schema.names, empty=name) for name, table in tables.named()}
    columns = [f"b.{quoted(name)}" for name in tables.base.schema.names]
    joins = [f"({scans[CATALOG]}) b"]
    for i, name in enumerate(layers):
        columns += [f"l{i}.{quoted(column)}" for column in new_columns(tables.layers[name], tables.copies)]
        joins.append(f"({scans[name]}) l{i}")
    return f"SELECT {', '.join(columns)} FROM {' CROSS JOIN '.join(joins)} WHERE false"


def _joined(every: Sequence[TableFiles], run: Sequence[slice]) -> str:
    names = ["b", *(f"l{i}" for i in range(len(every) - 1))]
    parts = zip(names, every, run, strict=True)
    return " POSITIONAL JOIN ".join(f"{_reader(table.files[part])} {name}" for name, table, part in parts)


def _same(alias: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"b.{quoted(key)} IS NOT DISTINCT FROM {alias}.{quoted(key)}" for key in keys)


def _guarded(value: str, layer: str, alias: str, keys: Sequence[str]) -> str:
    found = f"concat({text(f'{ROW_ORDER_MARK}|{layer}|')}, b.{quoted(keys[0])}, '|', {alias}.{quoted(keys[0])})"
    return f"CASE WHEN {_same(alias, keys)} THEN {value} ELSE error({found}) END"


def alignment_sql(tables: Tables, *, threads: int) -> str:
    """Return a SELECT that compares the keys of every row of every layer, and fails on a difference.

    One row comes back: how many rows were compared.
    """
    every = list(tables.layers.values())
    checks = [
        f"sum({_guarded('1', name, f'l{i}', tables.keys)}) AS {quoted(name)}"
        for i, name in enumerate(tables.layers)
    ]
    whole = [tables.base, *every]
    selects = [f"SELECT {', '.join(checks)} FROM {_joined(whole, run)}" for run in chunks(whole, threads)]
    return "\nUNION ALL\n".join(selects) or "SELECT 0"
