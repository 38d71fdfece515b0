"""How well transient-anomaly finds classes that it was not shown, beside trivial rankings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.evaluation.plasticc import plasticc_of
from skyloom.evaluation.scores import ScoreTable, area_under_roc, bootstrap, purity_of_top
from skyloom.evaluation.split import SEED, parts_of
from skyloom.evaluation.transient_class import labelled
from skyloom.features.derived import derived_names
from skyloom.models import transient_anomaly
from skyloom.models.card import Card, Score
from skyloom.models.transient_class import CLASSES
from skyloom.models.transient_columns import BANDS
from skyloom.runtime.contract import System, Weights

__all__ = ["RARE", "evaluate", "is_rare", "measure"]

RARE = ("ulens", "sniax", "mira", "kn", "slsn")
"""Classes with fewer than 200 of PLAsTiCC's 7,848 training objects: never in a forest or the reference."""

_TOP = 0.01


def is_rare(target: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which places in `CLASSES` are of a rare class, shape as `target`."""
    return np.isin(target, [k for k, label in enumerate(CLASSES.values()) if label in RARE])


def evaluate(
    estimator: transient_anomaly.Estimator, table: pa.Table, *, variant: str, seed: int = SEED
) -> ScoreTable:
    """Rank the held-out objects of `table`; the rare classes should come first.

    Parameters
    ----------
    estimator : Estimator
    table : pyarrow.Table
        As `skyloom.evaluation.plasticc.plasticc_table` gives it; all objects, because the
        baseline forest is grown on the training part.
    seed : int
        Of the split that the estimator was trained with.
    """
    features, target, ids = labelled(table)
    parts = parts_of(ids, seed=seed)
    test, rare = parts.held_out, is_rare(target)[parts.held_out]
    ours = transient_anomaly.predict(estimator, {"features": features[test]})["transient_anomaly_score"]
    rankings = {
        "ours": ours,
        "baseline: one isolation forest, all features": _one_forest(
            estimator, features, parts.train & ~is_rare(target), test
        ),
        "baseline: brightest peak first": features[test, list(derived_names(BANDS)).index("log_peak")],
        "baseline: random order": np.random.default_rng(0).random(len(rare)),
    }
    scores = []
    for who, ranking in rankings.items():
        scores += _scores(who, ranking, rare)
    labels = np.array(list(CLASSES.values()))[target[test]]
    for label in RARE:
        mask = ~rare | (labels == label)
        scores.append(
            Score(f"AUC, {label} against common", "ours", *_with_error(ours[mask], labels[mask] == label))
        )
    return ScoreTable(
        system=transient_anomaly.NAME,
        variant=variant,
        n=len(rare),
        scores=tuple(scores),
        note=f"Rare: {', '.join(RARE)}, {rare.mean():.1%} of the held-out objects; no object of theirs was shown.",
    )


def _with_error(ranking: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[float, float]:
    return area_under_roc(ranking, positive), bootstrap(area_under_roc, ranking, positive)


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
    """Score stored weights on the objects of PLAsTiCC that their training held out."""
    estimator = system.build(system.Config(), weights)
    return evaluate(estimator, plasticc_of(data), variant=card.variant, seed=int(card.training["split_seed"]))


def _scores(who: str, ranking: NDArray[np.floating], rare: NDArray[np.bool_]) -> list[Score]:
    def purity(ranking: NDArray[np.floating], rare: NDArray[np.bool_]) -> float:
        return purity_of_top(ranking, rare, _TOP)

    return [
        Score("AUC, rare against common", who, *_with_error(ranking, rare)),
        Score("rare among the top 1 %", who, purity(ranking, rare), bootstrap(purity, ranking, rare)),
    ]


def _one_forest(
    estimator: transient_anomaly.Estimator,
    features: NDArray[np.float32],
    shown: NDArray[np.bool_],
    test: NDArray[np.bool_],
) -> NDArray[np.float64]:
    from coniferest.isoforest import IsolationForest

    z = estimator.space.expand(features).astype(np.float32)
    forest = IsolationForest(n_trees=300, n_subsamples=256, random_seed=0, n_jobs=1).fit(z[shown])
    return -np.asarray(forest.score_samples(z[test]), dtype=np.float64)
