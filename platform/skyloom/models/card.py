"""The model card: what a set of weights is, what it was trained on, how well it does."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skyloom.errors import DataError, ErrorKind

__all__ = ["Bin", "Card", "Plain", "Score"]

Plain = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Score:
    """One number on held-out objects."""

    metric: str
    who: str
    """``ours``, a baseline, or ``reported (…)``."""
    value: float
    error: float = float("nan")
    """1-sigma, from a bootstrap over objects; NaN where none is known."""
    better: str = "higher"
    """``higher`` or ``lower``."""


@dataclass(frozen=True, slots=True)
class Bin:
    """One line of a reliability table."""

    what: str
    low: float
    high: float
    n: int
    mean_p: float
    observed: float


@dataclass(frozen=True, slots=True)
class Card:
    """What a user must know of a set of weights before trusting a column.

    Equal cards give equal TOML, and `from_toml` undoes `to_toml`.
    """

    name: str
    variant: str
    title: str
    question: str
    """``describe``, ``predict`` or ``causal``."""
    source: str
    intended_use: str
    limits: str
    licence: str
    command: str
    """What makes these weights again."""
    evaluate: str
    """What prints these scores again."""
    training: Mapping[str, Plain] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """File name to ``sha256:…``: every file of the bundle but the card."""
    scores: tuple[Score, ...] = ()
    reliability: tuple[Bin, ...] = ()

    def to_toml(self) -> str:
        """Return the card as TOML, keys in a fixed order."""
        lines: list[str] = []
        tables: list[str] = []
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Mapping):
                tables += ["", f"[{entry.name}]", *(f"{_text(k)} = {_text(v)}" for k, v in value.items())]
            elif entry.name in {"scores", "reliability"}:
                for item in value:
                    pairs = (f"{f.name} = {_text(getattr(item, f.name))}" for f in dataclasses.fields(item))
                    tables += ["", f"[[{entry.name}]]", *pairs]
            elif isinstance(value, tuple):
                items = (f"    {_text(item)}," for item in value)
                lines += [f"{entry.name} = [", *items, "]"]
            else:
                lines.append(f"{entry.name} = {_text(value)}")
        return "\n".join([*lines, *tables]) + "\n"

    @classmethod
    def from_toml(cls, text: str, *, where: str = "card.toml") -> Card:
        """Read a card.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if the text is no TOML, or has other keys than a card.
        """
        try:
            found: dict[str, Any] = tomllib.loads(text)
            found["scores"] = tuple(Score(**score) for score in found.get("scores", ()))
            found["reliability"] = tuple(Bin(**each) for each in found.get("reliability", ()))
            for name in ("reads", "writes"):
                found[name] = tuple(found.get(name, ()))
            return cls(**found)
        except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
            msg = f"{where} is no model card: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, file=where) from error


def _text(value: Plain) -> str:
    """Return a value as TOML; JSON's strings are TOML's."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    return json.dumps(value, ensure_ascii=True)
