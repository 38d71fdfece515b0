"""What turns the answers of trained networks into probabilities: a threshold, two curves, and what is unlike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.calibration import fit_isotonic
from skyloom.evaluation.flare_events import is_flare
from skyloom.evaluation.flare_sample import Star, labels_of
from skyloom.models.flares.columns import Config
from skyloom.models.flares.estimator import judge, stored_network
from skyloom.models.flares.events import find_events
from skyloom.training.novelty import fit_novelty

__all__ = ["calibration_arrays"]

_THRESHOLDS = np.round(np.arange(0.2, 0.96, 0.05), 2)
_BINS = 2000
"""Groups of cadences of like probability that the curve is fitted to; there are a million of them."""


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
    config = Config()
    best, chosen = -1.0, np.array([0.5])
    for threshold in _THRESHOLDS.tolist():
        right, found, clear, recalled = 0, 0, 0, 0
        for star, each in zip(calibrating, judged, strict=True):
            events = find_events(
                star.curve,
                each.mean,
                each.sd,
                threshold=threshold,
                join=config.join_cadences,
                min_sigma=config.min_sigma,
            )
            outcome = is_flare(star, events.first, events.last)
            right, found = right + int((outcome.flaring == 1).sum()), found + int((outcome.flaring >= 0).sum())
            clear, recalled = clear + len(outcome.recalled), recalled + int(outcome.recalled.sum())
        precision, recall = right / max(found, 1), recalled / max(clear, 1)
        harmonic = 2.0 * precision * recall / max(precision + recall, 1e-12)
        if harmonic > best:
            best, chosen = harmonic, np.array([threshold])
    highest, happened = list[NDArray[np.float64]](), list[NDArray[np.bool_]]()
    for star, each in zip(calibrating, judged, strict=True):
        events = find_events(
            star.curve,
            each.mean,
            each.sd,
            threshold=float(_THRESHOLDS[0]),
            join=config.join_cadences,
            min_sigma=config.min_sigma,
        )
        outcome = is_flare(star, events.first, events.last)
        highest.append(events.p[outcome.flaring >= 0])
        happened.append(outcome.flaring[outcome.flaring >= 0] == 1)
    event_knots, event_values = fit_isotonic(np.concatenate(highest), np.concatenate(happened))
    kinds = np.stack([star.curve.kind for star in (*shown, *calibrating)])
    is_shown = np.arange(len(kinds)) < len(shown)
    novelty = fit_novelty(
        kinds, np.zeros(len(kinds), dtype=np.int64), np.arange(kinds.shape[1]), is_shown, ~is_shown
    )
    return {
        "threshold": chosen,
        "cadence.knots": knots,
        "cadence.values": values,
        "event.knots": event_knots,
        "event.values": event_values,
        **novelty.to_arrays(),
    }
