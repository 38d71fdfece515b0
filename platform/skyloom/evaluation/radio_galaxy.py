"""How well FR I and FR II are told apart: scores of an ensemble, beside baselines and reported numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.calibration import expected_calibration_error
from skyloom.evaluation.radio import RadioSet
from skyloom.evaluation.scores import area_under_roc, bootstrap, log_loss
from skyloom.evaluation.split import Parts
from skyloom.features.radio_morphology import MORPHOLOGY, radio_morphology
from skyloom.models.card import Score

__all__ = ["REPORTED", "baseline_scores", "ensemble_scores"]

REPORTED = (
    Score("accuracy", "reported, recalled: D16 equivariant network, Scaife & Porter 2021", 0.966),
    Score("accuracy", "reported, recalled: plain LeNet, Scaife & Porter 2021", 0.940),
)
"""ads:2021MNRAS.503.2369S, quoted from memory; on MiraBest's own test batch: another split than ours."""

_RF_TREES = 300
_FRII = 1


def ensemble_scores(
    who: str,
    p: NDArray[np.floating],
    members: NDArray[np.floating],
    target: NDArray[np.integer],
    extent_px: NDArray[np.floating],
) -> tuple[Score, ...]:
    """Return the scores of calibrated probabilities on held-out objects.

    Parameters
    ----------
    who : str
        Whose they are.
    p : ndarray, shape (N, 2)
        Of the ensemble, FR I first.
    members : ndarray, shape (E, N, 2)
        Of each member: seeds of one architecture.
    target : ndarray of integers, shape (N,)
    extent_px : ndarray, shape (N,)
        Size of each source, for the scores of small and of large ones.

    Returns
    -------
    tuple of Score
        Errors are from a bootstrap over objects; that of the mean member's accuracy is the
        standard deviation over the members, NaN where there is one.

    Raises
    ------
    SpecError
        If the shapes do not fit each other.
    """
    if p.shape != (len(target), 2) or members.shape[1:] != p.shape or extent_px.shape != target.shape:
        shapes = f"probabilities {p.shape}, members {members.shape}, sizes {extent_px.shape}"
        msg = f"{shapes}: not of {len(target)} objects"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    each = np.array([_accuracy(member, target) for member in members])
    spread = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
    small = extent_px <= np.median(extent_px)
    return (
        *_scores(who, p, target),
        Score(f"accuracy of one member, mean of {len(each)} seeds", who, float(each.mean()), spread),
        *(
            Score(f"accuracy, {words}", who, _accuracy(p[of], target[of]), bootstrap(_accuracy, p[of], target[of]))
            for words, of in (("smaller half", small), ("larger half", ~small))
            if of.any()
        ),
    )


def baseline_scores(data: RadioSet, parts: Parts) -> tuple[Score, ...]:
    """Return scores, on the held-out objects, of the class prior and of a random forest on morphology.

    The forest (300 trees) sees the 12 numbers of `skyloom.features.radio_morphology` of the
    training objects. Both are fixed by the split.
    """
    from sklearn.ensemble import RandomForestClassifier

    target = data.target[parts.held_out]
    share = np.bincount(data.target[parts.train], minlength=2) / parts.train.sum()
    features = radio_morphology(data.images[:, 0])
    # One thread: with more, the order in which trees are added is not fixed.
    forest = RandomForestClassifier(_RF_TREES, random_state=0, n_jobs=1)
    forest.fit(features[parts.train], data.target[parts.train])
    return (
        *_scores(
            f"baseline: random forest on {len(MORPHOLOGY)} morphology features",
            forest.predict_proba(features[parts.held_out]),
            target,
        ),
        *_scores("baseline: class prior", np.tile(share, (len(target), 1)), target),
    )


def _scores(who: str, p: NDArray[np.floating], target: NDArray[np.integer]) -> tuple[Score, ...]:
    frii = p[:, _FRII]
    right = target == _FRII
    return (
        Score("accuracy", who, _accuracy(p, target), bootstrap(_accuracy, p, target)),
        Score("AUC", who, area_under_roc(frii, right), bootstrap(area_under_roc, frii, right)),
        Score("log-loss", who, log_loss(p, target), bootstrap(log_loss, p, target), "lower"),
        Score(
            "calibration error",
            who,
            expected_calibration_error(frii, right),
            bootstrap(expected_calibration_error, frii, right),
            "lower",
        ),
    )


def _accuracy(p: NDArray[np.floating], target: NDArray[np.integer]) -> float:
    return float((p.argmax(axis=1) == target).mean())
