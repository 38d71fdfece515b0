"""Jobs: a job file becomes a plan, a run, a layer. The one place that joins the rest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyloom.jobs.calibrate import cost_of
    from skyloom.jobs.care import repair_layer, verify_layer
    from skyloom.jobs.cost import Assumptions, Cost, equal_tasks
    from skyloom.jobs.execute import RunReport, run
    from skyloom.jobs.layers import Layer, layer_history, list_layers, open_layer
    from skyloom.jobs.plan import JobPlan, plan_job
    from skyloom.jobs.retention import abort_job, collect_layer, expire_layer
    from skyloom.jobs.shift import measure_shift
    from skyloom.jobs.spec import JobSpec, load_job, on_device, template
    from skyloom.jobs.view import CatalogView, open_catalog

__all__ = [
    "Assumptions",
    "CatalogView",
    "Cost",
    "JobPlan",
    "JobSpec",
    "Layer",
    "RunReport",
    "abort_job",
    "collect_layer",
    "cost_of",
    "equal_tasks",
    "expire_layer",
    "layer_history",
    "list_layers",
    "load_job",
    "measure_shift",
    "on_device",
    "open_catalog",
    "open_layer",
    "plan_job",
    "repair_layer",
    "run",
    "template",
    "verify_layer",
]

_HOME = {
    "Assumptions": "cost",
    "CatalogView": "view",
    "Cost": "cost",
    "JobPlan": "plan",
    "JobSpec": "spec",
    "Layer": "layers",
    "RunReport": "execute",
    "abort_job": "retention",
    "collect_layer": "retention",
    "cost_of": "calibrate",
    "equal_tasks": "cost",
    "expire_layer": "retention",
    "layer_history": "layers",
    "list_layers": "layers",
    "load_job": "spec",
    "measure_shift": "shift",
    "on_device": "spec",
    "open_catalog": "view",
    "open_layer": "layers",
    "plan_job": "plan",
    "repair_layer": "care",
    "run": "execute",
    "template": "spec",
    "verify_layer": "care",
}


def __getattr__(name: str) -> Any:
    # Resolved when used: a worker that imports `skyloom.jobs.scoring` pays for that alone.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
