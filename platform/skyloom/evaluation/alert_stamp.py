"""Score alert-stamp by cross-validation over objects, beside baselines on the same folds and reported numbers.

What is out of fold: each labelled alert is scored by the one network that learned from, and stopped by,
other objects. Temperature and threshold of the sets come, for these scores, from the four other folds.
The unlabelled alerts are in no fold. What is not: the columns of a job are the mean of all five
networks, with a temperature from all folds, and four of the five know the labelled alerts of this table.

One row an object counts, its earliest alert: the ten alerts of one supernova are no ten trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind
from skyloom.evaluation.alert_labels import UNLABELLED
from skyloom.evaluation.alerts import BASELINE, Alerts, prepared_alerts, read_alerts
from skyloom.evaluation.calibration import expected_calibration_error, fit_temperature, reliability
from skyloom.evaluation.folds import first_of_each, folds_of
from skyloom.evaluation.scores import ScoreTable, area_under_roc, balanced_accuracy, bootstrap, log_loss
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp import CLASSES, FOLDS
from skyloom.models.card import Card, Score
from skyloom.models.conformal import prediction_sets, set_threshold
from skyloom.models.novelty import pooled_p
from skyloom.models.probabilities import tempered
from skyloom.runtime.contract import System, Weights

__all__ = [
    "COVERAGE",
    "FOLD_SEED",
    "REPORTED",
    "alert_folds",
    "cross_fitted",
    "forest",
    "measure",
    "of_group",
    "out_of_fold",
    "score_table",
]

COVERAGE = 0.9
FOLD_SEED = 20210807
REPORTED = (
    Score("accuracy", "reported: ALeRCE, five classes, balanced test set (Carrasco-Davis et al. 2021)", 0.94),
)
"""From the abstract of arXiv:2008.03309. Other classes, labels and alerts: no comparison."""

_RF_TREES = 300
_UNLIKE = 0.05
_OURS = "ours, out of fold"

Floats = NDArray[np.float64]


def alert_folds(labelled: Alerts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the fold of each labelled alert, and which are their objects' earliest: what counts."""
    fold = folds_of(labelled.objects, labelled.target, folds=FOLDS, seed=FOLD_SEED)
    return fold, first_of_each(labelled.objects, labelled.jd)


def out_of_fold(made: NDArray[np.floating], fold: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return of what each member says (N, FOLDS, K) the word of the one that did not know the row, (N, K)."""
    return np.asarray(made[np.arange(len(fold)), fold])


def of_group(alerts: Alerts, group: str) -> NDArray[np.bool_]:
    """Return which alerts are of objects that have an alert in a group of files: what is left out with it."""
    inside = set(np.array(alerts.objects)[alerts.group == group].tolist())
    return np.array([name in inside for name in alerts.objects], dtype=np.bool_)


def cross_fitted(
    logits: Floats, target: NDArray[np.int64], fold: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return calibrated probabilities and sets of classes, both (N, K), each fold's from the four others."""
    p, inside = np.empty(logits.shape), np.empty(logits.shape, dtype=bool)
    for k in range(FOLDS):
        here, others = fold == k, fold != k
        temperature = fit_temperature(logits[others], target[others])
        p[here] = tempered(logits[here], temperature)
        known = tempered(logits[others], temperature)[np.arange(others.sum()), target[others]]
        inside[here] = prediction_sets(p[here], set_threshold(known, COVERAGE))
    return p, inside


def forest(learning: Alerts, scored: Alerts, columns: int) -> Floats:
    """Return a random forest's probabilities (N, K) of `scored`, from the first `columns` features.

    300 trees, leaves of at least 3 objects; each object counts once.
    """
    from sklearn.ensemble import RandomForestClassifier

    # One thread: with more, the order in which trees are added is not fixed.
    model = RandomForestClassifier(_RF_TREES, min_samples_leaf=3, random_state=0, n_jobs=1)
    one = learning.take(first_of_each(learning.objects, learning.jd))
    model.fit(one.features[:, :columns], one.target)
    p = np.zeros((len(scored.target), len(CLASSES)))
    p[:, model.classes_] = model.predict_proba(scored.features[:, :columns])
    return p


def measure(system: System, card: Card, weights: Weights, data: Any = None) -> ScoreTable:
    """Measure the card's scores again, from the stored weights and the alerts.

    Parameters
    ----------
    system : System
        `skyloom.models.alert_stamp`.
    card : Card
    weights : Weights
        Of the bundle; it holds predictions of the networks that are compared and not kept, too.
    data : table or path, optional
        As `skyloom.evaluation.alerts.read_alerts` gives it, or the folder; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If there are no alerts.
    DataError
        If they are not those that the weights were made from.
    """
    import pyarrow as pa

    alerts = prepared_alerts(data if isinstance(data, pa.Table) else read_alerts(data))
    estimator = system.build(system.Config(), weights)
    return score_table(estimator, weights, alerts, variant=card.variant)


def score_table(estimator: alert_stamp.Estimator, weights: Weights, alerts: Alerts, *, variant: str) -> ScoreTable:
    """Score an estimator on the alerts that it was made from: see `measure`."""
    known = alerts.labelled()
    fold, first = alert_folds(known)
    one, fold = known.take(first), fold[first]
    stored = weights.arrays.get("compared.candid")
    if stored is None or not np.array_equal(stored, one.candid):
        msg = (
            f"these are not the {0 if stored is None else len(stored)} labelled objects that the weights {variant} "
            f"were made from, but {len(one.candid)}: scores out of fold need the same alerts"
        )
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, variant=variant)
    truth = one.target
    made = estimator.network(image=one.image, alert=one.alert)
    logits = out_of_fold(made["logits"].astype(np.float64), fold)
    p, inside = cross_fitted(logits, truth, fold)
    alone, _ = cross_fitted(weights.arrays["compared.stamps_alone"], truth, fold)
    few, many = len(BASELINE), one.features.shape[1]
    forests = {columns: _cross_validated_forest(known, one, fold, columns) for columns in (few, many)}
    who = f"baseline: random forest on {few} alert features"
    scores = [
        *_scores(_OURS, p, truth),
        *_conformal(inside, truth),
        *_calibrated_by("ours, out of fold, before calibration", tempered(logits, 1.0), truth),
        *_by_half(p, truth, one.features[:, BASELINE.index("magpsf")]),
        *_scores("ours, stamps alone, out of fold", alone, truth),
        *_scores(who, forests[few], truth),
        *_scores(f"{who} and {many - few} of history", forests[many], truth),
        *_scores("baseline: class prior", _prior(truth, fold), truth),
        _difference("accuracy", _accuracy, p, forests[few], truth),
        _difference("log-loss", log_loss, p, forests[few], truth, better="lower"),
        *_left_out(weights, known, one),
        *_unlike(estimator, alerts),
        *REPORTED,
    ]
    return ScoreTable(
        system=alert_stamp.NAME,
        variant=variant,
        n=len(truth),
        scores=tuple(scores),
        reliability=reliability(p.max(axis=1), p.argmax(axis=1) == truth, what="the class given", bins=5),
        note="REAL alerts, chosen by brokers to test their code, labelled by cross-match; one row an object, out of "
        "fold. Predictions of the networks for 'stamps alone' and 'left out' are stored: those networks are not.",
    )


def _cross_validated_forest(known: Alerts, one: Alerts, fold: NDArray[np.int64], columns: int) -> Floats:
    of = dict(zip(one.objects, fold.tolist(), strict=True))
    of_known = np.array([of[name] for name in known.objects])
    p = np.empty((len(fold), len(CLASSES)))
    for k in range(FOLDS):
        p[fold == k] = forest(known.take(of_known != k), one.take(fold == k), columns)
    return p


def _prior(truth: NDArray[np.int64], fold: NDArray[np.int64]) -> Floats:
    shares = [np.bincount(truth[fold != k], minlength=len(CLASSES)) / (fold != k).sum() for k in range(FOLDS)]
    return np.stack(shares)[fold]


def _accuracy(p: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    return float((p.argmax(axis=1) == truth).mean())


def _scores(who: str, p: Floats, truth: NDArray[np.int64]) -> list[Score]:
    found = [
        Score(name, who, metric(p, truth), bootstrap(metric, p, truth))
        for name, metric in (("accuracy", _accuracy), ("balanced accuracy", balanced_accuracy))
    ]
    for k, name in enumerate(CLASSES):
        of = truth == k
        found.append(Score(f"recall of {name}", who, _accuracy(p[of], truth[of]), bootstrap(_accuracy, p[of], truth[of])))
    return [*found, *_calibrated_by(who, p, truth)]


def _calibrated_by(who: str, p: Floats, truth: NDArray[np.int64]) -> list[Score]:
    given, right = p.max(axis=1), p.argmax(axis=1) == truth
    error = expected_calibration_error(given, right)
    return [
        Score("log-loss", who, log_loss(p, truth), bootstrap(log_loss, p, truth), "lower"),
        Score(
            "calibration error, class given", who, error, bootstrap(expected_calibration_error, given, right), "lower"
        ),
    ]


def _conformal(inside: NDArray[np.bool_], truth: NDArray[np.int64]) -> list[Score]:
    held = inside[np.arange(len(truth)), truth].astype(np.float64)
    size = inside.sum(axis=1).astype(np.float64)
    return [
        Score(f"sets for {COVERAGE:.0%} that hold the class", _OURS, _mean(held), bootstrap(_mean, held)),
        Score("classes in a set, mean", _OURS, _mean(size), bootstrap(_mean, size), "lower"),
    ]


def _mean(values: Floats) -> float:
    return float(values.mean())


def _by_half(p: Floats, truth: NDArray[np.int64], magnitude: Floats) -> list[Score]:
    faint = magnitude >= np.median(magnitude)
    return [
        Score(f"accuracy, {words} half", _OURS, _accuracy(p[of], truth[of]), bootstrap(_accuracy, p[of], truth[of]))
        for words, of in (("brighter", ~faint), ("fainter", faint))
    ]


def _difference(
    name: str, metric: Callable[..., float], ours: Floats, theirs: Floats, truth: NDArray[np.int64], better: str = "higher"
) -> Score:
    def of(a: Floats, b: Floats, t: NDArray[np.int64]) -> float:
        return metric(a, t) - metric(b, t)

    who = "ours, out of fold, minus that forest's, objects resampled together"
    return Score(f"{name}, difference", who, of(ours, theirs, truth), bootstrap(of, ours, theirs, truth), better)


def _left_out(weights: Weights, known: Alerts, one: Alerts) -> list[Score]:
    """Score objects by networks, and forests, that saw no file of the group that the object comes from."""
    ours = weights.arrays["compared.group_left_out"]
    theirs = np.empty(ours.shape)
    for group in sorted(set(one.group.tolist())):
        here = one.group == group
        theirs[here] = forest(known.take(~of_group(known, group)), one.take(here), len(BASELINE))
    found = []
    for who, p in (("ours", ours), (f"baseline: random forest on {len(BASELINE)} alert features", theirs)):
        group_free = f"{who}, files of its group left out"
        found += [score for score in _scores(group_free, p, one.target) if score.metric.startswith(("acc", "bal", "rec"))]
    return found


def _unlike(estimator: alert_stamp.Estimator, alerts: Alerts) -> list[Score]:
    """Score the out-of-distribution p-value on alerts that trained nothing: what braai calls bogus is no class."""
    free = alerts.take((alerts.target == UNLABELLED) & np.isfinite(alerts.drb))
    hidden = estimator.network(image=free.image, alert=free.alert)["hidden"]
    away = [novelty.distance(hidden[:, k]) for k, novelty in enumerate(estimator.novelty)]
    p = pooled_p(away, [novelty.reference for novelty in estimator.novelty])
    bogus = free.drb < alert_stamp.Config().min_drb
    who = "ours, unlabelled alerts"
    unlike = (p < _UNLIKE).astype(np.float64)
    return [
        Score(f"share with ood < {_UNLIKE}, {words}", who, _mean(unlike[of]), bootstrap(_mean, unlike[of]), better)
        for words, of, better in (("drb below 0.65", bogus, "higher"), ("drb above", ~bogus, "lower"))
    ] + [
        Score(
            "AUC of ood: drb below 0.65 against above",
            who,
            area_under_roc(-p, bogus),
            bootstrap(area_under_roc, -p, bogus),
        )
    ]
