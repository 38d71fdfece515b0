"""What a command prints: tables, records, JSON, errors.

A terminal gets colour and boxes; a pipe or a file gets plain, aligned text; ``--json``
gets JSON and nothing else on stdout. Text that comes from catalogs is printed as text:
control characters and markup in it do nothing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skyloom.errors import ErrorKind, NotFoundError, SkyloomError, SpecError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "TOO_MANY_BAD",
    "WRONG_REQUEST",
    "cell",
    "exit_code",
    "show_error",
    "show_json",
    "show_record",
    "show_table",
    "show_text",
    "show_title",
]

DONE, FAILED, WRONG_REQUEST, TOO_MANY_BAD, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done; failed; the request is wrong; bad rows above the job's limit; Ctrl-C."""

LIST_SHOWN = 4
"""Values of a list that a cell shows: a light curve has hundreds."""


def exit_code(error: SkyloomError) -> int:
    """Return the exit code that stands for `error`."""
    if error.kind is ErrorKind.TOO_MANY_BAD_ROWS:
        return TOO_MANY_BAD
    if error.kind is ErrorKind.INTERRUPTED:
        return INTERRUPTED
    return WRONG_REQUEST if isinstance(error, SpecError | NotFoundError) else FAILED


def show_error(error: SkyloomError) -> None:
    """Print kind and message on stderr: what was found, where, and the way out."""
    console = _console(stderr=True)
    label = f"error [{error.kind}]"
    console.print(label, style="bold red", markup=False, highlight=False, end=": ", soft_wrap=True)
    console.print(clean(error.message), markup=False, highlight=False, soft_wrap=True)


def show_title(text: str) -> None:
    """Print a line that stands above what follows."""
    _console().print(clean(text), style="bold", markup=False, highlight=False, soft_wrap=True)


def show_text(text: str) -> None:
    """Print text as it is."""
    _console().print(clean(text), markup=False, highlight=False, soft_wrap=True)


def show_json(value: Any) -> None:
    """Print `value` as JSON: NaN and infinities as null, integers exact."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def show_record(record: Mapping[str, Any], *, thousands: bool = True) -> None:
    """Print one thing: a name and a value a line; integers as counts unless told."""
    width = max(map(len, record), default=0)
    console = _console()
    for name, value in record.items():
        console.print(f"{name.replace('_', ' '):<{width}}  ", style="dim", markup=False, highlight=False, end="")
        console.print(cell(value, thousands=thousands), markup=False, highlight=False, soft_wrap=True)


def show_table(
    rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str] = (), title: str = "", as_json: bool = False
) -> None:
    """Print a table with one line a row, or a JSON list with one object a row.

    Parameters
    ----------
    rows : iterable of mapping
        Column name to value. A missing or null value is an empty cell.
    columns : sequence of str
        What to show, in this order; all columns of the first row unless told.
    title : str
        A line above the table; not in the JSON.
    as_json : bool
        Whether a program reads it.
    """
    listed = [dict(row) for row in rows]
    names = list(columns) or (list(listed[0]) if listed else [])
    if as_json:
        show_json([{name: row.get(name) for name in names} for row in listed])
        return
    if title:
        show_title(title)
    if not listed:
        sys.stdout.write("(none)\n")
        return
    cells = [[cell(row.get(name)) for name in names] for row in listed]
    right = [all(_is_number(row.get(name)) for row in listed) for name in names]
    console = _console()
    if console.is_terminal:
        _boxed(console, names, cells, right)
    else:
        sys.stdout.write(_aligned(names, cells, right))


def cell(value: Any, *, thousands: bool = False) -> str:
    r"""Return the text of a value: a float with six significant digits, an integer in full.

    Parameters
    ----------
    value : object
        Anything; None is empty.
    thousands : bool
        Whether integers are counts (commas help) rather than ids (commas harm).

    Examples
    --------
    >>> [cell(v) for v in (1933544, 0.12345678, None, "a\x1b[31mb", True)]
    ['1933544', '0.123457', '', 'a[31mb', 'yes']
    >>> cell(1933544, thousands=True)
    '1,933,544'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if thousands else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        shown = ", ".join(cell(item, thousands=thousands) for item in value[:LIST_SHOWN])
        return shown if len(value) <= LIST_SHOWN else f"{shown}, … ({len(value)})"
    if isinstance(value, Mapping):
        value = "; ".join(f"{name}: {cell(item)}" for name, item in value.items())
    return "" if value is None else clean(str(value))


def clean(text: str) -> str:
    """Return `text` without control characters (a terminal would obey them), newlines kept."""
    return "".join(c for c in text if c == "\n" or (c.isprintable()))


def plain(value: Any) -> Any:
    """Return `value` in JSON's own types; what JSON has no type for becomes text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _boxed(console: Console, names: list[str], cells: list[list[str]], right: list[bool]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, is_right in zip(names, right, strict=True):
        table.add_column(Text(clean(name)), justify="right" if is_right else "left", overflow="fold")
    for line in cells:
        table.add_row(*(Text(text) for text in line))
    console.print(table)


def _aligned(names: list[str], cells: list[list[str]], right: list[bool]) -> str:
    lines = [[clean(name) for name in names], *([text.replace("\n", " ") for text in line] for line in cells)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    padded = (
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )
    return "\n".join(padded) + "\n"
