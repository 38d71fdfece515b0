"""The list of systems that learn: one line each. Listing imports none of them."""

from __future__ import annotations

from typing import Any, Protocol, cast

from skyloom.models import registry
from skyloom.models.card import Card
from skyloom.training.request import TrainRequest

__all__ = ["Learner", "TrainRequest", "learner", "names"]

_LEARNERS = {
    "alert-stamp": "skyloom.training.alert_stamp",
    "flares": "skyloom.training.flares",
    "gamornet": "skyloom.training.gamornet",
    "periodic-class": "skyloom.training.periodic_class",
    "radio-galaxy": "skyloom.training.radio_galaxy",
    "survey-shift": "skyloom.training.survey_shift",
    "transient-anomaly": "skyloom.training.transient_anomaly",
    "transient-class": "skyloom.training.transient_class",
    "vraenn": "skyloom.training.vraenn",
}


class Learner(Protocol):
    """The attributes of a module that trains a system.

    One that also learns from labelled catalogs has ``CATALOGS = True``: its `train` and the system's
    ``measure`` may then get a `skyloom.evaluation.labelled.LabelledSource` for their data.
    """

    Recipe: type[Any]
    """A frozen dataclass of plain values, all with defaults, which refuses nonsense."""

    def train(self, request: TrainRequest, recipe: Any) -> Card:
        """Train, write the bundle to ``request.output``, and return its card.

        The process computes on ``request.device``. The same request and recipe give the same weights.
        """
        ...


def names() -> tuple[str, ...]:
    """Return the names of all systems that learn, sorted."""
    return tuple(sorted(_LEARNERS))


def learner(name: str) -> Learner:
    """Import and return what trains the system called `name`.

    Raises
    ------
    SpecError
        If there is no such model, or it learns nothing.
    """
    nothing = f"there is nothing to train; those that learn: {', '.join(names())}"
    return cast("Learner", registry.companion(name, _LEARNERS, nothing=nothing))
