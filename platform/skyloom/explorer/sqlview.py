"""The selection of one browser as SQL: shown, saved, and opened again."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bokeh.layouts import column, row
from bokeh.models import Button, Div, Select, TextInput

from skyloom.errors import SkyloomError
from skyloom.explorer.saved import list_selections, load_selection, save_selection
from skyloom.explorer.state import LONGEST, State
from skyloom.explorer.table import shown_columns

if TYPE_CHECKING:
    from skyloom.explorer.server import Explorer

__all__ = ["SqlView"]


class SqlView:
    """A SELECT, a place to save it, and what was saved there.

    Parameters
    ----------
    explorer : Explorer
    state : State
    on_open : callable
        Told the address, as a query string, of a saved selection that the page is to go to.
    say : callable
        Told what to tell the user.
    """

    def __init__(
        self, explorer: Explorer, state: State, *, on_open: Callable[[str], None], say: Callable[[str], None]
    ) -> None:
        self._explorer, self._state, self._on_open, self._say = explorer, state, on_open, say
        self._sql = Div(text="", disable_math=True, width=680)
        self._name = TextInput(title="save as", width=220, name="selection-name")
        save = Button(label="save", width=80, margin=(22, 5, 5, 5), name="save")
        save.on_click(self._save)
        kept = ["", *list_selections(explorer.selections)]
        self._saved = Select(title="open a saved selection", options=kept, value="", width=260, name="saved")
        self._saved.on_change("value", self._open)
        self.root = column(self._sql, row(self._name, save, self._saved))
        self.show(state)

    def show(self, state: State) -> None:
        """Show the SELECT of a state."""
        self._state = state
        self._sql.text = (
            '<pre id="skyloom-sql" style="white-space:pre-wrap;background:#f4f4f4;padding:8px;user-select:text">'
            f"{escape(self._text())}</pre>"
        )

    def _text(self) -> str:
        points = self._explorer.points
        base = points.view.base
        return self._state.sql(shown_columns(points, self._state), base.ra_column, base.dec_column)

    def _save(self) -> None:
        view = self._explorer.points.view
        layers = ",".join(layer.name for layer in view.layers)
        command = f"skyloom query ... --catalog {view.base.root}" + (f" --layers {layers}" if layers else "")
        query = self._state.to_query(self._explorer.default)
        try:
            path = save_selection(
                self._explorer.selections, self._name.value, query, self._text(), comment=command
            )
        except SkyloomError as error:
            self._say(error.message)
            return
        self._say(f"saved {path}")
        self._saved.options = ["", *list_selections(self._explorer.selections)]

    def _open(self, attr: str, old: str, name: str) -> None:
        if not name:
            return
        try:
            query = load_selection(self._explorer.selections, name)
            self._explorer.parsed({key: value[: LONGEST + 1] for key, value in parse_qsl(query)})
        except SkyloomError as error:
            self._say(error.message)
            return
        self._on_open(query)
