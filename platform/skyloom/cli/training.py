"""`skyloom model train` and `skyloom model evaluate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json, show_table, show_text, show_title
from skyloom.errors import ErrorKind, SpecError, TransientError

if TYPE_CHECKING:
    from skyloom.jobs.labelled import LabelledCatalog

__all__ = ["evaluate", "show_scores", "train"]

Json = Annotated[bool, Parameter(negative=())]
Device = Literal["auto", "cpu", "cuda"]
Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())]


def train(
    model: str,
    /,
    *,
    output: Path,
    config: Path | None = None,
    device: Device = "auto",
    seed: int = 0,
    data: Path | None = None,
    catalog: str | None = None,
    label: str | None = None,
    tensors: Words = (),
    simulated: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Train a model on a split by object, and write its weights and card.

    For example:
        skyloom model train transient-class --data /data/plasticc --output weights/mine
        skyloom model train gamornet --config recipe.toml --device cuda --output weights/gamornet/mine
        skyloom model train gamornet --config recipe.toml --device cuda --output weights/gamornet/mine --resume
        skyloom model train gamornet --catalog hats/mine --label morphology --tensors cutout=stores/mine
            --output weights/mine

    Parameters
    ----------
    model
        The model's name.
    output
        The folder that gets card.toml and model.safetensors; its name is that of the
        weights. Checkpoints and learning curves go to the folder OUTPUT.training.
    config
        A TOML file of settings of the training; or the card.toml of weights, to train as
        they were trained.
    device
        "auto" (a GPU where there is one), "cpu" or "cuda", for networks.
    seed
        Of the training. The split by object does not depend on it.
    data
        The folder of the training set's published files; $SKYLOOM_DATA unless told.
    catalog
        A labelled catalog of your own to learn from, for systems that do.
    label
        Its column of labels; a row without one is left out.
    tensors
        NAME=STORE: where the images or spectra lie that the system reads.
    simulated
        Say in the card that the catalog's rows are simulated.
    resume
        Go on from the checkpoints of a training that was stopped.
    json
        Print the card as JSON, for programs.
    """
    import dataclasses

    from skyloom.cli.progress import training_progress
    from skyloom.runtime.device import DeviceSettings
    from skyloom.training import train as train_model

    rows = _labelled(catalog, label, tensors, simulated=simulated, data=data)
    with training_progress(model, shown=not json) as progress, _resumable(output):
        card = train_model(
            model,
            output,
            recipe=config,
            data=rows or data,
            seed=seed,
            device=DeviceSettings(device=device),
            resume=resume,
            progress=progress,
        )
    shown = dataclasses.asdict(card)
    if json:
        show_json(shown)
    else:
        show_title(f"{model}: weights in {output}")
        show_scores(shown)
    return DONE


def evaluate(
    model: str,
    /,
    *,
    weights: str | None = None,
    device: Device = "auto",
    data: Path | None = None,
    catalog: str | None = None,
    label: str | None = None,
    tensors: Words = (),
    simulated: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Measure a model's scores again, from the stored weights, beside the baselines.

    For example:
        skyloom model evaluate transient-class --data /data/plasticc
        skyloom model evaluate gamornet --json

    Parameters
    ----------
    model
        The model's name.
    weights
        Which weights of it, by name or by the path of their folder; its default ones unless told.
    device
        "auto" (a GPU where there is one), "cpu" or "cuda", for networks.
    data
        The folder of the published files; $SKYLOOM_DATA unless told.
    catalog
        A labelled catalog to measure on, for systems that can; rows that trained are left out.
    label
        Its column of labels.
    tensors
        NAME=STORE: where the images or spectra lie that the system reads.
    simulated
        Say with each score that the catalog's rows are simulated.
    json
        Print JSON, for programs.
    """
    from skyloom.evaluation import evaluate as measure
    from skyloom.runtime.device import DeviceSettings

    rows = _labelled(catalog, label, tensors, simulated=simulated, data=data)
    measured = measure(model, weights, rows or data, device=DeviceSettings(device=device, threads=1)).as_dict()
    if json:
        show_json(measured)
    else:
        show_title(f"{model}, weights {measured['variant']}: {measured['held_out']:,} held-out objects")
        show_scores(measured)
        show_text(f"\n{measured['note']}")
    return DONE


def show_scores(card: Mapping[str, Any]) -> None:
    """Print scores and reliability of a card, or of what was measured, as tables."""
    show_table(map(_rounded, card["scores"]), title="\nscores on held-out objects")
    if card["reliability"]:
        title = "\nreliability: probability given, and how often it came true"
        show_table(map(_rounded, card["reliability"]), title=title)
    if card.get("subgroups"):
        show_table(map(_rounded, card["subgroups"]), title="\nscores by subgroup")


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for people: four decimals, and nothing where a number is not known."""
    return {
        name: (None if math.isnan(value) else f"{value:.4f}") if isinstance(value, float) else value
        for name, value in row.items()
    }


def _labelled(
    catalog: str | None, label: str | None, tensors: tuple[str, ...], *, simulated: bool, data: Path | None
) -> LabelledCatalog | None:
    """Return the labelled catalog that was named, if one was."""
    from skyloom.jobs.labelled import LabelledCatalog

    if catalog is None:
        if label is not None or tensors or simulated:
            msg = "--label, --tensors and --simulated speak of a labelled catalog: name it with --catalog"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return None
    if label is None or data is not None:
        msg = "--catalog needs --label COLUMN" if label is None else "name --data or --catalog, not both"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    odd = [word for word in tensors if not all(word.partition("="))]
    if odd:
        msg = f"--tensors takes NAME=STORE, as in --tensors cutout=stores/mine; got {odd[0]!r}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    stores = {name: place for name, _, place in (word.partition("=") for word in tensors)}
    return LabelledCatalog(catalog, label, tensors=stores, simulated=simulated)


@contextmanager
def _resumable(output: Path) -> Iterator[None]:
    """Turn Ctrl-C into the news that a training can go on."""
    try:
        yield
    except KeyboardInterrupt:
        msg = f"interrupted; what is in {output}.training is kept: the same command with --resume goes on from it"
        raise TransientError(msg, kind=ErrorKind.INTERRUPTED) from None
