"""Names that may become part of a path, and locations that may be written down."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from skyloom.errors import ErrorKind, SpecError

__all__ = ["check_inside", "check_location", "check_name"]

_ELSEWHERE = frozenset({"", ".", ".."})
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


def check_inside(name: str, *, root: str) -> tuple[str, ...]:
    """Return the components of a name inside a store, none of which leads out of it.

    Raises
    ------
    SpecError
        If `name` is absolute or has an empty, ``.`` or ``..`` component.

    Examples
    --------
    >>> check_inside("flares/refs", root="/layers")
    ('flares', 'refs')
    """
    parts = tuple(name.split("/"))
    if "\0" in name or not _ELSEWHERE.isdisjoint(parts):
        msg = f"{name!r} is no name inside the store {root}: it has an empty, '.' or '..' component"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME)
    return parts


def check_location(location: str, *, what: str) -> str:
    """Return `location`, a path or URL, if it can be written into files and messages.

    Locations end up in job files, plans, task descriptions, provenance and error messages, so
    none may carry a secret: keys come from the environment of each process that needs them.

    Parameters
    ----------
    location : str
        As the user wrote it.
    what : str
        What lies there, for the message: ``"store"``, ``"catalog"``, …

    Raises
    ------
    SpecError
        If a URL has a user, a password, a query or a fragment. The message repeats none of them.

    Examples
    --------
    >>> check_location("s3://bucket/layers", what="store")
    's3://bucket/layers'
    """
    if "://" not in location:
        return location
    parts = urlsplit(location)
    # A key with a / in it ends the host early, and its @ is then in the path.
    cut = re.search(r":(?!\d*$)", re.sub(r"^\[.*\]", "", parts.netloc)) or (
        ":" in parts.netloc and "@" in parts.path
    )
    found = {
        "a user name or password": "@" in parts.netloc or bool(cut),
        "a query (?…)": "?" in location,
        "a fragment (#…)": "#" in location,
    }
    if any(found.values()):
        carried = " and ".join(name for name, there in found.items() if there)
        place = f"{parts.scheme}://" + ("…" if cut else f"{parts.netloc.rpartition('@')[2]}{parts.path}")
        msg = (
            f"the URL of the {what} at {place} carries {carried}, which would end up in files and logs. Write it "
            "without, and put keys into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, …) or the "
            "shared configuration of every machine that runs this"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, what=what)
    return location
