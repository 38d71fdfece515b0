"""What the columns of a layer are to a report: scores, p-values of being known, orders worth a look.

Nothing is declared for it: UCDs, units and the names that models share (docs/decisions/0016) say enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["MOST_SCORES", "Ranking", "Roles", "is_number", "magnitude_of", "period_of", "roles_of"]

MOST_SCORES = 4
"""Scores that get a map of the sky; a classifier of fourteen classes would fill a book."""
_BESIDE = ("_raw", "_sd", "_sd_rot", "_err", "_margin", "_fap")
"""Endings of columns that stand beside a score and are none."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of the rows whose first few are shown."""

    column: str
    highest: bool
    """Whether the highest value comes first."""
    title: str


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns a report looks at twice."""

    scores: tuple[Column, ...]
    """Mapped over the sky by their mean."""
    known: tuple[Column, ...]
    """p-values of being like the training rows: mapped by the share below 0.05."""
    rankings: tuple[Ranking, ...]
    left_out: tuple[Column, ...] = ()
    """Scores beyond `MOST_SCORES`, which are not mapped."""


def is_number(dtype: str) -> bool:
    """Return whether values of an Arrow type are counted in bins; truth values are not."""
    return dtype.startswith(("float", "double", "halffloat", "int", "uint", "decimal"))


def roles_of(columns: Sequence[Column], *, scores: Sequence[str] = ()) -> Roles:
    """Find out what columns of a layer are.

    Parameters
    ----------
    columns : sequence of Column
        Those that the layer adds; its flag is passed over.
    scores : sequence of str, optional
        Names of the scores, where the rule would choose others.

    Raises
    ------
    SpecError
        If the layer has no such number; the close names are offered.
    """
    numbers = [c for c in columns if is_number(c.dtype) and not c.name.endswith("_flag")]
    named = {column.name: column for column in numbers}
    for name in scores:
        if name not in named:
            msg = f"the layer has no number {name!r} to take for a score; {close_matches(name, list(named))}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
    known = tuple(column for column in numbers if column.name.endswith("_ood"))
    found = tuple(named[name] for name in scores) or _scores(numbers, known)
    most = len(scores) or MOST_SCORES
    return Roles(found[:most], known, _rankings(numbers, found, known), found[most:])


def _scores(numbers: Sequence[Column], known: Sequence[Column]) -> tuple[Column, ...]:
    plain = [c for c in numbers if c not in known and not c.name.endswith(_BESIDE)]
    likely = [c for c in plain if c.ucd.startswith("stat.probability")]
    named = [c for c in plain if c.name.endswith("_score")]
    return tuple(likely or named or [c for c in plain if not c.ucd.startswith("stat.error")][:2])


def _rankings(numbers: Sequence[Column], scores: Sequence[Column], known: Sequence[Column]) -> tuple[Ranking, ...]:
    found: list[Ranking] = []
    for column in (c.name for c in numbers if c.name.endswith("_entropy")):
        found.append(Ranking(column, False, "Best: the surest"))
        found.append(Ranking(column, True, "Worst: the least sure"))
    anomalous = [c.name for c in numbers if "anomal" in c.name and c.name.endswith("_score")]
    if not found:
        for column in (c.name for c in scores[:2] if c.name not in anomalous):
            found.append(Ranking(column, True, f"Highest {column}"))
            found.append(Ranking(column, False, f"Lowest {column}"))
    found += [Ranking(c.name, False, "Most anomalous: least like the training rows") for c in known]
    for column in anomalous:
        found.append(Ranking(column, True, "Most anomalous"))
        found.append(Ranking(column, False, "Most ordinary"))
    return tuple(found)


def magnitude_of(columns: Sequence[Column], *, wanted: str | None = None) -> Column | None:
    """Return the catalog's column that tells bright rows from faint ones; None where there is none.

    Parameters
    ----------
    columns : sequence of Column
        Of the catalog.
    wanted : str, optional
        Its name; by default the first number whose UCD begins with ``phot.mag``, no distance modulus.

    Raises
    ------
    SpecError
        If there is no number of that name.
    """
    numbers = {c.name: c for c in columns if is_number(c.dtype) and not c.child}
    if wanted is not None:
        if wanted not in numbers:
            msg = f"the catalog has no number {wanted!r} to divide rows by; {close_matches(wanted, list(numbers))}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=wanted)
        return numbers[wanted]
    bright = (c for c in numbers.values() if c.ucd.startswith("phot.mag") and "distMod" not in c.ucd)
    return next(bright, None)


def period_of(columns: Sequence[Column]) -> Column | None:
    """Return the layer's column that light curves repeat by; None where there is none."""
    days = (c for c in columns if c.ucd == "time.period" and c.unit == "d")
    return next(days, None)
