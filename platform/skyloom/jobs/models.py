"""A model ready for use: its system, settings and weights, found by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skyloom
from skyloom.columns import Column
from skyloom.errors import ConflictError, ErrorKind, SpecError, close_matches
from skyloom.models import registry
from skyloom.models.architecture import build_checked
from skyloom.models.card import Card
from skyloom.models.weights import default_variant, is_path, load_weights
from skyloom.runtime.contract import System, Weights
from skyloom.runtime.device import DeviceSettings, use
from skyloom.runtime.tensors import TensorInput

__all__ = ["LoadedModel", "check_same", "load_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A system with its settings and weights."""

    name: str
    system: System
    config: Any
    settings: Mapping[str, Any]
    variant: str | None
    """Which weights, as their card calls them; None for a system that learns nothing."""
    weights: Weights | None
    card: Card | None = None
    """Of the weights."""
    place: str | None = None
    """What another process finds the weights by: a name, or an absolute path."""

    @property
    def digest(self) -> str | None:
        """Digest of the weights."""
        return self.weights.digest if self.weights else None

    @property
    def code(self) -> str:
        """Digest of the source that computes."""
        return code_digest(self.system)

    @property
    def made_of(self) -> list[str | None]:
        """Digests of weights and code: what two processes compare before they call a model the same."""
        return [self.digest, self.code]

    @property
    def reads(self) -> tuple[Column, ...]:
        """Columns that the model reads."""
        return self.system.reads(self.config)

    @property
    def tensors(self) -> tuple[TensorInput, ...]:
        """Images and spectra that the model reads; none, for a system that does not list any."""
        listed = getattr(self.system, "tensors", None)
        return tuple(listed(self.config)) if listed else ()

    def build(self) -> Any:
        """Return the estimator. Networks compute on the CPU: what another device changes is in no job's id yet.

        Raises
        ------
        DataError
            ``BAD_WEIGHTS`` if the weights do not fit, or were made for another architecture.
        """
        with use(DeviceSettings(device="cpu", threads=1)):
            bundle = (self.card, self.weights) if self.card and self.weights else None
            return build_checked(self.system, self.config, bundle)


def load_model(name: str, variant: str | None = None, settings: Mapping[str, Any] | None = None) -> LoadedModel:
    """Find a model, check its settings and read its weights: named, or at the path of a folder.

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
    if variant is None:
        return LoadedModel(name, system, config, dict(settings or {}), None, None)
    place = str(Path(variant).expanduser().absolute()) if is_path(variant) else variant
    card, weights = load_weights(name, place)
    return LoadedModel(name, system, config, dict(settings or {}), card.variant, weights, card, place)


def check_same(model: LoadedModel, made_of: Sequence[str | None]) -> None:
    """Refuse a model that is not the one that was planned with, whatever its name is.

    Raises
    ------
    ConflictError
        If weights or code differ: this machine has another version of skyloom, or of the weights.
    """
    found = model.made_of
    if list(made_of) != found:
        differ = [what for what, a, b in zip(("weights", "code"), made_of, found, strict=True) if a != b]
        msg = (
            f"model {model.name} here has other {' and '.join(differ)} than the run was planned with: expected "
            f"{list(made_of)}, found {found}. Install the same skyloom on every machine, and run again"
        )
        raise ConflictError(msg, kind=ErrorKind.DIGEST_MISMATCH, model=model.name)


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


def code_digest(system: Any) -> str:
    """Return a digest over the source of a system and of the floors that it stands on."""
    package = Path(str(skyloom.__file__)).parent
    here = Path(inspect.getfile(system))
    files = set(here.parent.rglob("*.py")) if here.name == "__init__.py" else {here}
    for floor in ("features", "nn", "runtime", "timeseries"):
        files.update((package / floor).rglob("*.py"))
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"sha256:{digest.hexdigest()}"
