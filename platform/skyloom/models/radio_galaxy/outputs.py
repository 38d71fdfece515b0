"""What radio-galaxy writes: from the logits of members and orientations to columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.models.conformal import prediction_sets, set_names
from skyloom.models.novelty import Novelty
from skyloom.models.probabilities import entropy, softmax, tempered

__all__ = ["CLASSES", "columns_of", "mean_logits", "writes_of"]

CLASSES = ("FRI", "FRII")
"""Labels, in the order of the logits."""


def writes_of() -> tuple[Column, ...]:
    """Return the class, its probabilities before and after calibration, spreads, the set, and the p-value."""
    of = "stat.probability;src.class"
    return (
        Column("fr_class", "", "more probable Fanaroff-Riley class: FRI or FRII", "string", "src.class"),
        Column("fr_p1", "", "calibrated probability of FR I, brightest near the core", "float32", of),
        Column("fr_p2", "", "calibrated probability of FR II, brightest at the edges", "float32", of),
        Column("fr_p1_raw", "", "probability of FR I as the networks give it, not calibrated", "float32", of),
        Column("fr_p2_raw", "", "probability of FR II as the networks give it, not calibrated", "float32", of),
        Column("fr_set", "", "classes: the true one is among them in 90 % of cases", "string", "src.class"),
        Column(
            "fr_p_sd",
            "",
            "standard deviation of fr_p2 over networks trained from different seeds; 0 where there is one",
            "float32",
            "stat.stdev;stat.probability",
        ),
        Column(
            "fr_p_sd_rot",
            "",
            "standard deviation of fr_p2 over orientations of the image; 0 where it is shown in one",
            "float32",
            "stat.stdev;stat.probability",
        ),
        Column("fr_entropy", "", "entropy of fr_p1 and fr_p2: 0 certain, 1 both alike", "float32", "stat.value"),
        Column(
            "fr_ood",
            "",
            "p-value of the source being like the training sources: small is out of distribution",
            "float32",
            "stat.probability",
        ),
    )


def mean_logits(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean over members, shape (M, A, 2), of logits (M, A, E, 2).

    Members are added one after the other, so that a row gives the same bits in any batch.
    """
    total = np.zeros((*logits.shape[:2], logits.shape[3]))
    for member in range(logits.shape[2]):
        total = total + logits[:, :, member]
    return np.asarray(total / logits.shape[2])


def columns_of(
    logits: NDArray[np.floating],
    features: NDArray[np.float32],
    *,
    temperature: float,
    conformal: float,
    novelty: Novelty,
) -> dict[str, NDArray[Any]]:
    """Return one array of shape (M,) per column of `writes_of`.

    Parameters
    ----------
    logits : ndarray, shape (M, A, E, 2)
        Of A orientations, the image as it is first, and E members; FR I first.
    features : ndarray of float32, shape (M, F)
        Penultimate layer.
    temperature : float
        As `skyloom.evaluation.calibration.fit_temperature` finds it: keeps the order of the classes.
    conformal : float
        Calibrated probability from which a class is in the set.
    novelty : Novelty
        Fitted on the same features.
    """
    mean = mean_logits(logits)
    raw = softmax(mean[:, 0])
    p = tempered(mean, temperature)
    members = tempered(logits[:, 0].astype(np.float64), temperature)
    return {
        "fr_class": np.array(CLASSES)[p[:, 0].argmax(axis=1)],
        "fr_p1": p[:, 0, 0].astype(np.float32),
        "fr_p2": p[:, 0, 1].astype(np.float32),
        "fr_p1_raw": raw[:, 0].astype(np.float32),
        "fr_p2_raw": raw[:, 1].astype(np.float32),
        "fr_set": set_names(prediction_sets(p[:, 0], conformal), CLASSES),
        "fr_p_sd": members[:, :, 1].std(axis=1).astype(np.float32),
        "fr_p_sd_rot": p[:, :, 1].std(axis=1).astype(np.float32),
        "fr_entropy": entropy(p[:, 0]).astype(np.float32),
        "fr_ood": novelty.p_value(features).astype(np.float32),
    }
