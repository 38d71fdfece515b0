"""The process of a query, ``python -m skyloom.query``: its start is most of what a small query costs."""

from __future__ import annotations

import gc
import sys
from types import ModuleType


def without(name: str, **stand_in: object) -> None:
    """Keep a module from being imported: there is none, or one that holds no more than `stand_in`."""
    empty = ModuleType(name)
    vars(empty).update(stand_in)
    sys.modules[name] = empty if stand_in else None  # type: ignore[assignment]


# Imports make no garbage, and what a query leaves behind ends with its process.
gc.disable()
# pyarrow takes numpy where it finds it: two fifths of the start, for what goes from Arrow to Arrow here.
without("numpy")
# DuckDB asks for its own version number, by a module that takes as long to import as DuckDB itself.
without("importlib.metadata", version=lambda name: "")

from skyloom.query.child import main  # noqa: E402

del sys.modules["importlib.metadata"]
sys.exit(main())
