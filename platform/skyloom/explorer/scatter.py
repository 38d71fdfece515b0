"""Two columns against each other, and the histogram of each, of one browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry
from bokeh.models import BoxSelectTool, ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from skyloom.explorer.figures import plain
from skyloom.explorer.frame import Frame, Sides, nearest
from skyloom.explorer.points import Points
from skyloom.explorer.shade import ALL, BEHIND, SELECTED, Picture, draw_scatter, histogram
from skyloom.explorer.state import Box, Span, State

__all__ = ["Drawn", "Scatter"]

WIDTH, HEIGHT = 340, 320
BINS = 60
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 190, 120


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a thread has made for the plots."""

    view: Box
    picture: Picture
    counts: dict[str, tuple[NDArray[np.int64], NDArray[np.int64] | None]]
    """``"x"`` and ``"y"`` -> counts of all, and of what is selected."""
    spans: dict[str, Span]


class Scatter:
    """A scatter plot and two histograms that follow the state of a page.

    Parameters
    ----------
    points : Points
    state : State
    on_view : callable
        Told that the scatter plot was zoomed or moved.
    on_spans : callable
        Told the ranges that were drawn, by ``"xs"`` and ``"ys"``.
    on_tap : callable
        Told a point, by number.
    """

    def __init__(
        self,
        points: Points,
        state: State,
        *,
        on_view: Callable[[], None],
        on_spans: Callable[[dict[str, Span]], None],
        on_tap: Callable[[int], None],
    ) -> None:
        self.points, self._on_view, self._on_spans, self._on_tap = points, on_view, on_spans, on_tap
        self.names = (state.x, state.y)
        self.view = self._core(state)
        self._x, self._y = Range1d(self.view.x0, self.view.x1), Range1d(self.view.y0, self.view.y1)
        self._frame = Frame(
            "scatter", (WIDTH, HEIGHT), self._x, self._y,
            drag="box_select", on_move=self._moved, on_box=self._boxed, on_tap=self._tapped,
        )  # fmt: skip
        self.figure = self._frame.figure
        self._bars: dict[str, ColumnDataSource] = {}
        self._ranges: dict[str, Range1d] = {}
        self.histograms = {axis: self._histogram(axis) for axis in ("x", "y")}
        self._name_axes(state)

    def draw(self, state: State, view: Box, chosen: NDArray[np.bool_] | None) -> Drawn:
        """Make the pictures; touches no widget, so that a thread may do it."""
        counts, spans = {}, {}
        for axis, name in (("x", state.x), ("y", state.y)):
            values, (low, high) = self.points.column(name), self.points.core(name)
            some = None if chosen is None else histogram(values[chosen], low, high, BINS)
            counts[axis] = (_counts(self.points, name), some)
            spans[axis] = Span(low, high)
        picture = draw_scatter(self.points, (state.x, state.y), view, (WIDTH, HEIGHT), chosen)
        return Drawn(view, picture, counts, spans)

    def show(self, drawn: Drawn, state: State) -> None:
        """Put pictures on the page, with the ranges that are selected."""
        self._frame.show(drawn.view, drawn.picture.rgba)
        for axis, (every, some) in drawn.counts.items():
            span = drawn.spans[axis]
            edges = np.linspace(span.low, span.high, BINS + 1)
            self._bars[axis].data = {
                "left": edges[:-1], "right": edges[1:], "every": every,
                "some": np.zeros(BINS) if some is None else some,
                "colour": [ALL[1] if some is None else BEHIND[1]] * BINS,
            }  # fmt: skip
            self._ranges[axis].update(start=span.low, end=span.high)
        self.show_spans(state)

    def show_spans(self, state: State) -> None:
        """Draw the outline of the ranges that are selected."""
        low_x, high_x = (state.xs.low, state.xs.high) if state.xs else (None, None)
        low_y, high_y = (state.ys.low, state.ys.high) if state.ys else (None, None)
        self._frame.outline(low_x, high_x, low_y, high_y)

    def change_columns(self, state: State) -> None:
        """Show other columns; the view becomes the middle 99 percent of each."""
        self.names = (state.x, state.y)
        self.view = self._core(state)
        self._x.update(start=self.view.x0, end=self.view.x1)
        self._y.update(start=self.view.y0, end=self.view.y1)
        self._name_axes(state)

    def mark(self, point: int | None, state: State) -> None:
        """Circle a point; None for none."""
        marked = [] if point is None else [point]
        self._frame.mark(*([float(self.points.column(name)[i]) for i in marked] for name in (state.x, state.y)))

    def _core(self, state: State) -> Box:
        return Box(*self.points.core(state.x), *self.points.core(state.y))

    def _name_axes(self, state: State) -> None:
        units = {column.name: column.unit for column in self.points.numeric}
        labels = {
            axis: f"{name} ({units[name]})" if units[name] else name
            for axis, name in (("x", state.x), ("y", state.y))
        }
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = plain(labels["x"]), plain(labels["y"])
        for axis, plot in self.histograms.items():
            plot.xaxis.axis_label = plain(labels[axis])

    def _histogram(self, axis: str) -> Any:
        source = ColumnDataSource({"left": [], "right": [], "every": [], "some": [], "colour": []})
        self._bars[axis], self._ranges[axis] = source, Range1d(0, 1)
        plot = figure(
            frame_width=HISTOGRAM_WIDTH, frame_height=HISTOGRAM_HEIGHT, x_range=self._ranges[axis], tools="",
            toolbar_location=None, name=f"histogram-{axis}",
        )  # fmt: skip
        plot.quad("left", "right", "every", 0, source=source, fill_color="colour", line_color=None, fill_alpha=0.6,
                  nonselection_fill_color="colour", nonselection_fill_alpha=0.6)  # fmt: skip
        plot.quad("left", "right", "some", 0, source=source, fill_color=SELECTED[1], line_color=None,
                  nonselection_fill_color=SELECTED[1], nonselection_fill_alpha=1.0)  # fmt: skip
        plot.y_range.start = 0
        plot.yaxis.visible = False
        plot.xaxis.ticker.desired_num_ticks = 4
        select = BoxSelectTool(dimensions="width")
        plot.add_tools(select)
        plot.toolbar.active_drag = select
        plot.on_event(SelectionGeometry, lambda event: self._spanned(axis, event))
        return plot

    def _moved(self, sides: Sides) -> None:
        view = Box(*sides)
        # Seven digits are what a box has: further in there is nothing to see.
        if view.x0 < view.x1 and view.y0 < view.y1:
            self.view = view
            self._on_view()

    def _boxed(self, sides: Sides) -> None:
        self._on_spans({"xs": Span(*sides[:2]), "ys": Span(*sides[2:])})

    def _spanned(self, axis: str, event: Any) -> None:
        if event.final and event.geometry.get("type") == "rect":
            low, high = sorted((event.geometry["x0"], event.geometry["x1"]))
            self._on_spans({f"{axis}s": Span(low, high)})

    def _tapped(self, x: float, y: float) -> None:
        per_px = ((self.view.x1 - self.view.x0) / WIDTH, (self.view.y1 - self.view.y0) / HEIGHT)
        dx, dy = (
            np.abs(self.points.column(name) - np.float32(at)) / scale
            for name, at, scale in zip(self.names, (x, y), per_px, strict=True)
        )
        found = nearest(dx, dy)
        if found is not None:
            self._on_tap(found)


@lru_cache(maxsize=16)
def _counts(points: Points, name: str) -> NDArray[np.int64]:
    return histogram(points.column(name), *points.core(name), BINS)
