"""The object of one browser: light curves, cutouts, spectra, and every column with its unit."""

from __future__ import annotations

from html import escape
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, DataTable, Div, StringFormatter, TableColumn

from skyloom.explorer.figures import cutout_figures, light_curve_figure, spectrum_figure
from skyloom.explorer.objects import Sight, said

__all__ = ["ObjectView"]

FIELDS = {"name": "column", "value": "value", "unit": "unit", "layer": "layer", "meaning": "description"}
WIDTHS = {"name": 180, "value": 150, "unit": 60, "layer": 90, "meaning": 400}


class ObjectView:
    """What is known of the object that is picked."""

    def __init__(self) -> None:
        self._head = Div(text="<i>Click a point or a row to see an object.</i>", disable_math=True, name="object")
        self._plots = column()
        self._cells = ColumnDataSource({name: [] for name in FIELDS})
        self._table = DataTable(
            source=self._cells, index_position=None, sortable=True, width=690, height=260, autosize_mode="none",
            reorderable=False,
            columns=[
                TableColumn(field=name, title=title, formatter=StringFormatter(nan_format=""), width=WIDTHS[name])
                for name, title in FIELDS.items()
            ],
        )  # fmt: skip
        self.root = column(self._head, self._plots, self._table)

    def show(self, sight: Sight) -> None:
        """Show an object."""
        self._head.text = f'<b style="font-size:15px" id="skyloom-object">{escape(sight.id)}</b>'
        self._plots.children = [
            *(light_curve_figure(curve) for curve in sight.curves if len(curve.mjd)),
            *(self._stamp(stamp) for stamp in sight.stamps),
        ]
        self._cells.data = {
            "name": [cell.column.name for cell in sight.cells],
            "value": [said(cell.value) for cell in sight.cells],
            "unit": [cell.column.unit for cell in sight.cells],
            "layer": [cell.layer for cell in sight.cells],
            "meaning": [cell.column.description for cell in sight.cells],
        }

    def fail(self, message: str) -> None:
        """Say why there is no object; nothing of the one before is left."""
        self._head.text = f'<span id="skyloom-object-error">{escape(message)}</span>'
        self._plots.children = []
        self._cells.data = {name: [] for name in FIELDS}

    def _stamp(self, stamp: Any) -> Any:
        if stamp.fault:
            return Div(text=escape(f"{stamp.store.location}: {stamp.fault}"), disable_math=True)
        if stamp.store.layout.kind == "spectra":
            return spectrum_figure(stamp)
        return row(*cutout_figures(stamp))
