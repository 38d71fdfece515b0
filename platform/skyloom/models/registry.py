"""The list of systems: one line each. Listing imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.runtime.contract import System

__all__ = ["companion", "module_of", "modules", "names", "system"]

_SYSTEMS = {
    "alert-stamp": "skyloom.models.alert_stamp",
    "colors": "skyloom.models.colors",
    "flares": "skyloom.models.flares",
    "galaxy-morphology": "skyloom.models.galaxy_morphology",
    "gamornet": "skyloom.models.gamornet",
    "lightcurve-features": "skyloom.models.lightcurve_features",
    "periodic-class": "skyloom.models.periodic_class",
    "radio-galaxy": "skyloom.models.radio_galaxy",
    "survey-shift": "skyloom.models.survey_shift",
    "transient-anomaly": "skyloom.models.transient_anomaly",
    "transient-class": "skyloom.models.transient_class",
    "vraenn": "skyloom.models.vraenn",
}


def names() -> tuple[str, ...]:
    """Return the names of all systems, sorted."""
    return tuple(sorted(_SYSTEMS))


def modules() -> tuple[str, ...]:
    """Return the names of the modules of all systems, sorted."""
    return tuple(sorted(_SYSTEMS.values()))


def module_of(name: str) -> str:
    """Return the name of the module of the system called `name`.

    Raises
    ------
    SpecError
        ``UNKNOWN_MODEL`` if there is none; the message offers the close names.
    """
    if name not in _SYSTEMS:
        msg = f"there is no model {name!r}; {close_matches(name, _SYSTEMS)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_MODEL, model=name)
    return _SYSTEMS[name]


def system(name: str) -> System:
    """Import and return the system called `name`.

    Raises
    ------
    SpecError
        As `module_of`.
    """
    return cast("System", import_module(module_of(name)))


def companion(name: str, modules: Mapping[str, str], *, nothing: str) -> Any:
    """Import and return the module that stands beside the system called `name` in a table of such modules.

    Raises
    ------
    SpecError
        If there is no such system, or the table has none for it; `nothing` says what that means.
    """
    system(name)
    if name not in modules:
        raise SpecError(f"model {name} learns nothing: {nothing}", kind=ErrorKind.BAD_PARAMETER, model=name)
    return import_module(modules[name])
