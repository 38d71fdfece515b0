"""How well transient-class does on held-out objects, beside the class prior and a random forest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.plasticc import plasticc_of
from skyloom.evaluation.scores import (
    ScoreTable,
    area_under_roc,
    balanced_accuracy,
    bootstrap,
    log_loss,
    weighted_log_loss,
)
from skyloom.evaluation.split import SEED, parts_of
from skyloom.models import transient_class
from skyloom.models.card import Card, Score
from skyloom.models.probabilities import calibrated_binary
from skyloom.models.transient_columns import inputs_of
from skyloom.runtime.contract import System, Weights

__all__ = ["evaluate", "labelled", "measure"]

REPORTED = (
    Score(
        "log-loss, classes weigh the same", "reported: avocado, on the challenge's test set", 0.468, better="lower"
    ),
    Score("AUC, SN Ia against the rest", "reported: avocado, on the challenge's test set", 0.957),
)
"""Abstract of Boone 2019 (ads:2019AJ....158..257B); of another, far fainter test set: no comparison."""

_RF_TREES = 300
_IA = list(transient_class.CLASSES).index(transient_class.SN_IA)


def labelled(table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return derived features (M, F), place of the true class (M,) and id (M,) of scorable rows."""
    batch = pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], names=table.column_names)
    made = inputs_of(batch, transient_class.Config().min_points)
    target = np.searchsorted(list(transient_class.CLASSES), table["target"].to_numpy())
    return made.arrays["features"], target[made.scorable], table["object_id"].to_numpy()[made.scorable]


def evaluate(
    estimator: transient_class.Estimator, table: pa.Table, *, variant: str, seed: int = SEED
) -> ScoreTable:
    """Score the held-out objects of `table`.

    Parameters
    ----------
    estimator : Estimator
    table : pyarrow.Table
        As `skyloom.evaluation.plasticc.plasticc_table` gives it; all objects, because the
        baselines are fitted on the training part.
    seed : int
        Of the split that the estimator was trained with.

    Returns
    -------
    ScoreTable
        Errors are from a bootstrap over the held-out objects.
    """
    features, target, ids = labelled(table)
    parts = parts_of(ids, seed=seed)
    test = parts.held_out
    scores = estimator.trees.scores(features[test])
    ours = transient_class.probabilities(estimator, scores)
    p_ia = calibrated_binary(ours[:, _IA], estimator.ia_scale, estimator.ia_bias)
    n_classes = ours.shape[1]
    share = np.bincount(target[parts.train], minlength=n_classes) / parts.train.sum()
    prior = np.tile(share, (int(test.sum()), 1))
    forest = _random_forest(features, target, parts.train, test, n_classes)
    truth = target[test]
    top = ours.argmax(axis=1) == truth
    return ScoreTable(
        system=transient_class.NAME,
        variant=variant,
        n=len(truth),
        scores=(
            *_scores("ours", ours, truth, p_ia),
            *_scores("baseline: random forest, same inputs", forest, truth, forest[:, _IA]),
            *_scores("baseline: class prior", prior, truth, prior[:, _IA]),
            *REPORTED,
        ),
        reliability=(
            *reliability(p_ia, truth == _IA, what="SN Ia"),
            *reliability(ours.max(axis=1), top, what="the class given"),
        ),
        note="Held-out objects come from the same bright training set; the survey's faint majority will do worse.",
    )


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
    """Score stored weights on the objects of PLAsTiCC that their training held out."""
    estimator = system.build(system.Config(), weights)
    return evaluate(estimator, plasticc_of(data), variant=card.variant, seed=int(card.training["split_seed"]))


def _scores(
    who: str, p: NDArray[np.floating], truth: NDArray[np.int64], p_ia: NDArray[np.floating]
) -> tuple[Score, ...]:
    weight = np.array([2.0 if name in {"tde", "kn"} else 1.0 for name in transient_class.CLASSES.values()])
    ia = truth == _IA

    def flat(p: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
        return weighted_log_loss(p, truth, np.ones(p.shape[1]))

    def weighted(p: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
        return weighted_log_loss(p, truth, weight)

    right = p.argmax(axis=1) == truth
    return (
        Score("log-loss", who, log_loss(p, truth), bootstrap(log_loss, p, truth), "lower"),
        Score("weighted log-loss", who, weighted(p, truth), bootstrap(weighted, p, truth), "lower"),
        Score("log-loss, classes weigh the same", who, flat(p, truth), bootstrap(flat, p, truth), "lower"),
        Score("balanced accuracy", who, balanced_accuracy(p, truth), bootstrap(balanced_accuracy, p, truth)),
        Score("AUC, SN Ia against the rest", who, area_under_roc(p_ia, ia), bootstrap(area_under_roc, p_ia, ia)),
        Score(
            "calibration error, SN Ia",
            who,
            expected_calibration_error(p_ia, ia),
            bootstrap(expected_calibration_error, p_ia, ia),
            "lower",
        ),
        Score(
            "calibration error, class given",
            who,
            expected_calibration_error(p.max(axis=1), right),
            bootstrap(expected_calibration_error, p.max(axis=1), right),
            "lower",
        ),
    )


def _random_forest(
    features: NDArray[np.float32],
    target: NDArray[np.int64],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    n_classes: int,
) -> NDArray[np.float64]:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(_RF_TREES, random_state=0, n_jobs=-1).fit(features[train], target[train])
    # One thread: with more, the order in which trees are added is not fixed.
    model.n_jobs = 1
    p = np.zeros((int(test.sum()), n_classes))
    p[:, model.classes_] = model.predict_proba(features[test])
    return p
