"""Two columns against each other, and the histogram of each, of one browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from bokeh.events import RangesUpdate, SelectionGeometry, Tap
from bokeh.models import BoxAnnotation, BoxSelectTool, ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from skyloom.explorer.figures import plain
from skyloom.explorer.points import Points
from skyloom.explorer.shade import ALL, BEHIND, SELECTED, Picture, draw_scatter, histogram
from skyloom.explorer.skymap import SELECTION, nearest
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
        self.figure = figure(
            frame_width=WIDTH, frame_height=HEIGHT, x_range=self._x, y_range=self._y,
            tools="pan,wheel_zoom,box_select",
            active_scroll="wheel_zoom", active_drag="box_select", name="scatter", toolbar_location="right",
        )  # fmt: skip
        self.figure.toolbar.logo = None
        self.image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.figure.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self.image)
        self._box = BoxAnnotation(visible=False, **SELECTION)
        self.figure.add_layout(self._box)
        self._mark = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter("x", "y", source=self._mark, size=16, color="#d62728", fill_alpha=0, line_width=2)
        self.figure.on_event(RangesUpdate, self._moved)
        self.figure.on_event(SelectionGeometry, self._boxed)
        self.figure.on_event(Tap, self._tapped)
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
        view = drawn.view
        self.image.data = {
            "image": [drawn.picture.rgba], "x": [view.x0], "y": [view.y0],
            "dw": [view.x1 - view.x0], "dh": [view.y1 - view.y0],
        }  # fmt: skip
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
        self._box.visible = not (state.xs is None and state.ys is None)
        self._box.update(
            left=state.xs.low if state.xs else None, right=state.xs.high if state.xs else None,
            bottom=state.ys.low if state.ys else None, top=state.ys.high if state.ys else None,
        )  # fmt: skip

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
        self._mark.data = {
            axis: [float(self.points.column(name)[i]) for i in marked]
            for axis, name in (("x", state.x), ("y", state.y))
        }

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

    def _moved(self, event: Any) -> None:
        if None in (event.x0, event.x1, event.y0, event.y1):
            return
        (x0, x1), (y0, y1) = sorted((event.x0, event.x1)), sorted((event.y0, event.y1))
        view = Box(x0, x1, y0, y1)
        # Seven digits are what a box has: further in there is nothing to see.
        if view.x0 < view.x1 and view.y0 < view.y1:
            self.view = view
            self._on_view()

    def _boxed(self, event: Any) -> None:
        if event.final and event.geometry.get("type") == "rect":
            corner = event.geometry
            (x0, x1), (y0, y1) = sorted((corner["x0"], corner["x1"])), sorted((corner["y0"], corner["y1"]))
            self._on_spans({"xs": Span(x0, x1), "ys": Span(y0, y1)})

    def _spanned(self, axis: str, event: Any) -> None:
        if event.final and event.geometry.get("type") == "rect":
            low, high = sorted((event.geometry["x0"], event.geometry["x1"]))
            self._on_spans({f"{axis}s": Span(low, high)})

    def _tapped(self, event: Any) -> None:
        if event.x is None or event.y is None:
            return
        per_px = ((self.view.x1 - self.view.x0) / WIDTH, (self.view.y1 - self.view.y0) / HEIGHT)
        dx, dy = (
            np.abs(self.points.column(name) - np.float32(at)) / scale
            for name, at, scale in zip(self.names, (event.x, event.y), per_px, strict=True)
        )
        found = nearest(dx, dy)
        if found is not None:
            self._on_tap(found)


@lru_cache(maxsize=16)
def _counts(points: Points, name: str) -> NDArray[np.int64]:
    return histogram(points.column(name), *points.core(name), BINS)
