"""DuckDB's errors in skyloom's words: what to change, without DuckDB's internals."""

from __future__ import annotations

import re

from skyloom.errors import DataError, ErrorKind, SkyloomError, SpecError, close_matches
from skyloom.query.tables import Tables
from skyloom.query.views import EMPTY, ROW_ORDER_MARK

__all__ = ["as_skyloom_error"]

_PREFIX = re.compile(r"^[A-Z][A-Za-z ]*Error: ")
# Advice that the sandbox makes useless, and stack traces.
_USELESS = re.compile(
    r"(\n*Possible solutions:.*|\n*Candidate bindings:.*?(?=\nLINE|\Z)|\n*Stack Trace:.*|Use \"SET .*?\" to .*?\."
    r"|\n*See also https?://\S+|\n*Did you mean .*?\?)",
    re.DOTALL,
)
_NO_MEMORY = ("Out of Memory Error", "bad allocation", "std::bad_alloc", "malloc of size", "realloc of size")
_UNKNOWN = (
    re.compile(r'Referenced column "([^"]+)"'),
    re.compile(r'does not have a column named "([^"]+)"'),
    re.compile(r'Could not find key "([^"]+)" in struct', re.IGNORECASE),
)


def as_skyloom_error(error: BaseException, tables: Tables, memory_bytes: int) -> SkyloomError:
    """Return the skyloom error for what DuckDB or Arrow raised while it ran a query.

    Returns
    -------
    SkyloomError
        DataError ROW_ORDER for a misaligned layer, DataError BAD_FILE for a file that cannot be
        read, SpecError QUERY_LIMIT for the memory limit, SpecError BAD_QUERY for the rest.
    """
    message = str(error)
    if ROW_ORDER_MARK in message:
        return _row_order(message, tables)
    if isinstance(error, MemoryError) or any(word in message for word in _NO_MEMORY):
        msg = (
            f"the query needs more than memory_bytes={memory_bytes:,}: select fewer columns or rows, aggregate, "
            f"or raise the limit"
        )
        return SpecError(msg, kind=ErrorKind.QUERY_LIMIT, memory_bytes=memory_bytes)
    for table, files in tables.named():
        bad = next((file for file in files.files if file in message), None)
        if bad is not None:
            msg = f"{bad} of {table!r} cannot be read as the Parquet file it should be: {_clean(message)}"
            return DataError(msg, kind=ErrorKind.BAD_FILE, file=bad, table=table)
    return SpecError(f"{_clean(message)}{_offer(message, tables)}", kind=ErrorKind.BAD_QUERY)


def _row_order(message: str, tables: Tables) -> DataError:
    layer, _, rest = message.partition(f"{ROW_ORDER_MARK}|")[2].partition("|")
    base_key, _, layer_key = rest.partition("\n")[0].partition("|")
    key = tables.keys[0]
    found = f"{key}={base_key} of the catalog stands beside {key}={layer_key}"
    if base_key == layer_key:
        found = f"the row {key}={base_key} has another {tables.keys[-1]}"
    msg = (
        f"layer {layer!r} is not aligned with the catalog: {found}. It was made from another version of the "
        f"catalog, or its files were changed; run its job again"
    )
    return DataError(msg, kind=ErrorKind.ROW_ORDER, layer=layer)


def _clean(message: str) -> str:
    shown = _USELESS.sub("", _PREFIX.sub("", message)).replace(EMPTY, "").strip()
    return shown if len(shown) <= 1000 else shown[:1000] + " ..."


def _offer(message: str, tables: Tables) -> str:
    for pattern in _UNKNOWN:
        if found := pattern.search(message):
            known = {name for _, table in tables.named() for name in _names(table.schema)}
            return f"\n{found[1]!r}: {close_matches(found[1], known)}"
    return ""


def _names(schema: object) -> list[str]:
    import pyarrow as pa

    assert isinstance(schema, pa.Schema)
    nested = [
        f"{f.name}.{f.type.field(i).name}"
        for f in schema
        if pa.types.is_struct(f.type)
        for i in range(f.type.num_fields)
    ]
    return [*schema.names, *nested]
