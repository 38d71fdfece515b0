"""Write the card of stored weights again, as their training would today: nothing is trained.

    python -m skyloom.training.recard gamornet [--weights VARIANT|FOLDER]

Scores are measured again from the stored weights, seed and recipe. The arrays stay byte for byte; the digest
of the bundle, and with it the id of every job, changes where the card does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from skyloom.errors import ErrorKind, SkyloomError, SpecError, close_matches
from skyloom.models.card import Card, Plain
from skyloom.models.weights import SHIPPED, default_variant, is_path, read_bundle, rewrite_card
from skyloom.runtime.contract import Weights
from skyloom.runtime.device import DeviceSettings, prepare, use

__all__ = ["main", "recard"]

CardOf = Callable[[Weights, Mapping[str, Plain], str], Card]

_CARDS = {"gamornet": "skyloom.training.gamornet_card", "radio-galaxy": "skyloom.training.radio_card"}
"""Where `card_of` of a system lies; a system that learns from published files makes its card in `rebuild`."""


def recard(name: str, weights: str | None = None) -> Card:
    """Measure stored weights again and give them a new card.

    Parameters
    ----------
    name : str
        A system.
    weights : str, optional
        Name of shipped weights, or the path of a bundle; default: the first.

    Raises
    ------
    SpecError
        If the system's cards are not made from weights alone.
    NotFoundError, DataError
        If there are no such weights, or they are not those of their card.
    """
    if name not in _CARDS:
        msg = f"cards of {name!r} are written by its training alone; {close_matches(name, _CARDS)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_MODEL, model=name)
    chosen = weights or default_variant(name) or "none"
    folder = Path(chosen) if is_path(chosen) else SHIPPED / name / chosen
    old, stored = read_bundle(folder)
    card_of: CardOf = import_module(_CARDS[name]).card_of
    with use(DeviceSettings(device="cpu", threads=1)) as settings:
        prepare(settings)
        return rewrite_card(folder, card_of(stored, old.training, old.variant))


def main(argv: Sequence[str] | None = None) -> int:
    """Write a card; return 0, or 2 where the request is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.training.recard", description=__doc__)
    parser.add_argument("model", help="name of the system")
    parser.add_argument("--weights", default=None, help="name, or path of the folder (default: the first shipped)")
    options = parser.parse_args(argv)
    try:
        card = recard(options.model, options.weights)
    except SkyloomError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(
        f"{card.name} {card.variant}: {len(card.scores)} scores, {len(card.subgroups)} of subgroups\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
