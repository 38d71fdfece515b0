"""The object of one browser: light curves, cutouts, spectra, and every column with its unit."""

from __future__ import annotations

from html import escape
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import Div

from skyloom.explorer.figures import cutout_figures, light_curve_figure, spectrum_figure
from skyloom.explorer.grid import TextTable
from skyloom.explorer.objects import Sight, said

__all__ = ["ObjectView"]

WIDTHS = {"column": 165, "value": 140, "unit": 50, "description": 420}


class ObjectView:
    """What is known of the object that is picked."""

    def __init__(self) -> None:
        self._head = Div(text="<i>Click a point or a row to see an object.</i>", disable_math=True, name="object")
        self._plots = column()
        self._table = TextTable(690, 420)
        self.root = column(self._head, self._plots, self._table.root)

    def show(self, sight: Sight) -> None:
        """Show an object."""
        self._head.text = f'<b style="font-size:15px" id="skyloom-object">{escape(sight.id)}</b>'
        self._plots.children = [
            *(light_curve_figure(curve) for curve in sight.curves if len(curve.mjd)),
            *(self._stamp(stamp) for stamp in sight.stamps),
        ]
        columns = {
            "column": [cell.column.name for cell in sight.cells],
            "value": [said(cell.value) for cell in sight.cells],
            "unit": [cell.column.unit for cell in sight.cells],
            "layer": [cell.layer for cell in sight.cells],
            "description": [cell.column.description for cell in sight.cells],
        }
        self._table.show(columns, WIDTHS)

    def fail(self, message: str) -> None:
        """Say why there is no object; nothing of the one before is left."""
        self._head.text = f'<span id="skyloom-object-error">{escape(message)}</span>'
        self._plots.children = []
        self._table.show({})

    def _stamp(self, stamp: Any) -> Any:
        if stamp.fault:
            return Div(text=escape(f"{stamp.store.location}: {stamp.fault}"), disable_math=True)
        if stamp.store.layout.kind == "spectra":
            return spectrum_figure(stamp)
        return row(*cutout_figures(stamp))
