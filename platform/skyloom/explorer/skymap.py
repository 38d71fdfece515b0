"""The sky map of one browser: plate carrée, north up, east to the left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.events import RangesUpdate, SelectionGeometry, Tap
from bokeh.models import BoxAnnotation, ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from skyloom.explorer.figures import plain
from skyloom.explorer.points import Points
from skyloom.explorer.shade import Picture, draw_map
from skyloom.explorer.state import Box, State

__all__ = ["SkyMap", "nearest", "sky_box"]

WIDTH, HEIGHT = 640, 320
TAP_PX = 8
SELECTION = {"fill_color": "#e6550d", "fill_alpha": 0.06, "line_color": "#a63603", "line_dash": "dashed"}
SMALLEST_DEG = 1e-3


class SkyMap:
    """A figure that follows the state of a page, and says what a hand did to it.

    Parameters
    ----------
    points : Points
    state : State
    on_view : callable
        Told the box that is shown, after every zoom and pan.
    on_box : callable
        Told a box that was drawn.
    on_tap : callable
        Told a point, by number.
    """

    def __init__(
        self,
        points: Points,
        state: State,
        *,
        on_view: Callable[[Box], None],
        on_box: Callable[[Box], None],
        on_tap: Callable[[int], None],
    ) -> None:
        self.points, self._on_view, self._on_box, self._on_tap = points, on_view, on_box, on_tap
        self.view = state.view
        # East is to the left: the axis runs backwards.
        self._x = Range1d(
            self.view.x1, self.view.x0, bounds=(-180, 540), max_interval=360, min_interval=SMALLEST_DEG
        )
        self._y = Range1d(
            self.view.y0, self.view.y1, bounds=(-90, 90), max_interval=180, min_interval=SMALLEST_DEG
        )
        self.figure = figure(
            frame_width=WIDTH, frame_height=HEIGHT, x_range=self._x, y_range=self._y,
            tools="pan,wheel_zoom,box_select",
            active_scroll="wheel_zoom", active_drag="pan", name="sky-map", toolbar_location="right",
        )  # fmt: skip
        self.figure.toolbar.logo = None
        self.figure.xaxis.axis_label = plain("right ascension (deg)")
        self.figure.yaxis.axis_label = plain("declination (deg)")
        self.image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.figure.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self.image)
        self._box = BoxAnnotation(visible=False, **SELECTION)
        self.figure.add_layout(self._box)
        self._mark = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter("x", "y", source=self._mark, size=16, color="#d62728", fill_alpha=0, line_width=2)
        self.figure.on_event(RangesUpdate, self._moved)
        self.figure.on_event(SelectionGeometry, self._boxed)
        self.figure.on_event(Tap, self._tapped)

    def draw(self, view: Box, chosen: NDArray[np.bool_] | None) -> Picture:
        """Make the picture of a view; touches no widget, so that a thread may do it."""
        return draw_map(self.points, view, (WIDTH, HEIGHT), chosen)

    def show(self, view: Box, picture: Picture, state: State) -> None:
        """Put a picture on the page, with the box and the object that are selected."""
        self.view = view
        self.image.data = {
            "image": [picture.rgba], "x": [view.x0], "y": [view.y0],
            "dw": [view.x1 - view.x0], "dh": [view.y1 - view.y0],
        }  # fmt: skip
        self.show_box(state.sky)

    def show_box(self, sky: Box | None) -> None:
        """Draw the outline of what is selected; None for nothing."""
        self._box.visible = sky is not None
        if sky is None:
            return
        east = sky.x1 + (360 if sky.x1 < sky.x0 else 0)
        turn = 360 * round(((self.view.x0 + self.view.x1) - (sky.x0 + east)) / 720)
        sides = {"left": sky.x0 + turn, "right": east + turn, "bottom": sky.y0, "top": sky.y1}
        self._box.update(**sides)

    def mark(self, point: int | None) -> None:
        """Circle a point; None for none."""
        if point is None:
            self._mark.data = {"x": [], "y": []}
            return
        ra = float(self.points.ra[point])
        turn = 360 * round(((self.view.x0 + self.view.x1) / 2 - ra) / 360)
        self._mark.data = {"x": [ra + turn], "y": [float(self.points.dec[point])]}

    def move(self, view: Box) -> None:
        """Show another part of the sky."""
        self._x.update(start=view.x1, end=view.x0)
        self._y.update(start=view.y0, end=view.y1)

    def _moved(self, event: Any) -> None:
        if None in (event.x0, event.x1, event.y0, event.y1):
            return
        (x0, x1), (y0, y1) = sorted((event.x0, event.x1)), sorted((event.y0, event.y1))
        if x0 < x1 and y0 < y1:
            self._on_view(Box(x0, x1, y0, y1))

    def _boxed(self, event: Any) -> None:
        if event.final and event.geometry.get("type") == "rect":
            corner = event.geometry
            self._on_box(sky_box(corner["x0"], corner["x1"], corner["y0"], corner["y1"]))

    def _tapped(self, event: Any) -> None:
        if event.x is None or event.y is None:
            return
        per_px = ((self.view.x1 - self.view.x0) / WIDTH, (self.view.y1 - self.view.y0) / HEIGHT)
        along = np.abs(np.mod(self.points.ra - np.float32(event.x) + np.float32(180), np.float32(360)) - 180)
        found = nearest(along / per_px[0], np.abs(self.points.dec - np.float32(event.y)) / per_px[1])
        if found is not None:
            self._on_tap(found)


def sky_box(x0: float, x1: float, y0: float, y1: float) -> Box:
    """Return a box with right ascension in [0, 360], from corners in degrees that may be beyond.

    Examples
    --------
    >>> sky_box(-10, 10, -95, 5)
    Box(x0=350.0, x1=10.0, y0=-90.0, y1=5.0)
    """
    (west, east), (south, north) = sorted((x0, x1)), sorted((y0, y1))
    south, north = max(south, -90.0), min(north, 90.0)
    if east - west >= 360:
        return Box(0.0, 360.0, south, north)
    return Box(west % 360, 360.0 if east == 360 else east % 360, south, north)


def nearest(dx_px: NDArray[np.floating], dy_px: NDArray[np.floating]) -> int | None:
    """Return the point nearest to a tap, of distances along both axes in screen pixels; None if all are far."""
    close = np.flatnonzero((dx_px <= TAP_PX) & (dy_px <= TAP_PX))
    if not len(close):
        return None
    return int(close[np.argmin(dx_px[close] ** 2 + dy_px[close] ** 2)])
