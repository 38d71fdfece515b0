"""A query's result for people (rich table) and for programs (JSON rows)."""

from __future__ import annotations

import decimal
import math
import unicodedata
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["printable", "render", "to_json_rows"]

_CELL_CHARS = 48
_LIST_VALUES = 3


def render(table: pa.Table, max_rows: int = 20) -> Group:
    """Return the first rows as a table that rich prints, with type and unit under each name.

    Text from the data does nothing to a terminal: markup is not read, and control and
    direction characters are shown as escapes.

    Parameters
    ----------
    table : pyarrow.Table
        A query's result.
    max_rows : int
        How many rows to show; a line below says how many there are.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    more = (
        f"first {max_rows:,} of {table.num_rows:,} rows"
        if table.num_rows > max_rows
        else f"{table.num_rows:,} rows"
    )
    shown = Table(pad_edge=False)
    for field in table.schema:
        header = Text(printable(field.name), style="bold")
        header.append(f"\n{_under_header(field)}", style="dim not bold")
        shown.add_column(header, justify="right" if _is_number(field.type) else "left")
    columns = [column.slice(0, max_rows).to_pylist() for column in table.columns]
    for row in zip(*columns, strict=True):
        shown.add_row(*(Text(_cell(value)) for value in row))
    return Group(shown, Text(more, style="dim"))


def to_json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows that `json.dumps` takes, with every integer exact.

    NaN and infinities become None, times ISO 8601, bytes hexadecimal, whole decimals (sums
    of integers) int and other decimals float. Where two result columns have one name, the
    later ones get ``_2``, ``_3``, ….

    Examples
    --------
    >>> to_json_rows(pa.table({"id": pa.array([2**63 + 1], pa.uint64()), "x": [float("nan")]}))
    [{'id': 9223372036854775809, 'x': None}]
    """
    names: list[str] = []
    for name in table.column_names:
        count = 1
        unique = name
        while unique in names:
            count += 1
            unique = f"{name}_{count}"
        names.append(unique)
    return [{k: _plain(v) for k, v in row.items()} for row in table.rename_columns(names).to_pylist()]


def printable(text: str) -> str:
    r"""Return `text` with everything that could act on a terminal shown as an escape.

    Examples
    --------
    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    return "".join(c if _is_harmless(c) else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


# Control, format (bidi, zero width), surrogate, private, unassigned; ends of lines and paragraphs.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _is_harmless(char: str) -> bool:
    return unicodedata.category(char) not in _ACTING


def _under_header(field: pa.Field) -> str:
    unit = (field.metadata or {}).get(b"unit", b"").decode(errors="replace")
    dtype = str(field.type)
    short = dtype if len(dtype) <= 24 else f"{dtype[:23]}…"
    return printable(f"{short} [{unit}]" if unit else short)


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        first = ", ".join(_cell(item) for item in value[:_LIST_VALUES])
        return f"[{first}]" if len(value) <= _LIST_VALUES else f"[{first}, … {len(value)}]"
    if isinstance(value, dict):
        return _cut("{" + ", ".join(f"{printable(str(k))}: {_cell(v)}" for k, v in value.items()) + "}")
    plain = _plain(value)
    return _cut(printable(str(plain)))


def _cut(text: str) -> str:
    return text if len(text) <= _CELL_CHARS else f"{text[: _CELL_CHARS - 1]}…"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, decimal.Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    elif isinstance(value, float):
        value = value if math.isfinite(value) else None
    elif isinstance(value, bytes):
        value = value.hex()
    else:
        value = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return value
