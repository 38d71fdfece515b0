"""The table of one browser: a page of the rows that are selected, sorted by any column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from bokeh.layouts import column, row
from bokeh.models import Button, Div, Select, Toggle

from skyloom.explorer.grid import TextTable
from skyloom.explorer.objects import said
from skyloom.explorer.points import Points
from skyloom.explorer.state import State
from skyloom.query import Limits, start_ahead

__all__ = ["PAGE_ROWS", "Table", "shown_columns"]

PAGE_ROWS = 50
COLUMNS_SHOWN = 12
LIMITS = Limits(memory_bytes=2_000_000_000, wall_s=60.0)
DEEPEST = 1_000_000
"""Rows into a sorted table that one may page."""


class Table:
    """Rows of a SELECT, as text, and what sorts and pages them.

    Parameters
    ----------
    points : Points
    state : State
    on_change : callable
        Told ``sort`` and ``page`` by name.
    on_pick : callable
        Told the id of a row that was clicked, as text.
    """

    def __init__(
        self, points: Points, state: State, *, on_change: Callable[..., None], on_pick: Callable[[str], None]
    ) -> None:
        self.points, self._on_change, self._on_pick = points, on_change, on_pick
        self._ids: list[str] = []
        sort = state.sort.removeprefix("-")
        self._sort = Select(title="sort by", options=[("", "(as stored)"), *((n, n) for n in points.sortable)],
                            value=sort, width=220, name="sort")  # fmt: skip
        self._descending = Toggle(
            label="descending", active=state.sort.startswith("-"), width=100, margin=(22, 5, 5, 5)
        )
        self._back = Button(label="◀", width=40, disabled=True, margin=(22, 5, 5, 5))
        self._on = Button(label="▶", width=40, margin=(22, 5, 5, 5), name="next-page")
        self._said = Div(text="", disable_math=True, margin=(28, 5, 5, 5))
        self._table = TextTable(690, 520, on_pick=self._picked)
        self._page = state.page
        self._sort.on_change("value", self._sorted)
        self._descending.on_change("active", self._sorted)
        self._back.on_click(lambda: self._turn(-1))
        self._on.on_click(lambda: self._turn(1))
        self.root = column(row(self._sort, self._descending, self._back, self._on, self._said), self._table.root)

    def read(self, state: State) -> pa.Table:
        """Ask for the page that a state shows; touches no widget, so that a thread may do it."""
        base = self.points.view.base
        sql = state.sql(shown_columns(self.points, state), base.ra_column, base.dec_column)
        start = min(state.page * PAGE_ROWS, DEEPEST)
        try:
            return self.points.view.query(f"{sql}\nLIMIT {PAGE_ROWS + 1} OFFSET {start}", limits=LIMITS)
        finally:
            start_ahead()  # for the next page, whoever turns to it

    def show(self, found: pa.Table, state: State) -> None:
        """Put rows on the page, as text: ids are exact, and nothing of a value is ever markup."""
        self._page = state.page
        more, found = found.num_rows > PAGE_ROWS, found.slice(0, PAGE_ROWS)
        units = {c.name: c.unit for c in self.points.view.columns}
        texts = {
            name: [said(found[name].slice(i, 1).combine_chunks()) for i in range(found.num_rows)]
            for name in found.column_names
        }
        self._ids = texts.get(self.points.view.base.id_column or "", [])
        self._table.show({f"{name} ({units[name]})" if units.get(name) else name: t for name, t in texts.items()})
        self._back.disabled, self._on.disabled = state.page == 0, not more
        first = state.page * PAGE_ROWS
        self._said.text = f"rows {first + 1:,} to {first + found.num_rows:,}" if found.num_rows else "no rows"

    def _sorted(self, attr: str, old: Any, new: Any) -> None:
        name = self._sort.value
        self._on_change(sort=f"-{name}" if name and self._descending.active else name, page=0)

    def _turn(self, pages: int) -> None:
        self._on_change(page=max(0, self._page + pages))

    def _picked(self, row: int) -> None:
        if row < len(self._ids):
            self._on_pick(self._ids[row])


def shown_columns(points: Points, state: State) -> list[str]:
    """Return the columns of the table: id, position, what is drawn or sorted by, then others as they come."""
    base = points.view.base
    first = [base.id_column, base.ra_column, base.dec_column, state.sort.removeprefix("-"), state.x, state.y]
    named = [name for name in dict.fromkeys(first) if name]
    others = [name for name in points.sortable if name not in named]
    return [*named, *others[: max(0, COLUMNS_SHOWN - len(named))]]
