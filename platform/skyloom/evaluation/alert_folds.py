"""What is out of fold for alert-stamp: folds, groups of files, cross-fitted calibration, baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.alerts import Alerts
from skyloom.evaluation.calibration import fit_temperature
from skyloom.evaluation.folds import first_of_each, folds_of
from skyloom.models.alert_stamp import CLASSES, FOLDS
from skyloom.models.conformal import prediction_sets, set_threshold
from skyloom.models.probabilities import tempered

__all__ = [
    "COVERAGE",
    "FOLD_SEED",
    "alert_folds",
    "cross_fitted",
    "cross_validated_forest",
    "forest",
    "of_group",
    "out_of_fold",
    "prior",
]

COVERAGE = 0.9
FOLD_SEED = 20210807

_RF_TREES = 300

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def alert_folds(labelled: Alerts) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the fold of each labelled alert, and which are their objects' earliest: what counts."""
    fold = folds_of(labelled.objects, labelled.target, folds=FOLDS, seed=FOLD_SEED)
    return fold, first_of_each(labelled.objects, labelled.jd)


def out_of_fold(made: NDArray[np.floating], fold: Ints) -> Floats:
    """Return of what each member says (N, FOLDS, K) the word of the one that did not know the row, (N, K)."""
    return made[np.arange(len(fold)), fold].astype(np.float64)


def of_group(alerts: Alerts, group: str) -> NDArray[np.bool_]:
    """Return which alerts are of objects that have an alert in a group of files: what is left out with it."""
    inside = set(np.array(alerts.objects)[alerts.group == group].tolist())
    return np.array([name in inside for name in alerts.objects], dtype=np.bool_)


def cross_fitted(logits: Floats, target: Ints, fold: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Return calibrated probabilities and sets of classes, both (N, K), each fold's from the four others."""
    p, inside = np.empty(logits.shape), np.empty(logits.shape, dtype=np.bool_)
    for k in range(FOLDS):
        here, others = fold == k, fold != k
        temperature = fit_temperature(logits[others], target[others])
        p[here] = tempered(logits[here], temperature)
        known = tempered(logits[others], temperature)[np.arange(others.sum()), target[others]]
        inside[here] = prediction_sets(p[here], set_threshold(known, COVERAGE))
    return p, inside


def forest(learning: Alerts, scored: Alerts, columns: int) -> Floats:
    """Return a random forest's probabilities (N, K) of `scored`, from the first `columns` features.

    300 trees, leaves of at least 3 objects; each object to learn from counts once.
    """
    from sklearn.ensemble import RandomForestClassifier

    # One thread: with more, the order in which trees are added is not fixed.
    model = RandomForestClassifier(_RF_TREES, min_samples_leaf=3, random_state=0, n_jobs=1)
    one = learning.take(first_of_each(learning.objects, learning.jd))
    model.fit(one.features[:, :columns], one.target)
    p = np.zeros((len(scored.target), len(CLASSES)))
    p[:, model.classes_] = model.predict_proba(scored.features[:, :columns])
    return p


def cross_validated_forest(one: Alerts, fold: Ints, columns: int) -> Floats:
    """Return the forests' probabilities (N, K), each fold's from the four others; one alert an object is given."""
    p = np.empty((len(fold), len(CLASSES)))
    for k in range(FOLDS):
        p[fold == k] = forest(one.take(fold != k), one.take(fold == k), columns)
    return p


def prior(target: Ints, fold: Ints) -> Floats:
    """Return the shares of the classes (N, K), each fold's from the four others."""
    shares = [np.bincount(target[fold != k], minlength=len(CLASSES)) / (fold != k).sum() for k in range(FOLDS)]
    return np.stack(shares)[fold]
