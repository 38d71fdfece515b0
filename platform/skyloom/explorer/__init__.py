"""The browser page over a catalog and its layers: map, scatter, table, objects, labels.

One server reads the points of a catalog once and shares them, read-only; every browser has a
state of its own, which is its URL. Nothing is asked of any other machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyloom.explorer.points import Points
    from skyloom.explorer.server import Explorer, serve
    from skyloom.explorer.state import Box, State

_HOME = {"Box": "state", "Explorer": "server", "Points": "points", "State": "state", "serve": "server"}

__all__ = ["Box", "Explorer", "Points", "State", "serve"]


def __getattr__(name: str) -> Any:
    # Resolved when used: a state is parsed without numpy, and points are read without a browser's libraries.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
