"""One SELECT over a catalog and its layers, in a process of its own.

The caller's process never runs the SQL: it starts a child with a minimal environment,
writes the request as JSON, reads Arrow IPC, and kills the child when time is up. What the
child may do is in `sandbox`; what SQL may hold, in `statement`; how layers are joined to
the catalog, in `views`.

HEALPix pruning comes before `query`: a region becomes a shorter list of files in `TableFiles`,
of the base and of each layer alike, and a condition on the rows that are left.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from skyloom import errors
from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.query.metadata import with_metadata
from skyloom.query.process import Limits, answer_of, cores
from skyloom.query.tables import TableFiles, Tables, local_path
from skyloom.query.views import quoted
from skyloom.sky import Region

__all__ = ["check_alignment", "explain", "query"]

_NO_LAYERS: Mapping[str, TableFiles] = MappingProxyType({})
_POSITION = ("ra", "dec")


def query(
    sql: str,
    *,
    base: TableFiles,
    layers: Mapping[str, TableFiles] = _NO_LAYERS,
    id_column: str | None,
    healpix_column: str = "_healpix_29",
    position_columns: Sequence[str] = _POSITION,
    limits: Limits | None = None,
    aligned: bool = False,
    region: Region | None = None,
) -> pa.Table:
    """Run one SELECT over a catalog and its layers.

    Tables: ``catalog`` has the columns of the base and the new columns of every layer, and
    each layer is a table of its own too, with ``_`` for ``-``. Layers are joined by position;
    a row of a layer whose id or HEALPix index is not that of the base raises, as soon as the
    result depends on it.

    Parameters
    ----------
    sql : str
        One SELECT statement in DuckDB's dialect.
    base, layers : TableFiles, mapping of str to TableFiles
        Files of the catalog, and of each layer by its name.
    id_column : str or None
        Row id of the base; None checks by HEALPix index only.
    healpix_column : str
        HEALPix index of the base; not used where the base has no such column.
    position_columns : sequence of str
        What layers repeat of the base beside id and HEALPix index. These and the keys are
        in ``catalog`` once, from the base.
    limits : Limits
        Memory, time and size of the result.
    aligned : bool
        Leave out the comparison of the keys: only for files that `check_alignment` has
        passed and that nobody has touched since. It makes narrow aggregates several times
        faster, because the keys need not be read.
    region : Region, optional
        Rows outside it are in no table. Files that it does not touch should not be among those given.

    Returns
    -------
    pyarrow.Table
        Result columns that are plain selections keep unit, UCD and description in the field metadata.

    Raises
    ------
    SpecError
        BAD_QUERY for wrong or forbidden SQL, with the close column names; QUERY_LIMIT where a
        limit was hit; BAD_NAME where names clash; BAD_PARAMETER for files that are not local.
    DataError
        ROW_ORDER and ROW_COUNT for a misaligned layer; BAD_FILE for a file that cannot be read.
    """
    limits = limits or Limits()
    tables = _tables(base, layers, id_column, healpix_column, position_columns)
    where = _condition(region, tables.base, healpix_column, position_columns)
    body, outcome = _run("query", sql, tables, limits, aligned=aligned, where=where)
    result = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
    schemas = [table.schema for _, table in tables.named()]
    return with_metadata(result, schemas, plain=outcome["plain"], computed=outcome["computed"])


def explain(
    sql: str,
    *,
    base: TableFiles,
    layers: Mapping[str, TableFiles] = _NO_LAYERS,
    id_column: str | None,
    healpix_column: str = "_healpix_29",
    position_columns: Sequence[str] = _POSITION,
    limits: Limits | None = None,
    aligned: bool = False,
    region: Region | None = None,
) -> str:
    """Return DuckDB's plan of a query as text; nothing but file footers is read.

    Parameters and errors are those of `query`.
    """
    tables = _tables(base, layers, id_column, healpix_column, position_columns)
    where = _condition(region, tables.base, healpix_column, position_columns)
    _, outcome = _run("explain", sql, tables, limits or Limits(), aligned=aligned, where=where)
    return str(outcome["plan"])


def check_alignment(
    *,
    base: TableFiles,
    layers: Mapping[str, TableFiles],
    id_column: str | None,
    healpix_column: str = "_healpix_29",
    position_columns: Sequence[str] = _POSITION,
    limits: Limits | None = None,
) -> None:
    """Compare the keys of every row of every layer with those of the base.

    Once this has passed, ``query(..., aligned=True)`` over the same files is safe.

    Raises
    ------
    DataError
        ROW_ORDER, ROW_COUNT or BAD_FILE, naming the layer and the first rows that differ.
    SpecError
        As `query`.
    """
    if layers:
        tables = _tables(base, layers, id_column, healpix_column, position_columns)
        _run("check", "", tables, limits or Limits(), aligned=False)


def _tables(
    base: TableFiles,
    layers: Mapping[str, TableFiles],
    id_column: str | None,
    healpix_column: str,
    position_columns: Sequence[str],
) -> Tables:
    return Tables.of(
        _local(base),
        {name: _local(layer) for name, layer in layers.items()},
        id_column=id_column,
        healpix_column=healpix_column,
        position_columns=position_columns,
    )


def _condition(
    region: Region | None, base: TableFiles, healpix_column: str, position_columns: Sequence[str]
) -> str:
    """Return an SQL condition on rows; empty for none."""
    if region is None:
        return ""
    missing = [name for name in position_columns if name not in base.schema.names]
    if missing:
        msg = f"the catalog has no column {missing[0]!r}: without positions there is no region"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=missing[0])
    healpix = quoted(healpix_column) if healpix_column in base.schema.names else None
    ra, dec = map(quoted, position_columns)
    return region.sql(ra, dec, healpix)


def _local(table: TableFiles) -> TableFiles:
    return TableFiles(tuple(local_path(file) for file in table.files), table.rows, table.schema)


def _run(
    what: str, sql: str, tables: Tables, limits: Limits, *, aligned: bool, where: str = ""
) -> tuple[memoryview, dict[str, Any]]:
    """Run the child; return the Arrow stream and the line after it."""
    request = {
        "what": what,
        "sql": sql,
        "aligned": aligned,
        "where": where,
        "keys": tables.keys,
        "copies": tables.copies,
        "limits": {**asdict(limits), "threads": limits.threads or cores()},
        "files": {
            name: {
                "files": table.files,
                "rows": table.rows,
                "schema": base64.b64encode(table.schema.serialize()).decode(),
            }
            for name, table in tables.named()
        },
    }
    answer = answer_of(json.dumps(request).encode(), limits)
    # An Arrow stream ends in zeros and JSON holds none: what follows the last zero is ours, whatever the data are.
    end = answer.rfind(b"\0") + 1
    outcome = json.loads(answer[end:])
    if "error" in outcome:
        raise _error(outcome)
    return memoryview(answer)[:end], outcome


def _error(outcome: dict[str, Any]) -> SkyloomError:
    kind: type[SkyloomError] = getattr(errors, outcome["error"])
    return kind(outcome["message"], kind=ErrorKind(outcome["kind"]), **outcome["context"])
