"""Names that may become part of a path: layers, jobs, catalogs, models."""

from __future__ import annotations

import re

from skyloom.errors import ErrorKind, SpecError

__all__ = ["check_name"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it can stand in a path as one harmless component.

    Parameters
    ----------
    name : str
        The name as the user wrote it.
    what : str
        What it names, for the message: ``"layer"``, ``"catalog"``, …

    Raises
    ------
    SpecError
        If it has other characters than letters, digits, ``_``, ``.`` and ``-``, starts with
        ``.`` or ``-``, is empty, or is longer than 128 characters. That keeps a name from
        leaving its directory, from being read as an option, and from hiding.

    Examples
    --------
    >>> check_name("stripe82_v1.2", what="layer")
    'stripe82_v1.2'
    """
    if _NAME.fullmatch(name) is None:
        msg = (
            f"{what} name {name[:80]!r} cannot be used: write 1 to 128 of the characters A-Z a-z 0-9 _ . -, "
            "starting with a letter, a digit or _"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, what=what)
    return name
