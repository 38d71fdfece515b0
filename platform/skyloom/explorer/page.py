"""The page of one browser: its state, its widgets, and what follows from what.

Whatever takes time (pictures, SQL, files, rankings) is done in threads without the lock of the
document, so that a slow query never holds up a zoom; of answers that overtake each other the
newest question's counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import numpy as np
from bokeh.document import without_document_lock
from bokeh.layouts import column, row
from bokeh.models import Button, Div, Select, TabPanel, Tabs, TextInput
from numpy.typing import NDArray

from skyloom.errors import SkyloomError, SpecError
from skyloom.explorer.labelling import Labelling
from skyloom.explorer.objects import Sight, read_object
from skyloom.explorer.ranking import Candidates, Ranking, candidates, rank
from skyloom.explorer.saved import list_selections, load_selection, save_selection
from skyloom.explorer.scatter import Drawn, Scatter
from skyloom.explorer.shade import Picture
from skyloom.explorer.sight import ObjectView
from skyloom.explorer.skymap import SkyMap
from skyloom.explorer.state import LONGEST, TABS, Box, State
from skyloom.explorer.table import Table, shown_columns

if TYPE_CHECKING:
    from skyloom.explorer.server import Explorer

__all__ = ["Page", "page", "prepare"]

Found = TypeVar("Found")
logger = logging.getLogger(__name__)
ABSENT = "labels need a place: open the page with a layer, or with --labels FOLDER"
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
        state = parsed(explorer, asked)
        content = Page(explorer, state, document, panel.state.location).root
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


def parsed(explorer: Explorer, asked: dict[str, str]) -> State:
    """Return the state that the parameters of a URL say."""
    points = explorer.points
    numeric = [c.name for c in points.numeric]
    return State.of_query(asked, numeric=numeric, columns=points.sortable, default=explorer.default)


class Page:
    """One browser."""

    def __init__(self, explorer: Explorer, state: State, document: Any, location: Any) -> None:
        self.explorer, self.points, self.state = explorer, explorer.points, state
        self._document, self._location = document, location
        self._asked: Counter[str] = Counter()
        self._chosen = self.points.selected(state)
        self._candidates: tuple[object, Candidates] | None = None
        self._ranking: Ranking | None = None
        self._point: int | None = None
        self._settling: set[str] = set()
        self.map = SkyMap(self.points, state, on_view=self._view_moved, on_box=lambda box: self.change(sky=box),
                          on_tap=self.pick)  # fmt: skip
        self.scatter = Scatter(self.points, state, on_view=lambda: self._settle("scatter"),
                               on_spans=lambda spans: self.change(**spans), on_tap=self.pick)  # fmt: skip
        self.table = Table(self.points, state, on_change=self.change, on_pick=self._pick_id)
        self.object = ObjectView()
        self.labelling = Labelling(
            self.points, state, by=explorer.by, classes=explorer.classes, on_label=self._label, on_undo=self._undo,
            on_loop=lambda loop: self.change(loop=loop), on_pick=self.pick,
        )  # fmt: skip
        self.root = self._laid_out()
        document.js_on_event("document_ready", self.labelling.listen)
        # Before the page is sent: the first thing that is seen is the sky, not an empty frame.
        self._show_map(state.view, self.map.draw(state.view, self._chosen))
        self._show_scatter(self.scatter.draw(state, self.scatter.view, self._chosen))
        self._say_selected()
        self._read_table()
        if state.id:
            self._pick_id(state.id)
        if state.tab == "labels":
            self._rank()

    def change(self, **changes: Any) -> None:
        """Go to another state: the address follows, then whatever depends on it."""
        before = self.state
        try:
            self.state = replace(before, **changes)
        except SpecError as error:
            self._say(error.message)
            return
        changed = {name for name in changes if getattr(before, name) != getattr(self.state, name)}
        if not changed:
            return
        self._say("")
        if changed != {"view"}:  # a zoom is many events: its address is written when it has come to rest
            self._write_address()
        if changed & SELECTING or (changed & {"x", "y"} and self.state.is_selection):
            self.state = replace(self.state, page=0)
            self._chosen = self.points.selected(self.state)
            self._say_selected()
            self.map.show_box(self.state.sky)
            self.scatter.show_spans(self.state)
            self._settle("map")
        if changed & (SELECTING | {"x", "y"}):
            self._settle("scatter")
        if changed & (SELECTING | {"sort", "page", "x", "y"}):
            self._read_table()
        if changed & (SELECTING | {"loop", "tab"}) and self.state.tab == "labels":
            self._rank()
        self._show_sql()

    def pick(self, point: int) -> None:
        """Show an object."""
        self._point = point
        self.change(id=str(self.points.ids[point].as_py()))
        self.map.mark(point)
        self.scatter.mark(point, self.state)
        self._in_thread(
            "object",
            lambda: read_object(self.points, point, self.explorer.stores),
            self._show_object,
            self.object.fail,
        )

    def _pick_id(self, id_: str) -> None:
        try:
            self.pick(self.points.find(id_))
        except SkyloomError as error:
            self.object.fail(error.message)

    def _show_object(self, sight: Sight) -> None:
        self.object.show(sight)

    def _view_moved(self, view: Box) -> None:
        self.change(view=view)
        self._settle("map")

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
            self._in_thread(
                "map", lambda: self.map.draw(state.view, chosen), lambda made: self._show_map(state.view, made)
            )
        else:
            view = self.scatter.view
            self._in_thread("scatter", lambda: self.scatter.draw(state, view, chosen), self._show_scatter)

    def _show_map(self, view: Box, picture: Picture) -> None:
        self.map.show(view, picture, self.state)
        self.map.mark(self._point)
        self._map_said.text = f'<span id="skyloom-map">{escape(picture.said)}</span>'

    def _show_scatter(self, drawn: Drawn) -> None:
        self.scatter.show(drawn, self.state)
        self._scatter_said.text = f'<span id="skyloom-scatter">{escape(drawn.picture.said)}</span>'

    def _read_table(self) -> None:
        state = self.state
        self._in_thread("table", lambda: self.table.read(state), lambda found: self.table.show(found, state))

    def _rank(self, *, follow: bool = False) -> None:
        """Order what is selected by the labels; with `follow`, then show the first without one."""
        store, state, chosen = self.explorer.labels, self.state, self._chosen
        if store is None:
            self.labelling.fail(ABSENT)
            return
        self.labelling.wait()
        key = (state.sky, state.x, state.xs, state.y, state.ys)

        def work() -> Ranking:
            if self._candidates is None or self._candidates[0] != key:
                self._candidates = (key, candidates(self.points, self.explorer.features, chosen))
            return rank(self._candidates[1], store, loop=state.loop)

        self._in_thread("ranking", work, partial(self._show_ranking, follow=follow), self.labelling.fail)

    def _show_ranking(self, ranking: Ranking, *, follow: bool) -> None:
        self._ranking = ranking
        self.labelling.show(ranking)
        next_ = ranking.unlabelled(self.points, 1)
        if follow and next_:
            self.pick(int(ranking.points[next_[0]]))

    def _label(self, name: str, by: str, comment: str) -> None:
        store, point, ranking = self.explorer.labels, self._point, self._ranking
        if store is None or point is None:
            self.labelling.fail(ABSENT if store is None else "pick an object first: a point, or a row of a table")
            return
        score = None
        if ranking is not None and len(place := np.flatnonzero(ranking.points == point)):
            score = float(ranking.scores[place[0]])
        column_ = f"rerank-{self.state.loop}" if score is not None else ""
        self._in_thread(
            "label",
            lambda: store.add(self.points.ids[point].as_py(), name, by, comment, column=column_, score=score),
            lambda _: self._rank(follow=True),
            self.labelling.fail,
        )

    def _undo(self, by: str) -> None:
        store = self.explorer.labels
        if store is None:
            self.labelling.fail(ABSENT)
            return

        def show(undone: Any) -> None:
            if undone is None:
                self.labelling.fail(f"{by} has no label to take back")
                return
            self._pick_id(str(undone.object_id))
            self._rank()

        self._in_thread("label", lambda: store.undo(by), show, self.labelling.fail)

    def _in_thread(
        self,
        what: str,
        work: Callable[[], Found],
        show: Callable[[Found], None],
        fail: Callable[[str], None] | None = None,
    ) -> None:
        """Do `work` in a thread, then `show` what it found, unless it was asked again meanwhile."""
        self._asked[what] += 1
        number = self._asked[what]

        def settle(found: Found | None, message: str) -> None:
            # What was written must be followed up, whoever pressed a key since.
            if what != "label" and number != self._asked[what]:
                return
            if message:
                (fail or self._say)(message)
            else:
                show(found)  # type: ignore[arg-type]

        @without_document_lock  # type: ignore[untyped-decorator]
        async def run() -> None:
            found, message = None, ""
            try:
                found = await asyncio.to_thread(work)
            except SkyloomError as error:
                message = error.message
            except Exception as error:  # the end of a task: a page that only waited would say nothing
                logger.exception("%s of a page failed", what)
                message = f"{what} failed, {type(error).__name__}: {error}; the server's log has more"
            self._document.add_next_tick_callback(partial(settle, found, message))

        self._document.add_next_tick_callback(run)

    def _write_address(self) -> None:
        said = self.state.to_query(self.explorer.default)
        self._location.search = f"?{said}" if said else ""

    def _say(self, message: str) -> None:
        self._message.text = f'<span id="skyloom-message" style="color:#aa3377">{escape(message)}</span>'

    def _say_selected(self) -> None:
        chosen: NDArray[np.bool_] | None = self._chosen
        if chosen is None:
            text = f"all {self.points.total_rows:,} objects"
        else:
            text = f"{int(np.count_nonzero(chosen)):,} of {len(self.points):,} objects selected"
        if self.points.stride > 1:
            text += f" (one row in {self.points.stride} is held; SQL and table see all)"
        self._selected.text = f'<b id="skyloom-selected">{escape(text)}</b>'
        self._clear.disabled = chosen is None

    def _sql_text(self) -> str:
        base = self.points.view.base
        return self.state.sql(shown_columns(self.points, self.state), base.ra_column, base.dec_column)

    def _show_sql(self) -> None:
        self._sql.text = (
            '<pre id="skyloom-sql" style="white-space:pre-wrap;background:#f4f4f4;padding:8px;user-select:text">'
            f"{escape(self._sql_text())}</pre>"
        )

    def _save(self) -> None:
        view = self.points.view
        layers = ",".join(layer.name for layer in view.layers)
        command = f"skyloom query ... --catalog {view.base.root}" + (f" --layers {layers}" if layers else "")
        query = self.state.to_query(self.explorer.default)
        try:
            path = save_selection(
                self.explorer.selections, self._name.value, query, self._sql_text(), comment=command
            )
        except SkyloomError as error:
            self._say(error.message)
            return
        self._say(f"saved {path}")
        self._saved.options = ["", *list_selections(self.explorer.selections)]

    def _open_saved(self, attr: str, old: str, name: str) -> None:
        if not name:
            return
        try:
            query = load_selection(self.explorer.selections, name)
            parsed(self.explorer, {key: value[: LONGEST + 1] for key, value in parse_qsl(query)})
        except SkyloomError as error:
            self._say(error.message)
            return
        self._location.reload = True
        self._location.search = f"?{query}"

    def _changed_columns(self, attr: str, old: str, new: str) -> None:
        state = replace(self.state, x=self._x.value, y=self._y.value)
        # A range is of the column that it was drawn on.
        spans = {f"{axis}s": None for axis in ("x", "y") if getattr(state, axis) != getattr(self.state, axis)}

        def show(_: object) -> None:
            self.scatter.change_columns(state)
            self.change(x=state.x, y=state.y, **spans)
            self.scatter.mark(self._point, self.state)

        self._in_thread("columns", lambda: [self.points.core(name) for name in (state.x, state.y)], show)

    def _laid_out(self) -> Any:
        view, state = self.points.view, self.state
        names = [c.name for c in self.points.numeric]
        layers = f" + {', '.join(layer.name for layer in view.layers)}" if view.layers else ""
        head = Div(
            text=f"<b style='font-size:18px'>{escape(view.name)}</b>{escape(layers)}", disable_math=True, width=430
        )
        self._x = Select(title="x", options=names, value=state.x, width=210, name="x")
        self._y = Select(title="y", options=names, value=state.y, width=210, name="y")
        self._x.on_change("value", self._changed_columns)
        self._y.on_change("value", self._changed_columns)
        self._selected = Div(text="", disable_math=True, width=250, margin=(24, 5, 5, 15))
        self._clear = Button(label="clear selection", width=120, margin=(22, 5, 5, 5), name="clear")
        self._clear.on_click(lambda: self.change(sky=None, xs=None, ys=None))
        home = Button(label="whole sky", width=90, margin=(22, 5, 5, 5))
        home.on_click(lambda: self.map.move(State(x="", y="").view))
        self._message = Div(text="", disable_math=True, width=1380)
        self._map_said, self._scatter_said = (Div(text="", disable_math=True, width=w) for w in (680, 380))
        self._sql = Div(text="", disable_math=True, width=680)
        self._show_sql()
        self._name = TextInput(title="save as", width=220, name="selection-name")
        save = Button(label="save", width=80, margin=(22, 5, 5, 5), name="save")
        save.on_click(self._save)
        kept = ["", *list_selections(self.explorer.selections)]
        self._saved = Select(title="open a saved selection", options=kept, value="", width=260, name="saved")
        self._saved.on_change("value", self._open_saved)
        panels = {
            "table": self.table.root,
            "labels": self.labelling.root,
            "sql": column(self._sql, row(self._name, save, self._saved)),
        }
        tabs = Tabs(tabs=[TabPanel(child=panels[name], title=name) for name in TABS], active=TABS.index(state.tab))
        tabs.on_change("active", self._changed_tab)
        return column(
            row(head, self._x, self._y, self._selected, self._clear, home),
            self._message,
            row(
                column(self.map.figure, self._map_said),
                column(self.scatter.figure, self._scatter_said),
                column(*self.scatter.histograms.values()),
            ),
            row(tabs, self.object.root, spacing=20),
        )

    def _changed_tab(self, attr: str, old: int, new: int) -> None:
        self.labelling.is_on = TABS[new] == "labels"
        self.change(tab=TABS[new])
