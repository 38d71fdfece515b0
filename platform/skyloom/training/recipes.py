"""Recipes from files: how much, how long, how fast a system learns."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.models.card import Card
from skyloom.training.request import RECIPE

__all__ = ["make_recipe", "read_recipe"]


def read_recipe(name: str, kind: type[Any], path: Path) -> Any:
    """Read a recipe from a TOML file.

    Parameters
    ----------
    name : str
        The system that is to be trained.
    kind : type
        Its ``Recipe``.
    path : path
        Settings by name; or the ``card.toml`` of a bundle of this system, whose recipe is then
        the one that made it.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If it is no TOML, the card of another system, or `make_recipe` refuses what it says.
    """
    if not path.is_file():
        msg = f"no {path}: --config names a TOML file of settings, or the card.toml of weights to make again"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(path))
    text = path.read_bytes().decode(errors="replace")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path} is no TOML: {error}", kind=ErrorKind.BAD_PARAMETER, file=str(path)) from error
    if "training" in found:
        found = _of_card(name, text, path)
    return make_recipe(name, kind, found, where=str(path))


def make_recipe(name: str, kind: type[Any], settings: Mapping[str, Any], *, where: str = "the recipe") -> Any:
    """Return a recipe with these settings, the others as they are by default.

    Raises
    ------
    SpecError
        If there is no such setting (the close ones are offered), or a value is of another type or refused.
    """
    from pydantic import TypeAdapter, ValidationError

    known = [field.name for field in dataclasses.fields(kind)]
    for key in settings:
        if key not in known:
            msg = f"{where}: training {name} has no setting {key!r}: {close_matches(key, known)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_KEY, setting=key)
    try:
        return TypeAdapter(kind).validate_python(dict(settings))
    except ValidationError as error:
        trouble = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        msg = f"{where}: training {name} refuses {trouble}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name) from error


def _of_card(name: str, text: str, path: Path) -> dict[str, Any]:
    try:
        card = Card.from_toml(text, where=str(path))
    except DataError as error:
        raise SpecError(error.message, kind=ErrorKind.BAD_PARAMETER, file=str(path)) from error
    if card.name != name:
        msg = f"{path} is the card of {card.name}, not of {name}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, file=str(path), found=card.name)
    return {key.removeprefix(RECIPE): value for key, value in card.training.items() if key.startswith(RECIPE)}
