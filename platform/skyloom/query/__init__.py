"""SQL over a catalog and its layers: read-only, in a sandboxed process, rows checked by id."""

from skyloom.query.process import Limits
from skyloom.query.render import render, to_json_rows
from skyloom.query.sql import check_alignment, explain, query
from skyloom.query.tables import TableFiles
from skyloom.query.write import RESULT_FORMATS, write_result

__all__ = [
    "RESULT_FORMATS",
    "Limits",
    "TableFiles",
    "check_alignment",
    "explain",
    "query",
    "render",
    "to_json_rows",
    "write_result",
]
