"""SQL over a catalog and its layers: read-only, in a sandboxed process, rows checked by id."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyloom.query.ask import explain_source, query_source, streamed
    from skyloom.query.process import Limits, start_ahead
    from skyloom.query.render import to_json_rows
    from skyloom.query.source import Chosen, Source
    from skyloom.query.sql import check_alignment, explain, query
    from skyloom.query.stream import write_stream
    from skyloom.query.tables import TableFiles
    from skyloom.query.write import RESULT_FORMATS, check_output, write_result

__all__ = [
    "RESULT_FORMATS",
    "Chosen",
    "Limits",
    "Source",
    "TableFiles",
    "check_alignment",
    "check_output",
    "explain",
    "explain_source",
    "query",
    "query_source",
    "start_ahead",
    "streamed",
    "to_json_rows",
    "write_result",
    "write_stream",
]

_HOME = {
    "RESULT_FORMATS": "write",
    "Chosen": "source",
    "Limits": "process",
    "Source": "source",
    "TableFiles": "tables",
    "check_alignment": "sql",
    "check_output": "write",
    "explain": "sql",
    "explain_source": "ask",
    "query": "sql",
    "query_source": "ask",
    "start_ahead": "process",
    "streamed": "ask",
    "to_json_rows": "render",
    "write_result": "write",
    "write_stream": "stream",
}


def __getattr__(name: str) -> Any:
    # Resolved when used: the process of a query, which is started for each, needs none of these.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"skyloom.query.{_HOME[name]}"), name)
