"""Make all shipped weights again, from PLAsTiCC's published files.

python -m skyloom.training.rebuild --data DIR [--out DIR] [--only MODEL]

Twice the same data give twice the same bytes (one thread, fixed seeds).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from skyloom.errors import SkyloomError
from skyloom.evaluation.plasticc import plasticc_table
from skyloom.models.weights import SHIPPED
from skyloom.training.run import LEARNING, train

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Train every system that learns; return 0, or 2 where the data are missing."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.training.rebuild", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=None, help="folder of PLAsTiCC's files (default $SKYLOOM_DATA)"
    )
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of bundles (default: in the package)")
    parser.add_argument("--only", choices=LEARNING, default=None, help="one model instead of all")
    options = parser.parse_args(argv)
    try:
        _say("computing light-curve features")
        table = plasticc_table(options.data)
    except SkyloomError as error:
        _say(str(error))
        return 2
    for name in LEARNING if options.only is None else (options.only,):
        started = time.perf_counter()
        _say(f"training {name} on {table.num_rows} objects")
        card = train(name, table, options.out / name / "plasticc")
        _say(f"  {time.perf_counter() - started:.0f} s; {', '.join(f'{k} {v}' for k, v in card.files.items())}")
        for score in card.scores:
            if score.who == "ours":
                _say(f"  {score.metric}: {score.value:.4f} +- {score.error:.4f}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
