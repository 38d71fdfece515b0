"""`skyloom model`: list, describe, check, train, evaluate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, show_json, show_record, show_table, show_text, show_title
from skyloom.errors import SpecError

if TYPE_CHECKING:
    from skyloom.columns import Column
    from skyloom.models.card import Card
    from skyloom.runtime.contract import System

__all__ = ["app"]

app = cyclopts.App(
    name="model",
    help="List, describe, check, train and evaluate models.",
    help_epilogue="",
)
Json = Annotated[bool, Parameter(negative=())]
Device = Literal["auto", "cpu", "cuda"]


@app.command(name="list")
def list_(*, json: Json = False) -> int:
    """List the models there are, and their weights.

    For example:
        skyloom model list
        skyloom model list --json

    Parameters
    ----------
    json
        Print a JSON list, for programs.
    """
    from skyloom.models import registry
    from skyloom.models.weights import variants

    rows = [
        {"model": name, "weights": list(variants(name)), "does": getattr(registry.system(name), "TITLE", "")}
        for name in registry.names()
    ]
    show_table(rows, as_json=json)
    return DONE


@app.command
def describe(model: str, /, *, weights: str | None = None, job: Path | None = None, json: Json = False) -> int:
    """Print a model's card: what it reads and writes, its settings, flags, limits, scores.

    For example:
        skyloom model describe transient-class
        skyloom model describe lightcurve-features --json
        skyloom model describe colors --job jobs/colors-gaia.toml

    Parameters
    ----------
    model
        The model's name.
    weights
        Which weights of it; its default ones unless told.
    job
        A job file whose settings to take: what a model reads and writes may depend on them.
    json
        Print JSON, for programs.
    """
    from skyloom.models import registry
    from skyloom.models.weights import default_variant, load_weights

    system = registry.system(model)
    variant = weights or default_variant(model)
    card = load_weights(model, variant)[0] if variant else None
    described = _described(system, card, _config(system, job))
    if json:
        show_json(described)
    else:
        _show(described)
    return DONE


@app.command
def check(model: str, /, *, weights: str | None = None, job: Path | None = None, json: Json = False) -> int:
    """Check that a model keeps the contract that layers rest on; exit code 1 if it does not.

    For example:
        skyloom model check transient-class
        skyloom model check colors --job jobs/colors-gaia.toml

    Parameters
    ----------
    model
        The model's name.
    weights
        Which weights of it; its default ones unless told.
    job
        A job file whose settings to take.
    json
        Print a JSON list, for programs.
    """
    from skyloom.evaluation.contract import check_contract
    from skyloom.jobs import load_job
    from skyloom.jobs.models import load_model

    settings = load_job(job).model_settings if job is not None else {}
    load_model(model, weights, settings)  # says what is wrong with a name, a setting or a file of the weights
    rules = check_contract(model, weights, settings=settings)
    show_table([{"ok": ok, "rule": f"{model} {rule}"} for rule, ok in rules.items()], as_json=json)
    return DONE if all(rules.values()) else FAILED


@app.command
def train(
    model: str,
    /,
    *,
    output: Path,
    config: Path | None = None,
    device: Device = "auto",
    seed: int = 0,
    data: Path | None = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Train a model on a split by object, and write its weights and card.

    For example:
        skyloom model train transient-class --data /data/plasticc --output weights/mine
        skyloom model train gamornet --config recipe.toml --device cuda --output weights/gamornet/mine
        skyloom model train gamornet --config recipe.toml --device cuda --output weights/gamornet/mine --resume

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
    resume
        Go on from the checkpoints of a training that was stopped.
    json
        Print the card as JSON, for programs.
    """
    import dataclasses

    from skyloom.cli.progress import training_progress
    from skyloom.runtime.device import DeviceSettings
    from skyloom.training import train as train_model

    with training_progress(model, shown=not json) as progress:
        card = train_model(
            model,
            output,
            recipe=config,
            data=data,
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
        _show_scores(shown)
    return DONE


@app.command
def evaluate(
    model: str,
    /,
    *,
    weights: str | None = None,
    device: Device = "auto",
    data: Path | None = None,
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
        Which weights of it; its default ones unless told.
    device
        "auto" (a GPU where there is one), "cpu" or "cuda", for networks.
    data
        The folder of the published files; $SKYLOOM_DATA unless told.
    json
        Print JSON, for programs.
    """
    from skyloom.evaluation import evaluate as measure
    from skyloom.runtime.device import DeviceSettings

    measured = measure(model, weights, data, device=DeviceSettings(device=device, threads=1)).as_dict()
    if json:
        show_json(measured)
    else:
        show_title(f"{model}, weights {measured['variant']}: {measured['held_out']:,} held-out objects")
        _show_scores(measured)
        show_text(f"\n{measured['note']}")
    return DONE


def _config(system: System, job: Path | None) -> Any:
    """Return the settings of a job, or the default ones; None where there are no default ones."""
    from skyloom.jobs import load_job
    from skyloom.jobs.models import check_settings

    if job is not None:
        return check_settings(system.Config, dict(load_job(job).model_settings), system.NAME)
    try:
        return system.Config()
    except SpecError:
        return None


def _described(system: System, card: Card | None, config: Any) -> dict[str, Any]:
    import dataclasses
    import inspect

    from skyloom.runtime.contract import PLATFORM_FLAGS

    settings = {f.name: getattr(config, f.name, "(to be set)") for f in dataclasses.fields(system.Config)}
    flags = (*system.FLAGS, *PLATFORM_FLAGS)
    return {
        "model": system.NAME,
        "about": inspect.getdoc(system),
        "settings": [{"setting": name, "value": value} for name, value in settings.items()],
        "reads": [_column(column) for column in system.reads(config)] if config else [],
        "writes": [_column(column) for column in system.writes(config)] if config else [],
        "flags": [{"mask": f.mask, "flag": f.name, "nulls": f.nulls, "means": f.description} for f in flags],
        "card": None if card is None else dataclasses.asdict(card),
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "column": column.name,
        "type": column.dtype,
        "unit": column.unit,
        "ucd": column.ucd,
        "description": column.description,
    }


_CARD_LINES = ("variant", "question", "intended_use", "limits", "licence", "command", "evaluate")
_SHOWN = 24


def _show(described: dict[str, Any]) -> None:
    show_title(described["model"])
    show_text(described["about"])
    for part in (part for part in ("settings", "reads", "writes", "flags") if described[part]):
        rows = described[part]
        more = f" (the first {_SHOWN} of {len(rows)}; --json shows all)" if len(rows) > _SHOWN else ""
        show_table(rows[:_SHOWN], title=f"\n{part}{more}")
    card = described["card"]
    if card is not None:
        show_title("\nweights")
        show_record({name: card[name] for name in _CARD_LINES} | card["training"], thousands=False)
        _show_scores(card)


def _show_scores(card: Mapping[str, Any]) -> None:
    show_table(map(_rounded, card["scores"]), title="\nscores on held-out objects")
    if card["reliability"]:
        title = "\nreliability: probability given, and how often it came true"
        show_table(map(_rounded, card["reliability"]), title=title)


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for people: four decimals, and nothing where a number is not known."""
    return {
        name: (None if math.isnan(value) else f"{value:.4f}") if isinstance(value, float) else value
        for name, value in row.items()
    }
