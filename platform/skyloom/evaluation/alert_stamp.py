"""Score alert-stamp by cross-validation over objects, beside baselines on the same folds and reported numbers.

What is out of fold: each labelled alert is scored by the one network that learned from, and was stopped
by, other objects. Temperature and threshold of the sets come, for these scores, from the four other
folds. The unlabelled alerts are in no fold. What is not: the columns of a job are the mean of all five
networks, with a temperature from all folds, and four of the five know the labelled alerts of this table.

One row an object counts, its earliest alert: the ten alerts of one supernova are no ten trials.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind
from skyloom.evaluation.alert_folds import (
    COVERAGE,
    alert_folds,
    cross_fitted,
    cross_validated_forest,
    forest,
    of_group,
    out_of_fold,
    prior,
)
from skyloom.evaluation.alert_labels import UNLABELLED
from skyloom.evaluation.alerts import BASELINE, HISTORY, Alerts, alerts_of
from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.scores import ScoreTable, area_under_roc, balanced_accuracy, bootstrap, log_loss
from skyloom.evaluation.subgroups import binned, subgroup_scores
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp import CLASSES
from skyloom.models.card import Card, Score, Subgroup
from skyloom.models.novelty import pooled_p
from skyloom.models.probabilities import tempered
from skyloom.runtime.contract import System, Weights

__all__ = ["REPORTED", "measure", "score_table"]

REPORTED = (
    Score("accuracy", "reported: ALeRCE, five classes, balanced test set (Carrasco-Davis et al. 2021)", 0.94),
)
"""From the abstract of arXiv:2008.03309. Other classes, labels and alerts: no comparison."""

_UNLIKE = 0.05
_OURS = "ours, out of fold"
_FOREST = f"baseline: random forest on {len(BASELINE)} alert features"
_FOREST_OF_ALL = f"{_FOREST} and {len(HISTORY)} of history"
_MAGNITUDES = (17.5, 19.0)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
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
    estimator = system.build(system.Config(), weights)
    return score_table(estimator, weights, alerts_of(data), variant=card.variant)


def score_table(estimator: alert_stamp.Estimator, weights: Weights, alerts: Alerts, *, variant: str) -> ScoreTable:
    """Score an estimator on the alerts that it was made from; errors and exceptions as `measure` has them."""
    known = alerts.labelled()
    fold, first = alert_folds(known)
    one, fold = known.take(first), fold[first]
    _check_same(weights, one, variant)
    truth = one.target
    logits = out_of_fold(estimator.network(image=one.image, alert=one.alert)["logits"], fold)
    p, inside = cross_fitted(logits, truth, fold)
    alone, _ = cross_fitted(weights.arrays["compared.stamps_alone"], truth, fold)
    theirs = cross_validated_forest(one, fold, len(BASELINE))
    scores = [
        *_scores(_OURS, p, truth),
        *_conformal(inside, truth),
        *_calibration("ours, out of fold, before calibration", tempered(logits, 1.0), truth),
        *_scores("ours, stamps alone, out of fold", alone, truth),
        *_scores(_FOREST, theirs, truth),
        *_scores(_FOREST_OF_ALL, cross_validated_forest(one, fold, one.features.shape[1]), truth),
        *_scores("baseline: class prior", prior(truth, fold), truth),
        *_differences(p, theirs, truth),
        *_left_out(weights, known, one),
        *_unlike(estimator, alerts),
    ]
    return ScoreTable(
        system=alert_stamp.NAME,
        variant=variant,
        n=len(truth),
        scores=(*scores, *REPORTED),
        reliability=reliability(p.max(axis=1), p.argmax(axis=1) == truth, what="the class given", bins=5),
        note="REAL alerts, chosen by brokers to test their code, labelled by cross-match; one row an object, out "
        "of fold. Networks of 'stamps alone' and 'left out' are not kept: their stored predictions are scored.",
        subgroups=_subgroups(p, one),
        priors={name: float((truth == k).mean()) for k, name in enumerate(CLASSES)},
    )


def _check_same(weights: Weights, one: Alerts, variant: str) -> None:
    stored = weights.arrays.get("compared.candid", np.empty(0, dtype=np.int64))
    if not np.array_equal(stored, one.candid):
        msg = (
            f"weights {variant} were made from {len(stored)} labelled objects, and these are {len(one.candid)}, "
            "not the same or in another order: scores out of fold need the alerts of the training"
        )
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, variant=variant)


def _accuracy(p: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    return float((p.argmax(axis=1) == truth).mean())


def _mean(values: Floats) -> float:
    return float(values.mean())


def _scores(who: str, p: Floats, truth: Ints) -> list[Score]:
    return [*_right(who, p, truth), *_calibration(who, p, truth)]


def _right(who: str, p: Floats, truth: Ints) -> list[Score]:
    found = [
        Score("accuracy", who, _accuracy(p, truth), bootstrap(_accuracy, p, truth)),
        Score("balanced accuracy", who, balanced_accuracy(p, truth), bootstrap(balanced_accuracy, p, truth)),
    ]
    for k, name in enumerate(CLASSES):
        of = (p[truth == k], truth[truth == k])
        found.append(Score(f"recall of {name}", who, _accuracy(*of), bootstrap(_accuracy, *of)))
    return found


def _calibration(who: str, p: Floats, truth: Ints) -> list[Score]:
    given = (p.max(axis=1), p.argmax(axis=1) == truth)
    measure = expected_calibration_error
    return [
        Score("log-loss", who, log_loss(p, truth), bootstrap(log_loss, p, truth), "lower"),
        Score("calibration error, class given", who, measure(*given), bootstrap(measure, *given), "lower"),
    ]


def _conformal(inside: NDArray[np.bool_], truth: Ints) -> list[Score]:
    held = inside[np.arange(len(truth)), truth].astype(np.float64)
    size = inside.sum(axis=1).astype(np.float64)
    return [
        Score(f"sets for {COVERAGE:.0%} that hold the class", _OURS, _mean(held), bootstrap(_mean, held)),
        Score("classes in a set, mean", _OURS, _mean(size), bootstrap(_mean, size), "lower"),
    ]


def _differences(ours: Floats, theirs: Floats, truth: Ints) -> list[Score]:
    """Score the lead over the forest, with objects resampled for both at once."""

    def lead(metric: Callable[..., float]) -> Callable[[Floats, Floats, Ints], float]:
        return lambda a, b, target: metric(a, target) - metric(b, target)

    who = f"{_OURS}, minus that forest"
    both = (ours, theirs, truth)
    return [
        Score(f"{name}, difference", who, lead(metric)(*both), bootstrap(lead(metric), *both), better)
        for name, metric, better in (("accuracy", _accuracy, "higher"), ("log-loss", log_loss, "lower"))
    ]


def _left_out(weights: Weights, known: Alerts, one: Alerts) -> list[Score]:
    """Score objects by networks, and forests, that saw no file of the group that the object comes from."""
    theirs = np.empty((len(one.target), len(CLASSES)))
    for group in sorted(set(one.group.tolist())):
        here = one.group == group
        theirs[here] = forest(known.take(~of_group(known, group)), one.take(here), len(BASELINE))
    pairs = (("ours", weights.arrays["compared.group_left_out"]), (_FOREST, theirs))
    return [score for who, p in pairs for score in _right(f"{who}, its group of files left out", p, one.target)]


def _unlike(estimator: alert_stamp.Estimator, alerts: Alerts) -> list[Score]:
    """Score the out-of-distribution p-value on alerts in no fold: what braai calls bogus is of no class."""
    free = alerts.take((alerts.target == UNLABELLED) & np.isfinite(alerts.drb))
    least = alert_stamp.Config().min_drb
    bogus = free.drb < least
    if not bogus.any() or bogus.all():
        return []
    hidden = estimator.network(image=free.image, alert=free.alert)["hidden"]
    away = [novelty.distance(hidden[:, k]) for k, novelty in enumerate(estimator.novelty)]
    p = pooled_p(away, [novelty.reference for novelty in estimator.novelty])
    unlike = (p < _UNLIKE).astype(np.float64)
    who = "ours, unlabelled alerts"
    name, auc = f"AUC of stamp_ood, drb below {least} against above", area_under_roc
    return [
        Score(
            f"share with stamp_ood < {_UNLIKE}, drb {words}", who, _mean(unlike[of]), bootstrap(_mean, unlike[of])
        )
        for words, of in ((f"below {least}", bogus), (f"from {least}", ~bogus))
    ] + [Score(name, who, auc(-p, bogus), bootstrap(auc, -p, bogus))]


def _subgroups(p: Floats, one: Alerts) -> tuple[Subgroup, ...]:
    """Score by what is known of an alert: its brightness, and the files that it comes from."""
    parts = (
        ("magnitude of the difference", binned(one.features[:, BASELINE.index("magpsf")], _MAGNITUDES, "mag")),
        ("group of files", one.group),
    )
    return tuple(
        score
        for by, group in parts
        for score in subgroup_scores("accuracy", _accuracy, (p, one.target), by=by, group=group)
    )
