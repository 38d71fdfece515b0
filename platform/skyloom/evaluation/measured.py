"""The list of systems whose scores can be measured again: one line each. Listing imports none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa

from skyloom.evaluation.labelled import LabelledSource
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import registry
from skyloom.models.card import Card
from skyloom.runtime.contract import System, Weights

__all__ = ["Measure", "measure_of", "names"]

_MEASURED = {
    "alert-stamp": "skyloom.evaluation.alert_stamp",
    "flares": "skyloom.evaluation.flares",
    "gamornet": "skyloom.evaluation.gamornet",
    "periodic-class": "skyloom.evaluation.periodic_class",
    "radio-galaxy": "skyloom.evaluation.radio_galaxy",
    "survey-shift": "skyloom.evaluation.survey_shift",
    "transient-anomaly": "skyloom.evaluation.transient_anomaly",
    "transient-class": "skyloom.evaluation.transient_class",
    "vraenn": "skyloom.evaluation.vraenn",
}


class Measure(Protocol):
    """The attribute of a module that measures a system."""

    def measure(
        self, system: System, card: Card, weights: Weights, data: pa.Table | LabelledSource | Path | None
    ) -> ScoreTable:
        """Score the objects that were held out when `weights` were made, as their card has it.

        Parameters
        ----------
        system : System
        card, weights
            Of the same bundle.
        data : table, LabelledSource or path, optional
            The set that the objects were held out of, or its folder; None: where the system looks by itself.
            A source only where the module says ``CATALOGS = True``.

        Returns
        -------
        ScoreTable
            Beside the baselines and reported numbers.
        """
        ...


def names() -> tuple[str, ...]:
    """Return the names of all systems that can be measured, sorted."""
    return tuple(sorted(_MEASURED))


def measure_of(name: str) -> Measure:
    """Import and return what measures the system called `name`.

    Raises
    ------
    SpecError
        If there is no such model, or it learns nothing.
    """
    nothing = f"there is nothing to evaluate; there is for {', '.join(names())}"
    return cast("Measure", registry.companion(name, _MEASURED, nothing=nothing))
