"""Files that a user names by a file, a directory or a pattern; and where other processes find our modules."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from skyloom.errors import ErrorKind, NotFoundError

__all__ = ["files_at", "module_path"]


def files_at(place: str, endings: Sequence[str], *, what: str) -> list[Path]:
    """Return the files at a place, sorted by name.

    Parameters
    ----------
    place : str
        A file or a pattern, which may have any ending; or a directory, of which all files
        with one of `endings` are taken, however deep.
    endings : sequence of str
        Lower case, such as ``".fits"``.
    what : str
        What is looked for, for the message.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    path = Path(place)
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.name.lower().endswith(tuple(endings))]
    elif glob.has_magic(place) and not path.is_file():
        files = [Path(name) for name in sorted(glob.glob(place, recursive=True))]  # noqa: PTH207 - may be absolute
    else:
        files = [path] if path.is_file() else []
    if not files:
        msg = f"no {what} at {place}; name a file, a directory or a pattern"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, path=place)
    return files


def module_path() -> str:
    """Return ``PYTHONPATH`` for a process that shall find what this one finds, wherever it runs."""
    return os.pathsep.join(os.path.abspath(p) for p in sys.path if p)  # noqa: PTH100  (resolves no links)
