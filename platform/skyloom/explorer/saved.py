"""Selections as SQL files: what `skyloom query` runs, and a page opens again.

The first line holds the state of the page as a comment; the rest is the SELECT.
"""

from __future__ import annotations

import re
from pathlib import Path

from skyloom.catalog.descriptor import NAME_PATTERN
from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["list_selections", "load_selection", "save_selection"]

MARK = "-- skyloom explore: ?"
LARGEST = 100_000


def save_selection(folder: Path, name: str, query: str, sql: str, *, comment: str = "") -> Path:
    """Write ``NAME.sql``; a file that is there is never replaced.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    name : str
        Letters, digits, ``_``, ``.`` and ``-``.
    query : str
        The state of the page, as `State.to_query` gives it.
    sql : str
    comment : str
        Lines to put before the SQL, such as the command that runs it.

    Raises
    ------
    SpecError
        BAD_NAME, or ALREADY_EXISTS.
    """
    path = _path(folder, name)
    noted = "".join(f"-- {line}\n" for line in comment.splitlines())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{MARK}{query}\n{noted}{sql}\n")
    except FileExistsError:
        msg = f"there is a selection {name!r} in {folder} already: choose another name"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, path=str(path)) from None
    return path


def list_selections(folder: Path) -> tuple[str, ...]:
    """Return the names of the selections in a folder; of no folder, none."""
    return tuple(sorted(path.stem for path in folder.glob("*.sql"))) if folder.is_dir() else ()


def load_selection(folder: Path, name: str) -> str:
    """Return the state of the page that a selection was saved from, as parameters of a URL.

    Raises
    ------
    SpecError
        BAD_NAME.
    DataError
        NO_SUCH_FILE, or BAD_FILE if it was not saved by a page.
    """
    path = _path(folder, name)
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline(LARGEST)
    except (FileNotFoundError, UnicodeDecodeError) as error:
        msg = f"there is no selection {name!r} in {folder} ({type(error).__name__})"
        raise DataError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(path)) from None
    if not first.startswith(MARK):
        msg = f"{path} does not start with {MARK!r}: it was not saved by a page; run it with `skyloom query`"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path))
    return first.removeprefix(MARK).rstrip("\n")


def _path(folder: Path, name: str) -> Path:
    if not re.fullmatch(NAME_PATTERN, name):
        msg = f"a selection is named by letters, digits, _ . and -, and {name!r} is not"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, name=name)
    return folder / f"{name}.sql"
