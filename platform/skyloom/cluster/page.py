"""The skyloom page of the Dask dashboard: how the newest run is, drawn twice a second.

Importing this module adds the page to every dashboard that starts afterwards in this process:
its routes and the bar at its top are made when a scheduler starts.
"""

from __future__ import annotations

import time
from html import escape
from typing import Any

import distributed.dashboard.scheduler as dashboard
from bokeh.layouts import column, row
from bokeh.models import (
    ColumnDataSource,
    CustomJSTickFormatter,
    DataRange1d,
    FactorRange,
    HoverTool,
    NumeralTickFormatter,
)
from bokeh.models.widgets import Div
from bokeh.plotting import figure
from distributed.dashboard.components import add_periodic_callback
from distributed.dashboard.components.scheduler import BOKEH_THEME, env

from skyloom.cluster.announce import NAME, ROUTE
from skyloom.cluster.monitor import Machine, Monitor, Watched

__all__ = ["Page", "install"]

REFRESH_MS = 500
COLOURS = {"read_s": "#4477aa", "model_s": "#228833", "commit_s": "#ccbb44"}
OTHER = "#bbbbbb"
"""Tol's bright scheme: told apart by those who see colours otherwise, too."""


class Page:
    """The widgets of one browser, and how they follow the monitor of a scheduler.

    Parameters
    ----------
    scheduler : distributed.Scheduler
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.head = Div(text="", sizing_mode="stretch_width")
        self.table = Div(text="", sizing_mode="stretch_width")
        self.curve = ColumnDataSource({name: [] for name in ("time", "done", "failed", "rate")})
        self.workers = ColumnDataSource({"worker": [], **{name: [] for name in COLOURS}, "other": []})
        self.names = FactorRange()
        plots = row(self._partitions(), self._rates(), self._shares(), sizing_mode="stretch_width")
        self.root = column(self.head, plots, self.table, sizing_mode="stretch_both")

    def _partitions(self) -> Any:
        plot = _over_time("partitions")
        plot.line("time", "done", source=self.curve, line_width=2, color="#228833", legend_label="committed")
        plot.line("time", "failed", source=self.curve, line_width=2, color="#ee6677", legend_label="failed")
        plot.legend.location = "top_left"
        return plot

    def _rates(self) -> Any:
        plot = _over_time("rows per second, last minute")
        plot.line("time", "rate", source=self.curve, line_width=2, color="#4477aa")
        return plot

    def _shares(self) -> Any:
        plot = figure(
            title="seconds of each worker", y_range=self.names, height=280, sizing_mode="stretch_width",
            toolbar_location=None,
        )  # fmt: skip
        kinds = [*COLOURS, "other"]
        plot.hbar_stack(
            kinds, y="worker", height=0.7, source=self.workers, color=[*COLOURS.values(), OTHER],
            legend_label=[kind.removesuffix("_s") for kind in kinds],
        )  # fmt: skip
        plot.legend.orientation = "horizontal"
        plot.add_layout(plot.legend[0], "below")
        plot.add_tools(HoverTool(tooltips=[("worker", "@worker"), *((kind, f"@{kind}{{0.0}}") for kind in kinds)]))
        return plot

    def update(self) -> None:
        """Show how things are now."""
        monitor = self.scheduler.plugins.get(NAME)
        watched = monitor.newest if isinstance(monitor, Monitor) else None
        if watched is None:
            self.head.text = "<p>No run has been heard of on this cluster.</p>"
            return
        if watched.state == "running":
            watched.sample(time.time())
        self.head.text = _head(watched, monitor.at_work(), len(self.scheduler.workers))
        machines = monitor.machines()
        self.table.text = _table(watched, machines)
        moments = list(watched.moments)
        self.curve.data = {
            "time": [moment.time_s * 1000 for moment in moments],
            "done": [moment.done for moment in moments],
            "failed": [moment.failed for moment in moments],
            "rate": [moment.rows_per_s for moment in moments],
        }
        self._update_workers(watched, machines)

    def _update_workers(self, watched: Watched, machines: dict[int, Machine]) -> None:
        tallies = sorted(watched.tally.workers.items())
        labels = [
            machines[process].name if process in machines else f"process {process}" for process, _ in tallies
        ]
        if list(self.names.factors) != labels:
            self.names.factors = labels
        spent = {kind: [tally.seconds.get(kind, 0.0) for _, tally in tallies] for kind in COLOURS}
        other = [sum(s for kind, s in tally.seconds.items() if kind not in COLOURS) for _, tally in tallies]
        self.workers.data = {"worker": labels, **spent, "other": other}


def _over_time(title: str) -> Any:
    plot = figure(
        title=title, x_axis_type="datetime", y_range=DataRange1d(start=0), height=280,
        sizing_mode="stretch_width", toolbar_location=None,
    )  # fmt: skip
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    # Bokeh's datetime axis is in UTC; a person at the screen reads a clock on the wall.
    plot.xaxis.formatter = CustomJSTickFormatter(code="return new Date(tick).toLocaleTimeString()")
    return plot


def _head(watched: Watched, at_work: int, workers: int) -> str:
    tally = watched.tally
    now_s = time.time()
    running = watched.state == "running"
    left_s = tally.seconds_left(now_s) if running else None
    numbers = {
        "state": watched.state,
        "rows": f"{tally.rows_done:,} / {tally.rows:,}",
        "partitions": f"{tally.partitions_done:,} / {tally.partitions:,}",
        "rows per second": f"{tally.rate(now_s if running else None):,.0f}",
        "time left": "" if left_s is None else f"{left_s:,.0f} s",
        "workers at work": f"{at_work} / {workers}",
        "failed partitions": f"{tally.failed:,}",
        "quarantined rows": f"{tally.quarantined:,}",
        "flagged rows": f"{tally.flagged:,}",
    }
    if left_s is None:
        del numbers["time left"]
    boxes = "".join(
        f'<div style="display:inline-block;margin:4px 22px 4px 4px;font-size:13px">{escape(name)}<br>'
        f'<b style="font-size:20px" id="skyloom-{name.replace(" ", "-")}">{escape(value)}</b></div>'
        for name, value in numbers.items()
    )
    trouble = tally.stopped or tally.failure
    said = f'<p style="color:#aa3377">{escape(trouble[:500])}</p>' if trouble else ""
    return f"<h2>{escape(watched.layer)} <small>job {escape(watched.job_id)}</small></h2>{boxes}{said}"


def _table(watched: Watched, machines: dict[int, Machine]) -> str:
    """Return a table of the workers of a run; those that died have no name and use nothing."""
    header = ["worker", "process", "partitions", "rows", "rows/s at work", "memory", "GPU memory", "GPU use"]
    lines = []
    for process, tally in sorted(watched.tally.workers.items()):
        machine = machines.get(process, Machine("(gone)", 0))
        gpu_bytes, gpu_use = machine.gpu_memory_bytes, machine.gpu_use
        lines.append(
            [
                machine.name,
                str(process),
                f"{tally.partitions:,}",
                f"{tally.rows:,}",
                f"{tally.rows / tally.busy_s if tally.busy_s else 0:,.0f}",
                f"{machine.memory_bytes / 2**20:,.0f} MiB" if machine.memory_bytes else "",
                "" if gpu_bytes is None else f"{gpu_bytes / 2**20:,.0f} MiB",
                "" if gpu_use is None else f"{gpu_use:.0%}",
            ]
        )
    shown = [i for i in range(len(header)) if any(line[i] for line in lines)]
    heads = "".join(f"<th>{header[i]}</th>" for i in shown)
    rows = "".join("<tr>" + "".join(f"<td>{escape(line[i])}</td>" for i in shown) + "</tr>" for line in lines)
    return f'<table cellpadding="6"><tr>{heads}</tr>{rows}</table>'


def document(scheduler: Any, extra: dict[str, Any], doc: Any) -> None:
    """Make the page for one browser that opens it."""
    page = Page(scheduler)
    page.update()
    add_periodic_callback(doc, page, REFRESH_MS)
    doc.add_root(page.root)
    doc.title = "skyloom"
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME


def install() -> None:
    """Add the page to dashboards that start from now on; a second time does nothing."""
    if dashboard.applications.get(ROUTE) is not None:
        return
    dashboard.applications[ROUTE] = document
    variables = dashboard.template_variables

    def with_page(scheduler: Any) -> Any:
        found = variables(scheduler)
        if NAME not in found["pages"]:
            found["pages"].insert(1, NAME)
        return found

    dashboard.template_variables = with_page
