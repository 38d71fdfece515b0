"""Make shipped weights again, by the command that each card says.

python -m skyloom.training.rebuild --data DIR [--out DIR] [--only MODEL]

Each command runs in a process of its own and writes into a folder beside; weights are replaced
when their training has ended. One seed, one thread: on the same machine the same bytes come out.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from skyloom.models.card import Card
from skyloom.models.weights import CARD, SHIPPED, variants
from skyloom.training.learners import names

__all__ = ["main", "words_of"]

_WRONG = 2


def words_of(card: Card, *, card_file: Path, data: Path | None, output: Path) -> list[str]:
    """Return the words of a card's command, with its placeholders filled in; the program first.

    Parameters
    ----------
    card : Card
    card_file : path
        Where it lies: the command takes the recipe from it.
    data : path, optional
        Folder of published files; None: the command looks in ``$SKYLOOM_DATA``.
    output : path
    """
    words = shlex.split(card.command)
    if data is None and "DATA" in words:
        at = words.index("DATA")
        words[at - 1 : at + 1] = []
    filled = {"card.toml": str(card_file), "DATA": str(data), "DIR": str(output)}
    return [filled.get(word, word) for word in words]


def main(argv: Sequence[str] | None = None) -> int:
    """Train the weights of every system that learns; return 0, or the exit code of the command that failed."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.training.rebuild", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=None, help="folder of published files (default $SKYLOOM_DATA)"
    )
    parser.add_argument("--root", type=Path, default=SHIPPED, help="folder of bundles (default: in the package)")
    parser.add_argument("--out", type=Path, default=None, help="where to write (default: over the old ones)")
    parser.add_argument("--only", choices=names(), default=None, help="one model instead of all")
    options = parser.parse_args(argv)
    out = options.out or options.root
    for name in names() if options.only is None else (options.only,):
        for variant in variants(name, root=options.root):
            code = _again(options.root / name / variant, out / name / variant, options.data)
            if code:
                return code
    return 0


def _again(bundle: Path, target: Path, data: Path | None) -> int:
    card = Card.from_toml((bundle / CARD).read_text(), where=str(bundle / CARD))
    if shlex.split(card.command)[:3] != ["skyloom", "model", "train"]:
        _say(f"{bundle / CARD}: expected a command `skyloom model train ...`, found {card.command!r}")
        return _WRONG
    scratch = Path(tempfile.mkdtemp(prefix="skyloom-weights-"))
    made = scratch / bundle.name
    program, *words = words_of(card, card_file=bundle / CARD, data=data, output=made)
    _say(shlex.join([program, *words]))
    done = subprocess.run(  # noqa: S603  (a list of words, and always this package's own command)
        [sys.executable, "-m", "skyloom", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if done.returncode:
        _say(f"failed with exit code {done.returncode}; {bundle} is as it was, checkpoints are in {scratch}")
        return done.returncode
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        path.unlink()
    for path in sorted(made.iterdir()):
        shutil.move(path, target / path.name)
    shutil.rmtree(scratch)
    again = Card.from_toml((target / CARD).read_text(), where=str(target / CARD))
    same = (
        "the same bytes as before"
        if again.files == card.files
        else "other bytes than before; another processor or torch rounds another way"
    )
    _say(f"{card.name} {card.variant}: {same}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
