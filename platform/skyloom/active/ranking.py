"""rank: what to look at next in a layer, with the labels so far; streamed, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.active.anomaly import IS_ANOMALY, IS_NORMAL, Forest, grow
from skyloom.active.collecting import Best, Known, Sample
from skyloom.active.followup import STRATEGIES, learn, spend
from skyloom.active.labels import LabelStore
from skyloom.active.ranked import Ranking, Taken, anomaly_ranking, followup_ranking
from skyloom.active.reading import Chunk, LayerReader
from skyloom.active.records import decisions, numbered
from skyloom.active.reranking import SAMPLE_ROWS, check_loop, opinions, types
from skyloom.errors import ErrorKind, SpecError, close_matches

if TYPE_CHECKING:
    from skyloom.jobs.layers import Layer

__all__ = ["RankRequest", "rank"]


@dataclass(frozen=True, slots=True)
class RankRequest:
    """What to rank by, and how much of it can be afforded."""

    loop: str = "anomaly"
    """``"anomaly"``: oddest of interest first; ``"followup"``: what a classifier is least sure of."""
    budget: float = 20.0
    """To spend in all: objects, or the unit of `cost`."""
    batch: float | None = None
    """To spend in one batch, such as a night; all in one unless told."""
    cost: str = ""
    """Column of the layer with the cost of each object; each costs 1 unless told."""
    features: tuple[str, ...] = ()
    """Columns, or patterns of columns, to learn from; all numbers of the layer unless told."""
    strategy: str = "uncertainty"
    """Of the follow-up loop."""
    forest: Forest = field(default_factory=Forest)
    """Of the anomaly loop."""
    interesting: tuple[str, ...] = ()
    """Classes that count as anomalies."""
    labelled: bool = False
    """Whether objects that have a label are ranked, too."""
    seed: int = 0
    sample_rows: int = SAMPLE_ROWS
    """Rows that a forest is grown on, at most: each of its trees sees a few hundred."""
    candidates: int = 10_000
    """Rows with the best scores that are kept while reading, from which the budget is spent."""

    def __post_init__(self) -> None:
        check_loop(self.loop)
        if self.strategy not in STRATEGIES:
            msg = f"there is no strategy {self.strategy!r}; {close_matches(self.strategy, STRATEGIES)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, strategy=self.strategy)
        if self.sample_rows < 2 or self.candidates < 1:
            msg = f"sample_rows must be at least 2 and candidates 1, got {self.sample_rows}, {self.candidates}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not (0 < self.budget < np.inf and (self.batch is None or self.batch > 0)):
            msg = f"budget and batch must be positive numbers, got {self.budget} and {self.batch}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What the labels taught, ready for rows."""

    score: Callable[[Chunk], NDArray[np.float64]]
    reasons: Callable[[Chunk], list[str]]
    used: dict[int, int]
    """Labels that taught it, by id: -1 anomaly, 1 normal; in loop followup the place of the class."""


def rank(layer: Layer, request: RankRequest, labels: LabelStore | None = None) -> Ranking:
    """Rank the rows of a layer.

    The layer is read twice, a batch at a time: once for a sample of its rows and the labelled ones,
    once to score every row and keep the best. Row order and partitioning do not matter.

    Parameters
    ----------
    layer : Layer
        With features or scores in its columns, and an integer id.
    request : RankRequest
    labels : LabelStore, optional
        Those beside the layer unless told.

    Raises
    ------
    SpecError
        If a column is not there, no row has features, a cost is not positive, or the follow-up loop has
        labels of fewer than two classes.
    DataError
        If a label was changed or a labelled id is there twice.
    """
    store = labels or LabelStore.open(layer)
    history = store.history()
    digest = history[-1].sha256 if history else ""
    said = {numbered(object_id): label for object_id, label in decisions(history).items()}
    others = (request.cost,) if request.cost else ()
    reader = LayerReader.of(layer, patterns=request.features, others=others)
    sample, known = Sample(request.sample_rows, request.seed), Known(said)
    for chunk in reader:
        sample.add(chunk)
        known.add(chunk)
    if not sample.rows:
        msg = f"no row of layer {layer.name} has any of the {len(reader.features)} features; name other columns"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=layer.name)
    learnt = _learn(request, reader, sample, known, said)
    best, passed_over, unpaid = Best(request.candidates), 0, 0
    for chunk in reader:
        there = np.isfinite(chunk.features).any(axis=1)
        passed_over += int((~there).sum())
        cost = _cost(request, chunk)
        affordable = (cost > 0) & (cost <= min(request.batch or np.inf, request.budget))
        unpaid += int((there & ~affordable).sum())
        there &= affordable
        if not request.labelled and said:
            there &= ~np.isin(chunk.ids, np.array(list(said), dtype=np.int64))
        kept = Chunk(chunk.ids[there], chunk.features[there], chunk.others.filter(pa.array(there)))
        best.add(learnt.score(kept), kept)
    score, rows = best.ordered()
    provenance = {
        "layer": layer.name,
        "layer_version": layer.version,
        "layer_manifest": layer.published.reference.manifest_sha256,
        "request": asdict(request),
        "features": len(reader.features),
        "labels_digest": digest,
        "label_records": len(history),
        "labels_used": len(learnt.used),
        "rows_scored": best.seen,
        "rows_without_features": passed_over,
        "rows_that_cannot_be_paid": unpaid,
        "candidates": len(score),
        "versions": {name: version(name) for name in ("coniferest", "scikit-learn", "numpy")},
    }
    taken = _spend(request, reader, score, rows)
    reasons = learnt.reasons(Chunk(taken.ids, taken.features, taken.places))
    id_field = layer.schema.field(reader.id_column)
    if request.loop == "followup":
        return followup_ranking(taken, id_field, reasons, provenance)
    return anomaly_ranking(taken, id_field, reasons, provenance, labels=learnt.used)


def _learn(
    request: RankRequest, reader: LayerReader, sample: Sample, known: Known, said: Mapping[int, str]
) -> _Learnt:
    if request.loop == "followup":
        typed = types(said)
        ids, rows = known.features(typed)
        classes = [typed[i] for i in ids]
        features = np.array(rows).reshape(len(ids), len(reader.features))
        teacher = learn(features, classes, strategy=request.strategy, seed=request.seed)
        return _Learnt(
            lambda chunk: teacher.score(chunk.features, chunk.ids),
            lambda chunk: teacher.reasons(chunk.features),
            {i: teacher.classes.index(c) for i, c in zip(ids, classes, strict=True)},
        )
    held = opinions(said, frozenset(request.interesting))
    ids, rows = known.features(held)
    features = np.array(rows).reshape(len(ids), len(reader.features))
    is_anomaly = np.array([held[i] for i in ids], dtype=bool)
    grown = grow(sample.features(), features, is_anomaly, forest=request.forest, seed=request.seed)
    anomalies = [i for i in ids if held[i]]
    return _Learnt(
        lambda chunk: grown.score(chunk.features),
        lambda chunk: grown.reasons(chunk.features, reader.features, anomalies),
        {i: IS_ANOMALY if held[i] else IS_NORMAL for i in ids},
    )


def _spend(request: RankRequest, reader: LayerReader, score: NDArray[np.float64], rows: Chunk) -> Taken:
    """Return the best rows that the budget pays for."""
    cost = _cost(request, rows)
    night = spend(cost, budget=request.budget, batch_budget=request.batch)
    places = [name for name in reader.others if name != request.cost]
    return Taken(
        ids=rows.ids[night.taken],
        features=rows.features[night.taken],
        places=rows.others.select(places).take(pa.array(night.taken)),
        score=score[night.taken],
        cost=cost[night.taken],
        batch=night.batch,
    )


def _cost(request: RankRequest, rows: Chunk) -> NDArray[np.float64]:
    """Return what each row costs; NaN where that is not known."""
    if not request.cost:
        return np.ones(len(rows.ids))
    return np.asarray(rows.others[request.cost].cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
