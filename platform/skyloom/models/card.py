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

__all__ = ["Bin", "Card", "Domain", "Input", "Plain", "Score", "Subgroup", "unsaid"]

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
class Input:
    """One image or spectrum per row, as the network was taught to see it."""

    name: str
    shape: tuple[int, ...]
    """Of one row: ``(C, H, W)`` of a cutout, ``(C, L)`` of a spectrum."""
    unit: str = ""
    """``"*"`` where any will do."""
    bands: tuple[str, ...] = ()
    """Along the first axis; empty where any will do."""
    pixel_arcsec: float | None = None
    normalisation: str = ""
    """What is done to the values before the network sees them."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What the training rows were drawn from: the sky that the scores speak of."""

    survey: str
    bands: tuple[str, ...]
    depth: str
    cadence: str
    """``"single epoch"`` for images."""
    selection: str
    """How rows came into the training set, in words."""
    simulated: bool


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One score over a part of the held-out objects: where a good mean hides a bad corner."""

    metric: str
    by: str
    """What divides the objects, such as ``"magnitude"``."""
    group: str
    n: int
    value: float
    """NaN where `reason` says why there is none."""
    error: float = float("nan")
    """1-sigma, from a bootstrap over objects; NaN where none is known."""
    better: str = "higher"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """What a user must know of a set of weights before trusting a column.

    Equal cards give equal TOML, and `from_toml` undoes `to_toml`. Fields after `reliability` came
    later: they are left out of the TOML where they say nothing, and older cards are read as before.
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
    inputs: tuple[Input, ...] = ()
    architecture: Mapping[str, str] = field(default_factory=dict)
    """Digest of each network, by its place in the estimator: see `skyloom.models.architecture`."""
    tolerance: Mapping[str, float] = field(default_factory=dict)
    """By output: the largest absolute difference that reduced precision, another device or an export may
    make to a value; for texts, the largest share of rows whose value may be another one."""
    domain: Domain | None = None
    priors: Mapping[str, float] = field(default_factory=dict)
    """Share of each class among the *eligible* training rows: those that the system scores."""
    out_of_scope: str = ""
    """Uses that the scores say nothing of."""
    subgroups: tuple[Subgroup, ...] = ()

    def to_toml(self) -> str:
        """Return the card as TOML, keys in a fixed order."""
        lines: list[str] = []
        tables: list[str] = []
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if entry.name in _LATER and not value:
                continue
            if isinstance(value, Mapping):
                tables += ["", f"[{entry.name}]", *(f"{_text(k)} = {_text(v)}" for k, v in value.items())]
            elif entry.name in _ARRAYS:
                for item in value:
                    tables += ["", f"[[{entry.name}]]", *_pairs(item)]
            elif isinstance(value, Domain):
                tables += ["", f"[{entry.name}]", *_pairs(value)]
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
            for name, kind in _ARRAYS.items():
                found[name] = tuple(kind(**_tuples(each)) for each in found.get(name, ()))
            if "domain" in found:
                found["domain"] = Domain(**_tuples(found["domain"]))
            for name in ("reads", "writes"):
                found[name] = tuple(found.get(name, ()))
            return cls(**found)
        except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
            msg = f"{where} is no model card: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, file=where) from error


_ARRAYS: Mapping[str, type[Any]] = {"scores": Score, "reliability": Bin, "inputs": Input, "subgroups": Subgroup}
"""Fields that are arrays of tables, and of what."""
_LATER = frozenset({"inputs", "architecture", "tolerance", "domain", "priors", "out_of_scope", "subgroups"})
_OF_NETWORKS = ("inputs", "architecture", "tolerance", "domain", "out_of_scope", "subgroups")


def unsaid(card: Card) -> tuple[str, ...]:
    """Return the fields that the card of a network must fill, and this one leaves empty."""
    return tuple(name for name in _OF_NETWORKS if not getattr(card, name))


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _pairs(item: Any) -> list[str]:
    """Return the lines of a table; None is what is not there."""
    named = ((f.name, getattr(item, f.name)) for f in dataclasses.fields(item))
    return [f"{name} = {_text(value)}" for name, value in named if value is not None]


def _text(value: Plain | tuple[Plain, ...]) -> str:
    """Return a value as TOML; JSON's strings are TOML's."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    return json.dumps(value, ensure_ascii=True)
