"""What one browser looks at, as a value: it is the URL, and it is SQL.

Numbers are rounded to seven digits when they come in, so that the page, its URL and its SQL
speak of the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self
from urllib.parse import urlencode

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["LOOPS", "TABS", "WHOLE_SKY", "Box", "Span", "State"]

TABS = ("table", "labels", "sql")
LOOPS = ("anomaly", "followup")
"""As `skyloom.active.rerank` has them."""
LONGEST = 200
"""Characters of a text in the URL: an id, or a column's name."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle. On the sky x is right ascension, and runs east from `x0` to `x1` through 360 if it must."""

    x0: float
    x1: float
    y0: float
    y1: float

    def __post_init__(self) -> None:
        for name in ("x0", "x1", "y0", "y1"):
            value = getattr(self, name)
            if not math.isfinite(value):
                msg = f"a side of a box must be a finite number, got {name}={value}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
            object.__setattr__(self, name, float(f"{value:.7g}"))
        if self.y0 > self.y1:
            msg = f"a box goes from low to high, got y from {self.y0:g} to {self.y1:g}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    def __str__(self) -> str:
        return ",".join(f"{value:.7g}" for value in (self.x0, self.x1, self.y0, self.y1))

    @classmethod
    def of_text(cls, text: str, name: str) -> Self:
        """Read ``x0,x1,y0,y1``.

        Raises
        ------
        SpecError
            BAD_PARAMETER, naming the parameter.
        """
        try:
            x0, x1, y0, y1 = (float(part) for part in text.split(","))
            return cls(x0, x1, y0, y1)
        except (ValueError, SpecError) as error:
            msg = f"{name}={text[:LONGEST]!r} is not four finite numbers x0,x1,y0,y1: {error}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter=name) from None


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high`, both inside."""

    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, float(f"{getattr(self, name):.7g}"))
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            msg = f"a range goes from a finite low to a finite high, got {self.low} to {self.high}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    def __str__(self) -> str:
        return f"{self.low:.7g},{self.high:.7g}"

    @classmethod
    def of_text(cls, text: str, name: str) -> Self:
        """Read ``low,high``.

        Raises
        ------
        SpecError
            BAD_PARAMETER, naming the parameter.
        """
        try:
            low, high = (float(part) for part in text.split(","))
            return cls(low, high)
        except (ValueError, SpecError) as error:
            msg = f"{name}={text[:LONGEST]!r} is not two finite numbers low,high: {error}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter=name) from None


WHOLE_SKY = Box(0.0, 360.0, -90.0, 90.0)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a page shows and that a person chose."""

    x: str
    """Columns of the scatter plot and of the histograms."""
    y: str
    view: Box = WHOLE_SKY
    """What the map shows: degrees; right ascension may leave 0 to 360, and is then meant modulo 360."""
    sky: Box | None = None
    """What is selected on the map, right ascension in [0, 360)."""
    xs: Span | None = None
    ys: Span | None = None
    """What is selected of columns `x` and `y`, in the scatter plot or a histogram."""
    id: str = ""
    """The object that is shown, as text."""
    sort: str = ""
    """The column that the table is sorted by; ``"-"`` before it for descending."""
    page: int = 0
    tab: str = TABS[0]
    loop: str = LOOPS[0]

    @classmethod
    def of_query(
        cls, asked: Mapping[str, str], *, numeric: Sequence[str], columns: Sequence[str], default: State
    ) -> State:
        """Read the parameters of a URL.

        Parameters
        ----------
        asked : mapping of str to str
            What the URL has; anything.
        numeric, columns : sequence of str
            Columns that can be drawn, and that the table can be sorted by.
        default : State
            What is taken for parameters that are not there.

        Raises
        ------
        SpecError
            UNKNOWN_KEY, UNKNOWN_COLUMN or BAD_PARAMETER, with what was found and what there is.
        """
        found: dict[str, Any] = {}
        for name, text in asked.items():
            if name not in _KNOWN:
                msg = f"the address has an unknown parameter {name[:LONGEST]!r}; {close_matches(name, _KNOWN)}"
                raise SpecError(msg, kind=ErrorKind.UNKNOWN_KEY, parameter=name[:LONGEST])
            if len(text) > LONGEST or not text.isprintable():
                msg = f"parameter {name} has {len(text)} characters or unprintable ones; {LONGEST} are allowed"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter=name)
            if name in {"view", "sky"}:
                found[name] = Box.of_text(text, name)
            elif name in {"xs", "ys"}:
                found[name] = Span.of_text(text, name)
            elif name == "page":
                found[name] = _page(text)
            elif name == "id":
                found[name] = text
            else:
                known = {"x": numeric, "y": numeric, "tab": TABS, "loop": LOOPS}.get(name, columns)
                _check(name, text.removeprefix("-") if name == "sort" else text, known)
                found[name] = text
        state = replace(default, **found)
        for name in ("view", "sky"):
            _check_sky(name, getattr(state, name))
        return state

    def to_query(self, default: State) -> str:
        """Return the parameters of a URL that say where this state differs from `default`."""
        said = {
            each.name: str(getattr(self, each.name))
            for each in fields(self)
            if getattr(self, each.name) != getattr(default, each.name) and getattr(self, each.name) is not None
        }
        # A range means nothing without its column, whatever the default becomes.
        said |= {name: getattr(self, name) for name in ("x", "y") if getattr(self, f"{name}s") is not None}
        return urlencode(said)

    @property
    def is_selection(self) -> bool:
        """Whether anything is selected."""
        return not (self.sky is None and self.xs is None and self.ys is None)

    def conditions(self, ra: str, dec: str) -> list[str]:
        """Return what is selected as SQL conditions; none if nothing is.

        Parameters
        ----------
        ra, dec : str
            Names of the position's columns.
        """
        found = []
        if self.sky is not None:
            west, east = _number(self.sky.x0), _number(self.sky.x1)
            joined = "AND" if self.sky.x0 <= self.sky.x1 else "OR"
            found.append(f"({_quoted(ra)} >= {west} {joined} {_quoted(ra)} <= {east})")
            found.append(f"{_quoted(dec)} BETWEEN {_number(self.sky.y0)} AND {_number(self.sky.y1)}")
        for name, span in ((self.x, self.xs), (self.y, self.ys)):
            if span is not None:
                found.append(f"{_quoted(name)} BETWEEN {_number(span.low)} AND {_number(span.high)}")
        return found

    def sql(self, columns: Sequence[str], ra: str, dec: str) -> str:
        """Return the SELECT of the rows that are selected, sorted as the table is."""
        listed = ", ".join(_quoted(name) for name in columns) if columns else "*"
        text = f"SELECT {listed}\nFROM catalog"
        chosen = self.conditions(ra, dec)
        if chosen:
            text += "\nWHERE " + "\n  AND ".join(chosen)
        if self.sort:
            direction = "DESC" if self.sort.startswith("-") else "ASC"
            text += f"\nORDER BY {_quoted(self.sort.removeprefix('-'))} {direction} NULLS LAST"
        return text


_KNOWN = tuple(each.name for each in fields(State))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _number(value: float) -> str:
    return f"{value:.7g}"


def _page(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        msg = f"page={text!r} is no page number: 0 or more"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter="page")
    return int(text)


def _check(name: str, text: str, known: Sequence[str]) -> None:
    if text not in known:
        kind = ErrorKind.BAD_PARAMETER if name in {"tab", "loop"} else ErrorKind.UNKNOWN_COLUMN
        msg = f"the address says {name}={text!r}; {close_matches(text, known)}"
        raise SpecError(msg, kind=kind, parameter=name)


def _check_sky(name: str, box: Box | None) -> None:
    if box is None:
        return
    wide = name == "view" and not (-360 <= box.x0 < box.x1 <= 720 and box.x1 - box.x0 <= 361 and box.y0 < box.y1)
    inside = name == "view" or (0 <= box.x0 <= 360 and 0 <= box.x1 <= 360)
    if wide or not inside or box.y0 < -180 or box.y1 > 180:
        msg = f"{name}={box} is no part of the sky: right ascension and declination from, to, in degrees"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter=name)
