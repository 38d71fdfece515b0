"""Learning curves: what a training run says of itself, as a table and as a plot."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from skyloom.training.checkpoint import replace_file

__all__ = ["Epoch", "History", "write_plot", "write_table"]

logger = logging.getLogger(__name__)

TABLE, PLOT = "curve.csv", "curve.png"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One passage over the examples."""

    epoch: int
    """From 1."""
    learning_loss: float
    """Mean over the rows learnt from, each at the moment when it was shown."""
    validation_loss: float
    """Mean over the validation rows, at the end of the epoch."""
    learning_rate: float
    """At the beginning of the epoch."""


@dataclass(frozen=True, slots=True)
class History:
    """What `skyloom.training.loop.fit` did."""

    epochs: tuple[Epoch, ...]
    stopped_early: bool
    """Whether patience ended it before its last epoch."""

    @property
    def best(self) -> Epoch:
        """The first epoch of the least validation loss: the one whose weights were kept."""
        return min(self.epochs, key=lambda each: each.validation_loss)


def write_table(folder: Path, epochs: Sequence[Epoch]) -> Path:
    """Write ``curve.csv``: one line an epoch; numbers as Python reads them back, bit for bit."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(each) for each in epochs)
    return replace_file(folder / TABLE, text.getvalue().encode())


def write_plot(folder: Path, history: History, *, title: str = "") -> Path | None:
    """Draw ``curve.png``: both losses over the epochs, and the epoch that was kept.

    Returns
    -------
    path or None
        None where matplotlib (extra ``train``) is missing: a run of hours does not fail for a picture.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        logger.warning("no %s: matplotlib is missing; pip install 'skyloom[train]' brings it", PLOT)
        return None
    number = [each.epoch for each in history.epochs]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(number, [each.learning_loss for each in history.epochs], label="rows learnt from")
    axes.plot(number, [each.validation_loss for each in history.epochs], label="validation")
    axes.axvline(history.best.epoch, color="0.5", linestyle=":", label=f"kept: epoch {history.best.epoch}")
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120, metadata={"Software": None})
    return replace_file(folder / PLOT, drawn.getvalue())
