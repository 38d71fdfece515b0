"""The sky map of one browser: plate carrée, north up, east to the left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bokeh.models import Range1d
from numpy.typing import NDArray

from skyloom.explorer.figures import plain
from skyloom.explorer.frame import Frame, Sides, nearest
from skyloom.explorer.points import Points
from skyloom.explorer.shade import Picture, draw_map
from skyloom.explorer.state import Box, State

__all__ = ["SkyMap", "sky_box"]

WIDTH, HEIGHT = 640, 320
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
        self.points, self._on_view, self._on_tap = points, on_view, on_tap
        self.view = state.view
        # East is to the left: the axis runs backwards.
        self._x = Range1d(
            self.view.x1, self.view.x0, bounds=(-180, 540), max_interval=360, min_interval=SMALLEST_DEG
        )
        self._y = Range1d(
            self.view.y0, self.view.y1, bounds=(-90, 90), max_interval=180, min_interval=SMALLEST_DEG
        )
        self._frame = Frame(
            "sky-map", (WIDTH, HEIGHT), self._x, self._y,
            drag="pan", on_move=self._moved, on_box=lambda sides: on_box(sky_box(*sides)), on_tap=self._tapped,
        )  # fmt: skip
        self.figure = self._frame.figure
        self.figure.xaxis.axis_label = plain("right ascension (deg)")
        self.figure.yaxis.axis_label = plain("declination (deg)")

    def draw(self, view: Box, chosen: NDArray[np.bool_] | None) -> Picture:
        """Make the picture of a view; touches no widget, so that a thread may do it."""
        return draw_map(self.points, view, (WIDTH, HEIGHT), chosen)

    def show(self, view: Box, picture: Picture, state: State) -> None:
        """Put a picture on the page, with the box and the object that are selected."""
        self.view = view
        self._frame.show(view, picture.rgba)
        self.show_box(state.sky)

    def show_box(self, sky: Box | None) -> None:
        """Draw the outline of what is selected; None for nothing."""
        if sky is None:
            self._frame.outline(None, None, None, None)
            return
        east = sky.x1 + (360 if sky.x1 < sky.x0 else 0)
        turn = 360 * round(((self.view.x0 + self.view.x1) - (sky.x0 + east)) / 720)
        self._frame.outline(sky.x0 + turn, east + turn, sky.y0, sky.y1)

    def mark(self, point: int | None) -> None:
        """Circle a point; None for none."""
        if point is None:
            self._frame.mark([], [])
            return
        ra = float(self.points.ra[point])
        turn = 360 * round(((self.view.x0 + self.view.x1) / 2 - ra) / 360)
        self._frame.mark([ra + turn], [float(self.points.dec[point])])

    def move(self, view: Box) -> None:
        """Show another part of the sky."""
        self._x.update(start=view.x1, end=view.x0)
        self._y.update(start=view.y0, end=view.y1)

    def _moved(self, sides: Sides) -> None:
        x0, x1, y0, y1 = sides
        if x0 < x1 and y0 < y1:
            self._on_view(Box(x0, x1, y0, y1))

    def _tapped(self, ra: float, dec: float) -> None:
        per_px = ((self.view.x1 - self.view.x0) / WIDTH, (self.view.y1 - self.view.y0) / HEIGHT)
        along = np.abs(np.mod(self.points.ra - np.float32(ra) + np.float32(180), np.float32(360)) - 180)
        found = nearest(along / per_px[0], np.abs(self.points.dec - np.float32(dec)) / per_px[1])
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
