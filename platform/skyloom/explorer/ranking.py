"""What to look at next: the points of a selection, ordered with the labels there are so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.active import Label, LabelStore, rerank
from skyloom.active.reading import holds_text
from skyloom.active.records import Id, numbered
from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.explorer.points import Points

__all__ = ["RANKED_ROWS", "Candidates", "Ranking", "candidates", "features_of", "rank"]

RANKED_ROWS = 200_000
"""Points that are ranked at most: what one person may wait for after every label."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Points to rank, and what they are ranked by."""

    points: NDArray[np.int64]
    """Ascending."""
    ids: NDArray[np.int64]
    """As `skyloom.active.records.numbered` has them."""
    features: NDArray[np.float32]
    """Shape (N, F)."""
    of: int
    """Points that were asked for; more than N if only some are ranked."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates in order, and the labels that made it."""

    points: NDArray[np.int64]
    """Best first."""
    scores: NDArray[np.float64]
    """Of `points`; higher comes first."""
    decisions: dict[Id, str]
    history: tuple[Label, ...]
    of: int
    wall_s: float

    def unlabelled(self, points: Points, count: int) -> list[int]:
        """Return places in the ranking of the first few points that have no label."""
        found: list[int] = []
        for place, point in enumerate(self.points.tolist()):
            if len(found) == count:
                break
            if points.ids[point].as_py() not in self.decisions:
                found.append(place)
        return found


def features_of(points: Points, asked: str) -> tuple[str, ...]:
    """Return the columns that objects are ranked by.

    Parameters
    ----------
    points : Points
    asked : str
        Columns with commas between; ``""`` takes all floats of the layers, or of the catalog if there are no
        layers, positions left out.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN if one is not there or not of numbers; BAD_PARAMETER if there is none.
    """
    known = [column.name for column in points.numeric]
    names = tuple(name.strip() for name in asked.split(",") if name.strip())
    for name in names:
        if name not in known:
            msg = f"--features: no column of numbers {name!r}; {close_matches(name, known)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
    if names:
        return names
    base = points.view.base
    of_layers = {column.name for layer in points.view.layers for column in layer.columns}
    floats = [c.name for c in points.numeric if c.dtype.startswith("float") or c.dtype == "double"]
    chosen = [name for name in floats if name in of_layers] or floats
    return tuple(name for name in chosen if name not in {base.ra_column, base.dec_column})


def candidates(points: Points, names: Sequence[str], chosen: NDArray[np.bool_] | None) -> Candidates:
    """Read the features of what is selected: all of it, or an even sample of `RANKED_ROWS` points.

    Raises
    ------
    SpecError
        COLUMN_TYPE if ids are neither integers nor texts; BAD_PARAMETER if nothing is selected, or there are no
        features.
    """
    import pyarrow as pa

    kind = points.ids.type
    is_text = holds_text(kind)
    if points.view.base.id_column is None or not (is_text or pa.types.is_integer(kind)):
        found = "catalog {} has none" if points.view.base.id_column is None else f"ids of catalog {{}} are {kind}"
        msg = f"labels are kept by id, an integer or a text, and {found.format(points.view.name)}"
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE)
    if not names:
        msg = "there is no column of numbers to rank by: open the page with a layer, or name --features"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    asked = np.arange(len(points)) if chosen is None else np.flatnonzero(chosen)
    if not len(asked):
        msg = "nothing is selected: clear the selection, or select objects to rank"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    rows = asked[:: -(-len(asked) // RANKED_ROWS)]
    taken = points.ids.take(pa.array(rows))
    ids = np.array([numbered(i) for i in taken.to_pylist()], np.int64) if is_text else taken.to_numpy()
    return Candidates(rows, ids, points.matrix(names, rows), len(asked))


def rank(found: Candidates, store: LabelStore, *, loop: str, seed: int = 0) -> Ranking:
    """Order candidates by all labels that are kept, whoever gave them.

    Raises
    ------
    SpecError
        As `skyloom.active.rerank`.
    """
    began_s = time.perf_counter()
    decisions, history = store.decisions(), tuple(store.history())
    labels = {numbered(object_id): label for object_id, label in decisions.items()}
    scores = rerank(found.features, found.ids, labels, loop=loop, seed=seed)
    order = np.argsort(-scores, kind="stable")
    return Ranking(
        found.points[order], scores[order], decisions, history, found.of, time.perf_counter() - began_s
    )  # fmt: skip
