"""What turns the answers of trained networks into probabilities: a threshold, two curves, and what is unlike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.calibration import fit_isotonic
from skyloom.evaluation.flare_events import Tally, is_flare, tally_of
from skyloom.evaluation.flare_sample import Star, labels_of
from skyloom.models.flares.columns import Config
from skyloom.models.flares.estimator import Judgement, judge, stored_network
from skyloom.models.flares.events import spans
from skyloom.training.novelty import fit_novelty

__all__ = ["calibration_arrays"]

_THRESHOLDS = np.round(np.arange(0.2, 0.96, 0.05), 2)

Spans = tuple[NDArray[np.int64], NDArray[np.int64]]


def calibration_arrays(
    arrays: Mapping[str, NDArray[Any]], shown: list[Star], calibrating: list[Star]
) -> dict[str, NDArray[Any]]:
    """Choose the threshold, fit the curves and the novelty.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Of the networks.
    shown, calibrating : list of Star
        Stars that trained the networks, and others.

    Returns
    -------
    dict of str to ndarray
        ``threshold``: of those tried, where flares found have the best harmonic mean of precision and recall;
        ``cadence.*`` and ``event.*``, isotonic; ``ood.*``.
    """
    network = stored_network(arrays)
    judged = [judge(network, star.curve) for star in calibrating]
    labels = [np.where(star.curve.judged & star.curve.seen, labels_of(star), -1) for star in calibrating]
    p = np.concatenate([each.mean[label >= 0] for each, label in zip(judged, labels, strict=True)])
    knots, values = fit_isotonic(p, np.concatenate([label[label >= 0] == 1 for label in labels]))
    harmonic = [_harmonic(_tally(calibrating, judged, threshold)) for threshold in _THRESHOLDS.tolist()]
    chosen = float(_THRESHOLDS[int(np.argmax(harmonic))])
    event_knots, event_values = fit_isotonic(*_events(calibrating, judged, float(_THRESHOLDS[0])))
    kinds = np.stack([star.curve.kind for star in (*shown, *calibrating)])
    is_shown = np.arange(len(kinds)) < len(shown)
    novelty = fit_novelty(
        kinds, np.zeros(len(kinds), dtype=np.int64), np.arange(kinds.shape[1]), is_shown, ~is_shown
    )
    return {
        "threshold": np.array([chosen]),
        "cadence.knots": knots,
        "cadence.values": values,
        "event.knots": event_knots,
        "event.values": event_values,
        **novelty.to_arrays(),
    }


def _spans(star: Star, judged: Judgement, threshold: float) -> Spans:
    """Return the events of a star as `find_events` does, their height that above the lowest trend: no fits."""
    config = Config()
    hot = (np.nan_to_num(judged.mean) >= threshold) & star.curve.seen
    least = np.arcsinh(config.min_sigma)
    height = star.curve.channels.max(axis=0)
    found = [
        (first, last)
        for first, last in spans(hot, star.curve.offsets, config.join_cadences)
        if height[first : last + 1].max() >= least
    ]
    table = np.array(found, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _tally(stars: list[Star], judged: list[Judgement], threshold: float) -> Tally:
    counts = []
    for star, each in zip(stars, judged, strict=True):
        outcome = is_flare(star, *_spans(star, each, threshold))
        right, wrong = int((outcome.flaring == 1).sum()), int((outcome.flaring == 0).sum())
        counts.append((right, right + wrong, int(outcome.recalled.sum()), len(outcome.recalled)))
    return tally_of(counts)


def _harmonic(tally: Tally) -> float:
    """Return the harmonic mean of precision and recall; 0 where there is none."""
    both = tally.precision + tally.recall
    return 2.0 * tally.precision * tally.recall / both if both > 0.0 else 0.0


def _events(
    stars: list[Star], judged: list[Judgement], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the highest probability of every event that is a flare or none, and whether it is one."""
    p, happened = [np.empty(0)], [np.empty(0, dtype=bool)]
    for star, each in zip(stars, judged, strict=True):
        first, last = _spans(star, each, threshold)
        flaring = is_flare(star, first, last).flaring
        highest = [np.nanmax(each.mean[a : b + 1]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        p.append(np.array(highest, dtype=np.float64)[flaring >= 0])
        happened.append(flaring[flaring >= 0] == 1)
    return np.concatenate(p), np.concatenate(happened)
