"""How well periodic-class does on real stars of EROS-1 that it never saw, beside its twin and baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.period_recovery import recovered
from skyloom.evaluation.periodic_sample import Sample, sample
from skyloom.evaluation.scores import ScoreTable, balanced_accuracy, bootstrap, log_loss
from skyloom.evaluation.subgroups import binned, subgroup_scores
from skyloom.evaluation.variable_stars import EROS1_BANDS
from skyloom.features.periodic import names_of
from skyloom.models import periodic_class
from skyloom.models.card import Card, Score, Subgroup
from skyloom.models.conformal import prediction_sets
from skyloom.runtime.contract import System, Weights
from skyloom.runtime.networks import Network

__all__ = ["REPORTED", "TWIN", "evaluate", "flips", "measure", "singles"]

TWIN = "baseline.twin."
"""What the arrays of the networks that are not invariant begin with."""

_OURS = "ours (real: EROS-1 test stars)"
_BALANCED = "balanced accuracy"
REPORTED = (
    Score(_BALANCED, "reported: iTCN, OGLE-III, 10 classes", 0.934),
    Score(_BALANCED, "reported: iResNet, OGLE-III, 10 classes", 0.933),
    Score(_BALANCED, "reported: random forest, OGLE-III, 10 classes", 0.895),
    Score(_BALANCED, "reported: recurrent network, OGLE-III, 10 classes", 0.705),
)
"""Abstract of Zhang & Bloom 2021; of other stars, classes and published periods: no comparison."""

_RF_TREES = 300


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
    """Score stored weights on the test stars of EROS-1.

    Parameters
    ----------
    system : System
    card, weights
        Of the same bundle.
    data : table or path, optional
        As `skyloom.evaluation.variable_stars.eros1_rows` gives it, or its folder.
    """
    config = _config(weights)
    return evaluate(system.build(config, weights), weights, sample(data, config), variant=card.variant)


def evaluate(estimator: periodic_class.Estimator, weights: Weights, stars: Sample, *, variant: str) -> ScoreTable:
    """Score the held-out stars of a sample.

    Parameters
    ----------
    estimator : Estimator
    weights : Weights
        Of the bundle: it has the networks of the twin, too.
    stars : Sample
        All of them: the forests are fitted on the training part.
    variant : str

    Returns
    -------
    ScoreTable
        Errors are from a bootstrap over the test stars; those of single networks are the scatter of the seeds.
    """
    test = stars.parts.held_out
    truth = stars.target[test]
    folded = stars.arrays["folded"][test]
    extras = periodic_class.prepared(stars.arrays["extras"][test], estimator.centre, estimator.width)
    twin = periodic_class.stored_network(_config(weights), weights.arrays, TWIN, twin=True)
    members, of_twin = (
        periodic_class.member_probabilities(net, folded, extras)[0] for net in (estimator.network, twin)
    )
    networks = periodic_class.average(members)
    trees = periodic_class.tree_probabilities(estimator.trees, stars.arrays["extras"][test])
    even, p = periodic_class.probabilities(estimator, networks, trees)
    forest = _forest(stars, stars.arrays["extras"])
    informed = _forest(stars, np.column_stack([stars.arrays["extras"], np.log10(stars.annotated_d)]))
    prior = np.tile(estimator.priors, (len(truth), 1))
    inside = prediction_sets(p, estimator.conformal)
    scores = [
        *_scores(_OURS, even, p, truth),
        *_scores("ours, networks without trees", networks, None, truth),
        *_scores("ours, trees without networks", trees, None, truth),
        *singles(members, of_twin, truth),
        *flips((estimator.network, twin), folded, extras),
        *_scores("baseline: random forest, same numbers", forest, None, truth),
        *_scores("baseline: class prior", prior / estimator.priors, prior, truth),
        *_scores("not allowed: random forest, annotated period added", informed, None, truth),
        Score("coverage of sets for 0.9", _OURS, float(inside[np.arange(len(truth)), truth].mean())),
        Score("classes in a set", _OURS, float(inside.sum(axis=1).mean()), better="lower"),
        *_periods(stars),
        *REPORTED,
    ]
    right = p.argmax(axis=1) == truth
    return ScoreTable(
        system=periodic_class.NAME,
        variant=variant,
        n=len(truth),
        scores=tuple(scores),
        subgroups=_subgroups(stars, p, even),
        priors={name: float(share) for name, share in zip(periodic_class.CLASSES, estimator.priors, strict=True)},
        reliability=reliability(p.max(axis=1), right, what="the likeliest class"),
        note="Labels were given by people who looked at periods of their own, aliases among them: what the forest "
        "gains by the annotated period is in good part agreement with these people.",
    )


def _config(weights: Weights) -> periodic_class.Config:
    return periodic_class.Config(bins=int(weights.arrays["shape"][5]))


def _scores(
    who: str, even: NDArray[np.float64], p: NDArray[np.float64] | None, truth: NDArray[np.int64]
) -> list[Score]:
    """Return the scores of classes given (the highest of `even`), and of calibrated probabilities."""
    out = [
        Score(_BALANCED, who, balanced_accuracy(even, truth), bootstrap(balanced_accuracy, even, truth)),
        *(
            Score(f"recall, {name}", who, float((even.argmax(axis=1) == k)[truth == k].mean()))
            for k, name in enumerate(periodic_class.CLASSES)
        ),
    ]
    if p is not None:
        right, top = p.argmax(axis=1) == truth, p.max(axis=1)
        out += [
            Score("accuracy, likeliest class", who, float(right.mean()), bootstrap(_share, right)),
            Score("log-loss", who, log_loss(p, truth), bootstrap(log_loss, p, truth), "lower"),
            Score(
                "calibration error",
                who,
                expected_calibration_error(top, right),
                bootstrap(expected_calibration_error, top, right),
                "lower",
            ),
        ]
    return out


def _subgroups(stars: Sample, p: NDArray[np.float64], even: NDArray[np.float64]) -> tuple[Subgroup, ...]:
    """Return the accuracy of the likeliest class, and of the class given, by brightness, period and certainty."""
    test = stars.parts.held_out
    truth = stars.target[test]
    numbers = {name: stars.arrays["extras"][test, k] for k, name in enumerate(names_of(EROS1_BANDS))}
    groups = {
        "mean magnitude, b": binned(numbers["mean_b"], (16.0, 17.0, 18.0, 19.0), "mag"),
        "period found": binned(stars.arrays["period_d"][test], (0.45, 1.0, 3.0, 20.0), "d"),
        "period margin": binned(stars.arrays["margin"][test], (1.05, 1.2, 1.5)),
    }
    return tuple(
        score
        for by, group in groups.items()
        for metric, of in (("accuracy, likeliest class", p), ("accuracy, class given", even))
        for score in subgroup_scores(metric, _share, (of.argmax(axis=1) == truth,), by=by, group=group)
    )


def _share(right: NDArray[np.bool_]) -> float:
    return float(right.mean())


def singles(members: NDArray[np.float64], twin: NDArray[np.float64], truth: NDArray[np.int64]) -> list[Score]:
    """Return the scores of networks one by one, seed against seed."""
    ours, theirs = (
        np.array([balanced_accuracy(of[:, k], truth) for k in range(of.shape[1])]) for of in (members, twin)
    )
    n = len(ours)
    return [
        Score(_BALANCED, f"ours, one network (iTCN), mean of {n} seeds", _mean(ours), _scatter(ours)),
        Score(_BALANCED, f"baseline: its twin (TCN), mean of {n} seeds", _mean(theirs), _scatter(theirs)),
        Score("seeds in which it is no worse", f"ours, iTCN against TCN, of {n}", float((ours >= theirs).sum())),
    ]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _scatter(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def flips(
    networks: tuple[Network, Network], folded: NDArray[np.float32], extras: NDArray[np.float32]
) -> list[Score]:
    """Return how often a star gets another class when phase is counted from elsewhere: one network, and all."""
    shift = np.random.default_rng(0).integers(1, folded.shape[2], len(folded))
    place = (np.arange(folded.shape[2]) - shift[:, None]) % folded.shape[2]
    turned = np.take_along_axis(folded, place[:, None, :], axis=2)
    out = []
    for one, every, net in zip(
        ("ours, one network (iTCN)", "baseline: its twin (TCN)"),
        ("ours, all networks (iTCN)", "baseline: their twins (TCN)"),
        networks,
        strict=True,
    ):
        before, after = (
            periodic_class.member_probabilities(net, curves, extras)[0].argmax(axis=2)
            for curves in (folded, turned)
        )
        changed = before != after
        out += [
            Score("classes that a turn changes", one, float(changed[:, 0].mean()), better="lower"),
            Score("classes that a turn changes", every, float(changed.mean()), better="lower"),
        ]
    return out


def _forest(stars: Sample, numbers: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a forest's probabilities (M, classes) of the test stars.

    Trained on the stars that ours learnt from, with classes weighted alike.
    """
    from sklearn.ensemble import RandomForestClassifier

    shown = stars.parts.train
    features = np.nan_to_num(numbers.astype(np.float32), nan=-99.0)
    model = RandomForestClassifier(
        _RF_TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=0, n_jobs=1
    )
    model.fit(features[shown], stars.target[shown])
    p = np.zeros((int(stars.parts.held_out.sum()), len(periodic_class.CLASSES)))
    p[:, model.classes_] = model.predict_proba(features[stars.parts.held_out])
    return p


def _periods(stars: Sample) -> list[Score]:
    """Return how many annotated periods of the test stars are found again."""
    test = stars.parts.held_out
    how = recovered(stars.arrays["period_d"][test], stars.annotated_d[test])
    multiples = np.isin(how, ["period", "half", "double", "third", "triple"])
    who = "ours (annotations hold aliases)"
    return [
        Score("period within 1 %", who, float((how == "period").mean())),
        Score("period or a multiple within 1 %", who, float(multiples.mean())),
        Score("that or a daily alias within 1 %", who, float((multiples | (how == "daily alias")).mean())),
    ]
