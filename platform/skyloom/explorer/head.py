"""The top of the page of one browser: what is looked at, which columns, how much is selected."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import Button, Div, Select
from numpy.typing import NDArray

from skyloom.explorer.points import Points
from skyloom.explorer.state import State

__all__ = ["Head"]


class Head:
    """Title, the columns of the plots, the number of selected objects, and messages.

    Parameters
    ----------
    points : Points
    state : State
    on_columns : callable
        Told the names of the columns x and y.
    on_clear : callable
        Called where the selection is to end.
    on_home : callable
        Called where the map is to show the whole sky.
    """

    def __init__(
        self,
        points: Points,
        state: State,
        *,
        on_columns: Callable[[str, str], None],
        on_clear: Callable[[], None],
        on_home: Callable[[], None],
    ) -> None:
        self._points = points
        view = points.view
        names = [c.name for c in points.numeric]
        layers = f" + {', '.join(layer.name for layer in view.layers)}" if view.layers else ""
        title = f"<b style='font-size:18px'>{escape(view.name)}</b>{escape(layers)}"
        x, y = (
            Select(title=axis, options=names, value=value, width=210, name=axis)
            for axis, value in (("x", state.x), ("y", state.y))
        )
        for select in (x, y):
            select.on_change("value", lambda attr, old, new: on_columns(x.value, y.value))
        self._selected = Div(text="", disable_math=True, width=250, margin=(24, 5, 5, 15))
        self._clear = Button(label="clear selection", width=120, margin=(22, 5, 5, 5), name="clear")
        self._clear.on_click(on_clear)
        home = Button(label="whole sky", width=90, margin=(22, 5, 5, 5))
        home.on_click(on_home)
        self._message = Div(text="", disable_math=True, width=1380)
        self.root = column(
            row(Div(text=title, disable_math=True, width=430), x, y, self._selected, self._clear, home),
            self._message,
        )

    def say(self, message: str) -> None:
        """Show a message; ``""`` takes the last one away."""
        self._message.text = f'<span id="skyloom-message" style="color:#aa3377">{escape(message)}</span>'

    def say_selected(self, chosen: NDArray[np.bool_] | None) -> None:
        """Say how many objects are selected; None is all."""
        points = self._points
        if chosen is None:
            text = f"all {points.total_rows:,} objects"
        else:
            text = f"{int(np.count_nonzero(chosen)):,} of {len(points):,} objects selected"
        if points.stride > 1:
            text += f" (one row in {points.stride} is held; SQL and table see all)"
        self._selected.text = f'<b id="skyloom-selected">{escape(text)}</b>'
        self._clear.disabled = chosen is None
