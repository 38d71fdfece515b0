"""The dashboard of a local cluster is built when somebody first asks for a page of it.

To import bokeh and to build Dask's pages takes half a second of CPU of the driver, which most runs,
looked at by nobody, need not spend. ``/metrics`` and ``/health`` are there at once.
"""

from __future__ import annotations

from typing import Any

from tornado.web import Application

from skyloom.cluster.announce import NAME
from skyloom.cluster.monitor import Monitor

__all__ = ["dask_setup"]


class _WhenAsked(Application):  # type: ignore[misc]  # tornado has no types here
    """Stands in a scheduler's list of web applications for the dashboard, and makes place for it."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__()
        self._scheduler = scheduler

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """Build the dashboard, and let it answer."""
        from distributed.dashboard.scheduler import connect

        from skyloom.cluster.page import install

        install()
        router = self._scheduler.http_application
        router.applications.remove(self)
        connect(router, self._scheduler.http_server, self._scheduler)
        return router.applications[-1].find_handler(request, **kwargs)


def dask_setup(scheduler: Any) -> None:
    """Give a scheduler that has no dashboard its monitor, and a dashboard on demand; called by Dask."""
    if NAME not in scheduler.plugins:
        scheduler.add_plugin(Monitor())
    scheduler.http_application.add_application(_WhenAsked(scheduler))
