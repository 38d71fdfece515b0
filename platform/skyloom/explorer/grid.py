"""A table of texts: what is in it is shown letter for letter, and never taken for markup or a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from bokeh.models import ColumnDataSource, DataTable, StringFormatter, TableColumn

__all__ = ["TextTable"]

NARROWEST_PX, WIDEST_PX = 60, 220
CHARACTER_PX, PADDING_PX = 7, 18


class TextTable:
    """A Bokeh table whose contents are replaced as a whole.

    Parameters
    ----------
    width, height : int
        Pixels.
    on_pick : callable, optional
        Told the number of a row that was clicked.
    """

    def __init__(self, width: int, height: int, *, on_pick: Callable[[int], None] | None = None) -> None:
        self._on_pick = on_pick
        self._rows = ColumnDataSource({})
        self._rows.selected.on_change("indices", self._picked)
        self.root = DataTable(
            source=self._rows, columns=[], width=width, height=height, index_position=None, sortable=False,
            reorderable=False, autosize_mode="none",
        )  # fmt: skip

    def show(self, columns: Mapping[str, Sequence[str]], widths: Mapping[str, int] | None = None) -> None:
        """Show columns of texts under their titles.

        Parameters
        ----------
        columns : mapping of str to sequence of str
            Texts by title, all of one length.
        widths : mapping of str to int, optional
            Pixels by title; what is not there is as wide as its texts, within limits.
        """
        fields = {title: f"c{i}" for i, title in enumerate(columns)}
        self._rows.selected.indices = []
        self._rows.data = {fields[title]: list(texts) for title, texts in columns.items()}
        # New columns each time: BokehJS 3.9 does not draw a table again when only its texts change.
        self.root.columns = [
            TableColumn(
                field=field,
                title=escape(title),  # SlickGrid takes titles for HTML
                formatter=StringFormatter(nan_format=""),
                width=(widths or {}).get(title) or _width(title, columns[title]),
            )
            for title, field in fields.items()
        ]

    def _picked(self, attr: str, old: Any, new: list[int]) -> None:
        if new and self._on_pick is not None:
            self._on_pick(new[0])


def _width(title: str, texts: Sequence[str]) -> int:
    longest = max([len(title), *(len(text) for text in texts)])
    return min(max(CHARACTER_PX * longest + PADDING_PX, NARROWEST_PX), WIDEST_PX)
