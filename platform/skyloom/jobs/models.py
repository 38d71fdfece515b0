"""A model ready for use: its system, settings and weights, found by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.models import registry
from skyloom.models.weights import default_variant, load_weights
from skyloom.runtime.contract import System, Weights

__all__ = ["LoadedModel", "load_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A system with its settings and weights."""

    name: str
    system: System
    config: Any
    settings: Mapping[str, Any]
    variant: str | None
    """Which weights; None for a system that learns nothing."""
    weights: Weights | None

    @property
    def digest(self) -> str | None:
        """Digest of the weights."""
        return self.weights.digest if self.weights else None

    @property
    def reads(self) -> tuple[Column, ...]:
        """Columns that the model reads."""
        return self.system.reads(self.config)

    def build(self) -> Any:
        """Return the estimator."""
        return self.system.build(self.config, self.weights)


def load_model(name: str, variant: str | None = None, settings: Mapping[str, Any] | None = None) -> LoadedModel:
    """Find a model, check its settings and read its weights.

    Raises
    ------
    SpecError
        If there is no such model, weights or setting; the close ones are offered.
    DataError
        If the weights are not those that their card describes.
    """
    system = registry.system(name)
    config = check_settings(system.Config, dict(settings or {}), name)
    variant = variant or default_variant(name)
    weights = load_weights(name, variant)[1] if variant else None
    return LoadedModel(name, system, config, dict(settings or {}), variant, weights)


def check_settings(config_type: type[Any], settings: dict[str, Any], model: str) -> Any:
    """Return the model's config made of `settings`.

    Raises
    ------
    SpecError
        If there is no such setting (the close ones are offered) or a value is refused.
    """
    known = list(inspect.signature(config_type).parameters)
    for name in settings:
        if name not in known:
            msg = f"model {model} has no setting {name!r}: {close_matches(name, known)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_KEY, setting=name)
    try:
        return config_type(**settings)
    except (TypeError, ValueError) as error:
        msg = f"model {model} refuses its settings: {error}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=model) from error
