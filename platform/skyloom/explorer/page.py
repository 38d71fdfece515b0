"""The page of one browser: its state, its widgets, and what follows from what.

Whatever takes time (pictures, SQL, files, rankings) is done by `tasks`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models import Div, TabPanel, Tabs

from skyloom.errors import SkyloomError, SpecError
from skyloom.explorer.head import Head
from skyloom.explorer.judging import LABEL, Judging
from skyloom.explorer.objects import read_object
from skyloom.explorer.scatter import Drawn, Scatter
from skyloom.explorer.shade import Picture
from skyloom.explorer.sight import ObjectView
from skyloom.explorer.skymap import SkyMap
from skyloom.explorer.sqlview import SqlView
from skyloom.explorer.state import TABS, Box, State
from skyloom.explorer.table import Table
from skyloom.explorer.tasks import Tasks

if TYPE_CHECKING:
    from skyloom.explorer.server import Explorer

__all__ = ["Page", "page", "prepare"]

SELECTING = frozenset({"sky", "xs", "ys"})
SETTLE_MS = 40
"""Wheel events that come within this are one zoom."""


def page(explorer: Explorer) -> Any:
    """Return the page for a browser that has just asked; a wrong address gets a message."""
    import panel

    document = panel.state.curdoc
    asked = {
        name.decode(errors="replace") if isinstance(name, bytes) else name: values[-1].decode(errors="replace")
        for name, values in panel.state.session_args.items()
    }
    try:
        content = Page(explorer, explorer.parsed(asked), document, panel.state.location).root
    except SkyloomError as error:
        content = Div(
            text=f'<p id="skyloom-error">{escape(error.message)}</p><p><a href="/">the whole catalog</a></p>',
            disable_math=True,
        )
    return panel.pane.Bokeh(content)


def prepare(explorer: Explorer) -> None:
    """Draw what every browser sees first, so that none waits for it."""
    state = explorer.default
    sky = SkyMap(explorer.points, state, on_view=_ignored, on_box=_ignored, on_tap=_ignored)
    scatter = Scatter(explorer.points, state, on_view=_ignored, on_spans=_ignored, on_tap=_ignored)
    sky.draw(state.view, None)
    scatter.draw(state, scatter.view, None)


def _ignored(*_: object) -> None:
    """Nobody is there to move the map."""


class Page:
    """One browser."""

    def __init__(self, explorer: Explorer, state: State, document: Any, location: Any) -> None:
        self.explorer, self.points, self.state = explorer, explorer.points, state
        self._document, self._location = document, location
        self._chosen = self.points.selected(state)
        self._point: int | None = None
        self._settling: set[str] = set()
        self.head = Head(
            self.points, state, on_columns=self._change_columns, on_home=self._go_home,
            on_clear=lambda: self.change(sky=None, xs=None, ys=None),
        )  # fmt: skip
        self.tasks = Tasks(document, on_error=self.head.say, kept={LABEL})
        self.map = SkyMap(self.points, state, on_view=self._view_moved, on_box=lambda box: self.change(sky=box),
                          on_tap=self.pick)  # fmt: skip
        self.scatter = Scatter(self.points, state, on_view=lambda: self._settle("scatter"),
                               on_spans=lambda spans: self.change(**spans), on_tap=self.pick)  # fmt: skip
        self.table = Table(self.points, state, on_change=self.change, on_pick=self._pick_id)
        self.sql = SqlView(explorer, state, on_open=self._open, say=self.head.say)
        self.object = ObjectView()
        self.judging = Judging(explorer, state, self.tasks, on_loop=lambda loop: self.change(loop=loop),
                               on_pick=self.pick, on_id=self._pick_id)  # fmt: skip
        self.root = self._laid_out()
        document.js_on_event("document_ready", self.judging.view.listen)
        # Before the page is sent: the first thing that is seen is the sky, not an empty frame.
        self._show_map(state.view, self.map.draw(state.view, self._chosen))
        self._show_scatter(self.scatter.draw(state, self.scatter.view, self._chosen))
        self.head.say_selected(self._chosen)
        self._read_table()
        if state.id:
            self._pick_id(state.id)
        if state.tab == "labels":
            self.judging.rank(state, self._chosen)

    def change(self, **changes: Any) -> None:
        """Go to another state: the address follows, then whatever depends on it."""
        before = self.state
        try:
            self.state = replace(before, **changes)
        except SpecError as error:
            self.head.say(error.message)
            return
        changed = {name for name in changes if getattr(before, name) != getattr(self.state, name)}
        if not changed:
            return
        self.head.say("")
        if changed != {"view"}:  # a zoom is many events: its address is written when it has come to rest
            self._write_address()
        if changed & SELECTING or (changed & {"x", "y"} and self.state.is_selection):
            self.state = replace(self.state, page=0)
            self._chosen = self.points.selected(self.state)
            self.head.say_selected(self._chosen)
            self.map.show_box(self.state.sky)
            self.scatter.show_spans(self.state)
            self._settle("map")
        if changed & (SELECTING | {"x", "y"}):
            self._settle("scatter")
        if changed & (SELECTING | {"sort", "page", "x", "y"}):
            self._read_table()
        if changed & (SELECTING | {"loop", "tab"}) and self.state.tab == "labels":
            self.judging.rank(self.state, self._chosen)
        self.sql.show(self.state)

    def pick(self, point: int) -> None:
        """Show an object."""
        self._point = point
        self.judging.look_at(point)
        self.change(id=str(self.points.ids[point].as_py()))
        self.map.mark(point)
        self.scatter.mark(point, self.state)
        self.tasks.start(
            "object",
            lambda: read_object(self.points, point, self.explorer.stores),
            self.object.show,
            self.object.fail,
        )

    def _pick_id(self, id_: str) -> None:
        try:
            self.pick(self.points.find(id_))
        except SkyloomError as error:
            self.object.fail(error.message)

    def _view_moved(self, view: Box) -> None:
        self.change(view=view)
        self._settle("map")

    def _go_home(self) -> None:
        self.map.move(State(x="", y="").view)

    def _settle(self, what: str) -> None:
        """Draw again, soon and once, however many events ask for it."""
        if what not in self._settling:
            self._settling.add(what)
            self._document.add_timeout_callback(partial(self._draw, what), SETTLE_MS)

    def _draw(self, what: str) -> None:
        self._settling.discard(what)
        state, chosen = self.state, self._chosen
        if what == "map":
            self._write_address()
            self.tasks.start(
                "map", lambda: self.map.draw(state.view, chosen), lambda made: self._show_map(state.view, made)
            )
        else:
            view = self.scatter.view
            self.tasks.start("scatter", lambda: self.scatter.draw(state, view, chosen), self._show_scatter)

    def _show_map(self, view: Box, picture: Picture) -> None:
        self.map.show(view, picture, self.state)
        self.map.mark(self._point)
        self._map_said.text = f'<span id="skyloom-map">{escape(picture.said)}</span>'

    def _show_scatter(self, drawn: Drawn) -> None:
        self.scatter.show(drawn, self.state)
        self._scatter_said.text = f'<span id="skyloom-scatter">{escape(drawn.picture.said)}</span>'

    def _read_table(self) -> None:
        state = self.state
        self.tasks.start("table", lambda: self.table.read(state), lambda found: self.table.show(found, state))

    def _write_address(self) -> None:
        said = self.state.to_query(self.explorer.default)
        self._location.search = f"?{said}" if said else ""

    def _open(self, query: str) -> None:
        self._location.reload = True
        self._location.search = f"?{query}"

    def _change_columns(self, x: str, y: str) -> None:
        state = replace(self.state, x=x, y=y)
        # A range is of the column that it was drawn on.
        spans = {f"{axis}s": None for axis in ("x", "y") if getattr(state, axis) != getattr(self.state, axis)}

        def show(_: object) -> None:
            self.scatter.change_columns(state)
            self.change(x=state.x, y=state.y, **spans)
            self.scatter.mark(self._point, self.state)

        self.tasks.start("columns", lambda: [self.points.core(name) for name in (state.x, state.y)], show)

    def _laid_out(self) -> Any:
        self._map_said, self._scatter_said = (Div(text="", disable_math=True, width=w) for w in (680, 380))
        panels = {"table": self.table.root, "labels": self.judging.view.root, "sql": self.sql.root}
        tabs = Tabs(
            tabs=[TabPanel(child=panels[name], title=name) for name in TABS], active=TABS.index(self.state.tab)
        )
        tabs.on_change("active", self._changed_tab)
        return column(
            self.head.root,
            row(
                column(self.map.figure, self._map_said),
                column(self.scatter.figure, self._scatter_said),
                column(*self.scatter.histograms.values()),
            ),
            row(tabs, self.object.root, spacing=20),
        )

    def _changed_tab(self, attr: str, old: int, new: int) -> None:
        self.judging.view.is_on = TABS[new] == "labels"
        self.change(tab=TABS[new])
