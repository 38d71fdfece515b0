"""Jobs: a job file becomes a plan, a run, a layer. The one place that joins the rest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyloom.jobs.execute import RunReport, run
    from skyloom.jobs.layers import Layer, layer_history, list_layers, open_layer
    from skyloom.jobs.plan import JobPlan, plan_job
    from skyloom.jobs.spec import JobSpec, load_job, template
    from skyloom.jobs.view import CatalogView, open_catalog

__all__ = [
    "CatalogView",
    "JobPlan",
    "JobSpec",
    "Layer",
    "RunReport",
    "layer_history",
    "list_layers",
    "load_job",
    "open_catalog",
    "open_layer",
    "plan_job",
    "run",
    "template",
]

_HOME = {
    "CatalogView": "view",
    "JobPlan": "plan",
    "JobSpec": "spec",
    "Layer": "layers",
    "RunReport": "execute",
    "layer_history": "layers",
    "list_layers": "layers",
    "load_job": "spec",
    "open_catalog": "view",
    "open_layer": "layers",
    "plan_job": "plan",
    "run": "execute",
    "template": "spec",
}


def __getattr__(name: str) -> Any:
    # Resolved when used: a worker that imports `skyloom.jobs.scoring` pays for that alone.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
