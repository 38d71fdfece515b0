"""For schedulers that others start: ``dask scheduler --preload skyloom.cluster.preload``.

Adds the skyloom page to the dashboard and its counters to ``/metrics``.
"""

from __future__ import annotations

from typing import Any

from skyloom.cluster.announce import NAME
from skyloom.cluster.monitor import Monitor

__all__ = ["dask_setup"]

try:
    from skyloom.cluster.page import install
except ImportError:  # no bokeh: Dask itself shows no dashboard then
    pass
else:
    install()  # before the dashboard is built, which follows the import of preloads


def dask_setup(scheduler: Any) -> None:
    """Give the scheduler its monitor; called by Dask."""
    if NAME not in scheduler.plugins:
        scheduler.add_plugin(Monitor())
