"""`skyloom model`: list, describe, check, train, evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, show_json, show_record, show_table, show_text, show_title
from skyloom.cli.training import evaluate, show_scores, train
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
app.command(train)
app.command(evaluate)
Json = Annotated[bool, Parameter(negative=())]


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
        Which weights of it, by name or by the path of their folder; its default ones unless told.
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
        Which weights of it, by name or by the path of their folder; its default ones unless told.
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


_CARD_LINES = (
    "variant",
    "question",
    "intended_use",
    "out_of_scope",
    "limits",
    "licence",
    "command",
    "evaluate",
)
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
        lines = {name: card[name] for name in _CARD_LINES if card[name]}
        show_record(lines | card["training"], thousands=False)
        _show_network(card)
        show_scores(card)


def _show_network(card: Mapping[str, Any]) -> None:
    """Show what the card of a network says beside: inputs, domain, priors, tolerances, architecture."""
    if card["domain"]:
        show_title("\ndomain: what the training rows were drawn from")
        show_record(card["domain"], thousands=False)
    if card["priors"]:
        rows = [{"class": name, "share": f"{share:.4f}"} for name, share in card["priors"].items()]
        show_table(rows, title="\npriors: shares of the classes among the training rows that are eligible")
    if card["inputs"]:
        show_table(card["inputs"], title="\ninputs of the networks")
    if card["tolerance"]:
        rows = [{"output": name, "tolerance": f"{value:g}"} for name, value in card["tolerance"].items()]
        show_table(rows, title="\nlargest difference that reduced precision or an export may make")
    if card["architecture"]:
        rows = [{"network": place, "architecture": digest} for place, digest in card["architecture"].items()]
        show_table(rows, title="\narchitectures")
