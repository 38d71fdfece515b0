"""A figure that shows an image and hears hands zoom, draw a box, or tap: what map and scatter plot share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.events import RangesUpdate, SelectionGeometry, Tap
from bokeh.models import BoxAnnotation, ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from skyloom.explorer.state import Box

__all__ = ["Frame", "nearest"]

TAP_PX = 8
SELECTION = {"fill_color": "#e6550d", "fill_alpha": 0.06, "line_color": "#a63603", "line_dash": "dashed"}
Sides = tuple[float, float, float, float]
"""x from and to, y from and to; ascending."""


class Frame:
    """An image on axes, the outline of what is selected, and a circle around an object.

    Parameters
    ----------
    name : str
        Of the figure, for scripts of the page.
    size : (int, int)
        Width and height inside the axes, pixels.
    x, y : Range1d
    drag : str
        The tool that a drag is for, unless chosen otherwise: ``"pan"`` or ``"box_select"``.
    on_move : callable
        Told the sides of the view, after every zoom and pan.
    on_box : callable
        Told the sides of a box that was drawn.
    on_tap : callable
        Told x and y of a click.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        x: Range1d,
        y: Range1d,
        *,
        drag: str,
        on_move: Callable[[Sides], None],
        on_box: Callable[[Sides], None],
        on_tap: Callable[[float, float], None],
    ) -> None:
        self._on_move, self._on_box, self._on_tap = on_move, on_box, on_tap
        self.figure = figure(
            frame_width=size[0], frame_height=size[1], x_range=x, y_range=y, tools="pan,wheel_zoom,box_select",
            active_scroll="wheel_zoom", active_drag=drag, name=name, toolbar_location="right",
        )  # fmt: skip
        self.figure.toolbar.logo = None
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.figure.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self._image)
        self._box = BoxAnnotation(visible=False, **SELECTION)
        self.figure.add_layout(self._box)
        self._mark = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter("x", "y", source=self._mark, size=16, color="#d62728", fill_alpha=0, line_width=2)
        self.figure.on_event(RangesUpdate, self._moved)
        self.figure.on_event(SelectionGeometry, self._boxed)
        self.figure.on_event(Tap, self._tapped)

    def show(self, view: Box, rgba: NDArray[np.uint32]) -> None:
        """Show an image of a view."""
        self._image.data = {
            "image": [rgba], "x": [view.x0], "y": [view.y0], "dw": [view.x1 - view.x0], "dh": [view.y1 - view.y0],
        }  # fmt: skip

    def outline(self, left: float | None, right: float | None, bottom: float | None, top: float | None) -> None:
        """Draw the outline of what is selected; a side that is None is at infinity, and of four there is none."""
        self._box.visible = not (left is right is bottom is top is None)
        self._box.update(left=left, right=right, bottom=bottom, top=top)

    def mark(self, x: Sequence[float], y: Sequence[float]) -> None:
        """Circle places."""
        self._mark.data = {"x": list(x), "y": list(y)}

    def _moved(self, event: Any) -> None:
        if None not in (event.x0, event.x1, event.y0, event.y1):
            self._on_move(_sides(event.x0, event.x1, event.y0, event.y1))

    def _boxed(self, event: Any) -> None:
        corner = event.geometry
        if event.final and corner.get("type") == "rect":
            self._on_box(_sides(corner["x0"], corner["x1"], corner["y0"], corner["y1"]))

    def _tapped(self, event: Any) -> None:
        if event.x is not None and event.y is not None:
            self._on_tap(event.x, event.y)


def _sides(x0: float, x1: float, y0: float, y1: float) -> Sides:
    return min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)


def nearest(dx_px: NDArray[np.floating], dy_px: NDArray[np.floating]) -> int | None:
    """Return the point nearest to a tap, of distances along both axes in screen pixels; None if all are far."""
    close = np.flatnonzero((dx_px <= TAP_PX) & (dy_px <= TAP_PX))
    if not len(close):
        return None
    return int(close[np.argmin(dx_px[close] ** 2 + dy_px[close] ** 2)])
