"""skyloom: new columns for sky-survey catalogs.

>>> import skyloom as sl
>>> catalog = sl.open_catalog("catalogs/plasticc.toml")  # doctest: +SKIP
>>> sl.run("jobs/lightcurve-features.toml")  # doctest: +SKIP
>>> catalog.with_layers("lightcurve-features").query("select * from catalog")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from skyloom.errors import SkyloomError

if TYPE_CHECKING:
    from skyloom.jobs.execute import run
    from skyloom.jobs.layers import open_layer
    from skyloom.jobs.plan import plan_job
    from skyloom.jobs.report import report
    from skyloom.jobs.spec import load_job
    from skyloom.jobs.view import open_catalog

__version__ = "0.1.0"

__all__ = ["SkyloomError", "__version__", "load_job", "open_catalog", "open_layer", "plan_job", "report", "run"]

_HOME = {
    "load_job": "skyloom.jobs.spec",
    "open_catalog": "skyloom.jobs.view",
    "open_layer": "skyloom.jobs.layers",
    "plan_job": "skyloom.jobs.plan",
    "report": "skyloom.jobs.report",
    "run": "skyloom.jobs.execute",
}


def __getattr__(name: str) -> Any:
    # Resolved when used, so that `import skyloom` costs next to nothing.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
