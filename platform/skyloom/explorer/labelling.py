"""The labelling view of one browser: what to look at next, and what was said of it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from bokeh.layouts import column, row
from bokeh.models import Button, CustomJS, Div, Select, TextInput

from skyloom.active.records import ANOMALY, NORMAL, UNSURE
from skyloom.explorer.grid import TextTable
from skyloom.explorer.points import Points
from skyloom.explorer.ranking import Ranking
from skyloom.explorer.state import State

__all__ = ["KEYS", "Labelling"]

KEYS = {"a": ANOMALY, "n": NORMAL, "s": UNSURE}
UNDO_KEY = "u"
RANKS_SHOWN = 50
HISTORY_SHOWN = 8
MOST_CLASSES = 9
LISTEN = """
if (window.skyloom_keys) return;
window.skyloom_keys = true;
let count = 0;
window.addEventListener("popstate", () => window.location.reload());
window.addEventListener("keydown", (event) => {
  const on = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (on && ["INPUT", "TEXTAREA", "SELECT"].includes(on.tagName)) return;
  if (/^[a-z1-9]$/.test(event.key)) pressed.value = `${++count} ${event.key}`;
});
"""
"""Sends a key to the server, counted so that the same key twice is two changes; not what is typed in a field. And
opens the page again as the address says when somebody goes back."""


class Labelling:
    """Buttons and keys that label the object that is shown, and the ranking that follows.

    Parameters
    ----------
    points : Points
    state : State
    by : str
        Who labels, unless told otherwise on the page.
    classes : sequence of str
        Offered on the keys 1 to 9.
    on_label : callable
        Told the label, who gave it, and a comment.
    on_undo : callable
        Told who takes back.
    on_loop : callable
        Told the loop that ranks.
    on_pick : callable
        Told a point, by number.
    """

    def __init__(
        self,
        points: Points,
        state: State,
        *,
        by: str,
        classes: tuple[str, ...],
        on_label: Callable[[str, str, str], None],
        on_undo: Callable[[str], None],
        on_loop: Callable[[str], None],
        on_pick: Callable[[int], None],
    ) -> None:
        self.points, self._on_label, self._on_undo = points, on_label, on_undo
        self.keys = dict(KEYS) | {str(i + 1): name for i, name in enumerate(classes[:MOST_CLASSES])}
        self._by = TextInput(title="who (a pseudonym)", value=by, width=130, name="by")
        loops = [("anomaly", "anomaly"), ("followup", "doubt about the class")]
        self._loop = Select(title="ranked by", options=loops, value=state.loop, width=170)
        self._loop.on_change("value", lambda attr, old, new: on_loop(new))
        self._comment = TextInput(title="comment", width=180, name="comment")
        self._class = TextInput(title="another class", width=130, name="class")
        self._class.on_change("value", self._named)
        buttons = [self._button(f"{name} [{key}]", name) for key, name in self.keys.items()]
        undo = Button(label=f"undo [{UNDO_KEY}]", width=90, name="undo")
        undo.on_click(self.undo)
        self._said = Div(text="", disable_math=True, name="ranking-said")
        self._ranked: list[int] = []
        self._table = TextTable(300, 420, on_pick=lambda row: on_pick(self._ranked[row]))
        self._history = Div(text="", disable_math=True, width=370)
        self.pressed = TextInput(value="", visible=False)
        self.pressed.on_change("value", self._key)
        self.listen = CustomJS(args={"pressed": self.pressed}, code=LISTEN)
        self.is_on = state.tab == "labels"
        self.root = column(
            row(self._by, self._loop, self._comment, self._class),
            row(*buttons, undo),
            self._said,
            row(self._table.root, self._history),
            self.pressed,
        )

    @property
    def by(self) -> str:
        """Who labels."""
        return str(self._by.value).strip()

    def label(self, name: str) -> None:
        """Give the object that is shown a label."""
        comment = self._comment.value
        self._comment.value = ""
        self._on_label(name, self.by, comment)

    def undo(self) -> None:
        """Take back the last label of whoever labels."""
        self._on_undo(self.by)

    def show(self, ranking: Ranking) -> None:
        """Show a ranking, and the last labels."""
        places = ranking.unlabelled(self.points, RANKS_SHOWN)
        self._ranked = [int(ranking.points[place]) for place in places]
        columns = {
            "rank": [f"{place + 1:,}" for place in places],
            "object": [str(self.points.ids[point].as_py()) for point in self._ranked],
            "score": [f"{ranking.scores[place]:.4g}" for place in places],
        }
        self._table.show(columns)
        ranked = f"{len(ranking.points):,} objects"
        if ranking.of > len(ranking.points):
            ranked = f"{len(ranking.points):,} of {ranking.of:,} objects, evenly (select fewer to rank all)"
        objects = _counted(len(ranking.decisions), "object", "objects")
        people = _counted(len({label.by for label in ranking.history}), "person", "people")
        self._said.text = (
            f'<span id="skyloom-ranking">ranked {ranked} with labels of {objects} '
            f"by {people}, in {ranking.wall_s:.1f} s</span>"
        )
        self._history.text = _history(ranking)

    def wait(self) -> None:
        """Say that a ranking is being made."""
        self._said.text = "<i>ranking …</i>"

    def fail(self, message: str) -> None:
        """Say why there is no ranking."""
        self._said.text = f'<span id="skyloom-ranking-error" style="color:#aa3377">{escape(message)}</span>'

    def _button(self, label: str, name: str) -> Button:
        button = Button(label=label, width=max(90, 8 * len(label)), name=f"label-{name}")
        button.on_click(lambda: self.label(name))
        return button

    def _named(self, attr: str, old: str, new: str) -> None:
        if new.strip():
            self._class.value = ""
            self.label(new.strip())

    def _key(self, attr: str, old: str, new: str) -> None:
        key = new.partition(" ")[2]
        if not self.is_on:
            return
        if key == UNDO_KEY:
            self.undo()
        elif key in self.keys:
            self.label(self.keys[key])


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _history(ranking: Ranking) -> str:
    lines = [
        f"<tr><td>{escape(record.utc[:16].replace('T', ' '))}</td><td>{escape(record.by)}</td>"
        f"<td>{escape(str(record.object_id))}</td>"
        f"<td>{escape(record.label)}{'' if record.kind == 'label' else ' undone'}</td>"
        f"<td>{escape(record.comment[:40])}</td></tr>"
        for record in ranking.history[: -HISTORY_SHOWN - 1 : -1]
    ]
    head = "<tr align='left'><th>when (UTC)</th><th>who</th><th>object</th><th>label</th><th>comment</th></tr>"
    style = "font-size:11px;white-space:nowrap"
    return f'<table id="skyloom-labels" cellpadding="3" style="{style}">{head}{"".join(lines)}</table>'
