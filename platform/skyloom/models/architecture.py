"""Which networks an estimator holds, and whether they are those that its card was written for.

A card pins a digest of each network's parts. Arrays of the right names and shapes may belong to a
network with another stride or slope, which would compute other columns under the same card: such
a bundle is refused when its estimator is built.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from skyloom.errors import DataError, ErrorKind
from skyloom.models.card import Card
from skyloom.runtime.contract import System, Weights
from skyloom.runtime.networks import Network, architecture_digest

__all__ = ["architecture_of", "build_checked", "check_architecture", "networks_of"]


def networks_of(estimator: Any) -> dict[str, Network]:
    """Return the networks of an estimator, by their places in it, such as ``"networks.0"``.

    An estimator is a network (its place is ``"net"``), or a dataclass, mapping, tuple or list of
    what is one; other objects are not looked into.
    """
    return {place or "net": network for place, network in _found(estimator, "")}


def _found(thing: Any, place: str) -> Iterator[tuple[str, Network]]:
    if isinstance(thing, Network):
        yield place, thing
        return
    parts: dict[str, Any] = {}
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        parts = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    elif isinstance(thing, Mapping):
        parts = {str(name): part for name, part in thing.items()}
    elif isinstance(thing, tuple | list):
        parts = {str(number): part for number, part in enumerate(thing)}
    for name, part in parts.items():
        yield from _found(part, f"{place}.{name}" if place else name)


def architecture_of(estimator: Any) -> dict[str, str]:
    """Return the digest of each network of an estimator, by its place: what a card pins."""
    return {place: architecture_digest(network.module) for place, network in networks_of(estimator).items()}


def check_architecture(card: Card, estimator: Any) -> None:
    """Refuse an estimator whose networks are not those of its card; cards that pin none let all pass.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS``, naming the networks that differ.
    """
    if not card.architecture:
        return
    found = architecture_of(estimator)
    if found == card.architecture:
        return
    places = sorted({*found, *card.architecture})
    odd = [place for place in places if found.get(place) != card.architecture.get(place)]
    msg = (
        f"weights {card.variant} of {card.name} were made for another architecture than this version of skyloom "
        f"builds: {', '.join(odd)} differ. Use the skyloom that wrote them, or train again: {card.command}"
    )
    raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=card.name, variant=card.variant)


def build_checked(system: System, config: Any, bundle: tuple[Card, Weights] | None) -> Any:
    """Return the estimator of a bundle, its architecture held against the card; without one, that of none.

    Raises
    ------
    SpecError, DataError
        As `System.build` and `check_architecture`.
    """
    if bundle is None:
        return system.build(config, None)
    card, weights = bundle
    estimator = system.build(config, weights)
    check_architecture(card, estimator)
    return estimator
