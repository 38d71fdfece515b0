"""How well flares does on simulated stars that it never saw, beside a finder of outliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.flare_events import Tally, best_at_precision, is_flare, matched, share, tally_of
from skyloom.evaluation.flare_outliers import outlier_events, settings
from skyloom.evaluation.flare_sample import Star, labels_of
from skyloom.evaluation.scores import bootstrap
from skyloom.evaluation.subgroups import binned, subgroup_scores
from skyloom.models.card import Bin, Score, Subgroup
from skyloom.models.flares.curves import HALF
from skyloom.models.flares.estimator import Estimator, Judgement, events_of, judge
from skyloom.models.flares.events import Events
from skyloom.models.probabilities import isotonic

__all__ = ["OURS", "SimulatedScores", "average_precision", "scores_on_stars"]

OURS = "ours (simulated)"
_FINDER = "baseline: outliers, its best at our precision (simulated)"
_RATIO = 17684 / 5389
"""Windows without a flare for one with, in stella's training set."""
_FAINT = (2.0, 4.0)

Spans = Callable[[Star], tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedScores:
    """What is measured on simulated stars."""

    n: int
    scores: tuple[Score, ...]
    reliability: tuple[Bin, ...]
    subgroups: tuple[Subgroup, ...]
    share_flaring: float
    """Of all judged cadences."""


def average_precision(p: NDArray[np.floating], happened: NDArray[np.bool_]) -> float:
    """Return the average precision; NaN where nothing happened."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(happened, p)) if happened.any() else float("nan")


def scores_on_stars(estimator: Estimator, stars: list[Star]) -> SimulatedScores:
    """Score held-out stars: windows as stella's team took them, cadences, and events.

    Parameters
    ----------
    estimator : Estimator
    stars : list of Star
        That trained and calibrated nothing.

    Returns
    -------
    SimulatedScores
        Errors are from a bootstrap over windows, or over stars.
    """
    judged = [judge(estimator.network, star.curve) for star in stars]
    events = [events_of(estimator, star.curve, each) for star, each in zip(stars, judged, strict=True)]
    known = [np.where(star.curve.judged & star.curve.seen, labels_of(star), -1) for star in stars]
    p = np.concatenate([each.mean[label >= 0] for each, label in zip(judged, known, strict=True)])
    flaring = np.concatenate([label[label >= 0] == 1 for label in known])
    p_cadence = isotonic(p, estimator.cadence_knots, estimator.cadence_values)
    places = [(star, _spans(each)) for star, each in zip(stars, events, strict=True)]
    ours = _tally(places)
    finder = best_at_precision(
        (
            _tally([(star, outlier_events(star.curve, sigmas, least=least, trend=trend)) for star in stars])
            for sigmas, least, trend in settings()
        ),
        ours.precision,
    )
    window_scores, groups = _windows(stars, judged, known)
    event_p, event_right = _event_truth(estimator, stars, events)
    scores = [
        *window_scores,
        Score("average precision, cadences", OURS, average_precision(p, flaring)),
        Score("calibration error, cadences", OURS, expected_calibration_error(p_cadence, flaring), better="lower"),
        *_pair("precision, events", OURS, ours.right, ours.found),
        *_pair("recall, clear flares", OURS, ours.recalled, ours.listed),
        *_pair("recall, flares of 2 to 4 sigma", OURS, *_faint(places)),
        Score(
            "calibration error, events",
            OURS,
            expected_calibration_error(event_p, event_right),
            bootstrap(expected_calibration_error, event_p, event_right),
            "lower",
        ),
        *_durations(stars, events),
    ]
    if finder is not None:
        scores += [
            *_pair("precision, events", _FINDER, finder.right, finder.found),
            *_pair("recall, clear flares", _FINDER, finder.recalled, finder.listed),
        ]
    usual = [(star, outlier_events(star.curve, 3.0)) for star in stars]
    plain, who = _tally(usual), "baseline: 3 cadences above 3 sigma (simulated)"
    scores += [
        *_pair("precision, events", who, plain.right, plain.found),
        *_pair("recall, clear flares", who, plain.recalled, plain.listed),
        *_pair("recall, flares of 2 to 4 sigma", who, *_faint(usual)),
    ]
    return SimulatedScores(
        len(stars),
        tuple(scores),
        reliability(event_p, event_right, what="an event's being a flare"),
        groups,
        float(flaring.mean()),
    )


def _spans(events: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return events.first, events.last


def _pair(metric: str, who: str, some: NDArray[np.int64], all_of: NDArray[np.int64]) -> list[Score]:
    return [Score(metric, who, share(some, all_of), bootstrap(share, some, all_of))]


def _tally(found: list[tuple[Star, tuple[NDArray[np.int64], NDArray[np.int64]]]]) -> Tally:
    counts = []
    for star, (first, last) in found:
        outcome = is_flare(star, first, last)
        counts.append(
            (
                int((outcome.flaring == 1).sum()),
                int((outcome.flaring >= 0).sum()),
                int(outcome.recalled.sum()),
                len(outcome.recalled),
            )
        )
    return tally_of(counts)


def _faint(
    found: list[tuple[Star, tuple[NDArray[np.int64], NDArray[np.int64]]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many faint flares of each star were found, and how many there are."""
    recalled, listed = [], []
    for star, (first, last) in found:
        faint = star.peaks[(star.sigmas >= _FAINT[0]) & (star.sigmas < _FAINT[1])]
        recalled.append(int(matched(first, last, faint).any(axis=0).sum()))
        listed.append(len(faint))
    return np.array(recalled), np.array(listed)


def _windows(
    stars: list[Star], judged: list[Judgement], known: list[NDArray[np.int8]]
) -> tuple[list[Score], tuple[Subgroup, ...]]:
    """Score windows about peaks of flares against windows 100 cadences from any, as stella's team took them."""
    p, flare, height, sigmas, noise = ([] for _ in range(5))
    for star, each, label in zip(stars, judged, known, strict=True):
        clear = star.clear & star.curve.seen[star.peaks]
        peaks = star.peaks[clear]
        far = np.ones(len(label), dtype=bool)
        for node in np.flatnonzero(label == 1):
            far[max(0, node - HALF) : node + HALF] = False
        rng = np.random.default_rng(star.number)
        quiet = rng.permutation(np.flatnonzero(far & (label == 0)))[: max(3, round(_RATIO * len(peaks)))]
        nodes = np.concatenate([peaks, quiet])
        stands = np.sinh(star.curve.channels[0].astype(np.float64))
        p.append(each.mean[nodes])
        flare.append(np.arange(len(nodes)) < len(peaks))
        height.append(np.max([stands[np.clip(nodes + k, 0, len(stands) - 1)] for k in (-1, 0, 1)], axis=0))
        sigmas.append(np.concatenate([star.sigmas[clear], np.full(len(quiet), np.nan)]))
        noise.append(np.full(len(nodes), np.log10(star.curve.noise) + 6.0))
    score, happened, stand = np.concatenate(p), np.concatenate(flare), np.concatenate(height)
    at = score >= 0.5
    scores = [
        Score("average precision, windows", OURS, average_precision(score, happened),
              bootstrap(average_precision, score, happened)),
        Score("average precision, windows", "baseline: height in sigmas (simulated)",
              average_precision(stand, happened), bootstrap(average_precision, stand, happened)),
        Score("accuracy, windows at 0.5", OURS, float((at == happened).mean())),
        Score("precision, windows at 0.5", OURS, _mean(happened[at])),
        Score("recall, windows at 0.5", OURS, _mean(at[happened])),
        Score("precision, windows at recall 0.9", OURS, _precision_at(score, happened, 0.9)),
    ]  # fmt: skip
    right = at[happened].astype(np.float64)
    groups = (
        *subgroup_scores("recall, windows at 0.5", _mean, (right,), by="height of the flare",
                         group=binned(np.concatenate(sigmas)[happened], (4.0, 6.0, 10.0, 30.0), "sigma")),
        *subgroup_scores("average precision, windows", average_precision, (score, happened),
                         by="noise, dex of ppm", group=binned(np.concatenate(noise), (2.5, 3.0, 3.5, 4.0))),
    )  # fmt: skip
    return scores, groups


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _precision_at(p: NDArray[np.float64], happened: NDArray[np.bool_], recall: float) -> float:
    """Return the precision where so large a share of what happened is found."""
    if not happened.any():
        return float("nan")
    return _mean(happened[p >= np.quantile(p[happened], 1.0 - recall)])


def _event_truth(
    estimator: Estimator, stars: list[Star], events: list[Events]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the calibrated probability of every event that is a flare or none, and whether it is one."""
    p, right = [], []
    for star, each in zip(stars, events, strict=True):
        flaring = is_flare(star, each.first, each.last).flaring
        p.append(each.p[flaring >= 0])
        right.append(flaring[flaring >= 0] == 1)
    return isotonic(np.concatenate(p), estimator.event_knots, estimator.event_values), np.concatenate(right)


def _durations(stars: list[Star], events: list[Events]) -> list[Score]:
    """Return how equivalent durations compare with the truth, for events that hold one clear flare of 10 sigma."""
    ratio = []
    for star, each in zip(stars, events, strict=True):
        hit = matched(each.first, each.last, star.peaks)
        for k in np.flatnonzero(hit.sum(axis=1) == 1):
            flare = int(np.flatnonzero(hit[k])[0])
            if star.sigmas[flare] >= 10.0:
                ratio.append(each.ed_s[k] / star.duration_s[flare])
    low, middle, high = np.percentile(ratio, (16.0, 50.0, 84.0)) if ratio else (np.nan,) * 3
    return [
        Score("equivalent duration over truth, median", OURS, float(middle)),
        Score(
            "equivalent duration over truth, half of 16 to 84 %", OURS, float(0.5 * (high - low)), better="lower"
        ),
    ]
