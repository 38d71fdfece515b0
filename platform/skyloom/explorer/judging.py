"""What one browser says of objects: a label is kept, the ranking follows, and the next object is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.explorer.labelling import Labelling
from skyloom.explorer.ranking import Candidates, Ranking, candidates, rank
from skyloom.explorer.state import State
from skyloom.explorer.tasks import Tasks

if TYPE_CHECKING:
    from skyloom.explorer.server import Explorer

__all__ = ["LABEL", "Judging"]

ABSENT = "labels need a place: open the page with a layer, or with --labels FOLDER"
LABEL = "label"
"""Name of the work that writes: its end is always followed up."""


class Judging:
    """The labelling view, the ranking that it shows, and the labels that it keeps.

    Parameters
    ----------
    explorer : Explorer
    state : State
    tasks : Tasks
    on_loop : callable
        Told the loop that ranks.
    on_pick : callable
        Told a point, by number.
    on_id : callable
        Told the id of an object to go back to.
    """

    def __init__(
        self,
        explorer: Explorer,
        state: State,
        tasks: Tasks,
        *,
        on_loop: Callable[[str], None],
        on_pick: Callable[[int], None],
        on_id: Callable[[str], None],
    ) -> None:
        self._explorer, self._points, self._tasks = explorer, explorer.points, tasks
        self._on_pick, self._on_id = on_pick, on_id
        self.view = Labelling(
            explorer.points, state, by=explorer.by, classes=explorer.classes, on_label=self._label,
            on_undo=self._undo, on_loop=on_loop, on_pick=on_pick,
        )  # fmt: skip
        self._state = state
        self._chosen: NDArray[np.bool_] | None = None
        self._point: int | None = None
        self._candidates: tuple[object, Candidates] | None = None
        self._ranking: Ranking | None = None

    def look_at(self, point: int) -> None:
        """Let labels be of another object."""
        self._point = point

    def rank(self, state: State, chosen: NDArray[np.bool_] | None) -> None:
        """Order what is selected by the labels there are."""
        self._state, self._chosen = state, chosen
        self._rank()

    def _rank(self, *, follow: bool = False) -> None:
        """Order by the labels; with `follow`, then show the first object without one."""
        store, state, chosen = self._explorer.labels, self._state, self._chosen
        if store is None:
            self.view.fail(ABSENT)
            return
        self.view.wait()
        key = (state.sky, state.x, state.xs, state.y, state.ys)

        def work() -> Ranking:
            if self._candidates is None or self._candidates[0] != key:
                self._candidates = (key, candidates(self._points, self._explorer.features, chosen))
            return rank(self._candidates[1], store, loop=state.loop)

        self._tasks.start("ranking", work, partial(self._show, follow=follow), self.view.fail)

    def _show(self, ranking: Ranking, *, follow: bool) -> None:
        self._ranking = ranking
        self.view.show(ranking)
        next_ = ranking.unlabelled(self._points, 1)
        if follow and next_:
            self._on_pick(int(ranking.points[next_[0]]))

    def _label(self, name: str, by: str, comment: str) -> None:
        store, point, ranking = self._explorer.labels, self._point, self._ranking
        if store is None or point is None:
            self.view.fail(ABSENT if store is None else "pick an object first: a point, or a row of a table")
            return
        score = None
        if ranking is not None and len(place := np.flatnonzero(ranking.points == point)):
            score = float(ranking.scores[place[0]])
        column = f"rerank-{self._state.loop}" if score is not None else ""
        self._tasks.start(
            LABEL,
            lambda: store.add(self._points.ids[point].as_py(), name, by, comment, column=column, score=score),
            lambda _: self._rank(follow=True),
            self.view.fail,
        )

    def _undo(self, by: str) -> None:
        store = self._explorer.labels
        if store is None:
            self.view.fail(ABSENT)
            return

        def show(undone: Any) -> None:
            if undone is None:
                self.view.fail(f"{by} has no label to take back")
                return
            self._on_id(str(undone.object_id))
            self._rank()

        self._tasks.start(LABEL, lambda: store.undo(by), show, self.view.fail)
