"""periodic-class: the period of a variable star, and its class from the folded light curve.

Source: Zhang & Bloom 2021 (ads:2021MNRAS.505..515Z), whose iTCN gives the same answer wherever phase is
counted from. Departures: the period is found by the platform (`skyloom.features.periods`) and not
given; the light curve is averaged in bins of phase, passbands side by side; beside it the network
reads shape, colour and significance (`skyloom.features.periodic`) instead of three numbers;
networks are narrower, trained with classes weighted alike, averaged over five seeds, multiplied with
boosted trees on the same numbers (`skyloom.models.boosted`), and calibrated. Nothing of it
sees the origin of phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.models.conformal import prediction_sets, set_names
from skyloom.models.periodic_class.columns import (
    CLASSES,
    FLAGS,
    Config,
    inputs_of,
    period_columns,
    reads_of,
    writes_of,
)
from skyloom.models.periodic_class.estimator import (
    Estimator,
    average,
    estimator_of,
    joined,
    member_probabilities,
    prepared,
    probabilities,
    shape_array,
    stored_network,
    tree_probabilities,
)
from skyloom.models.probabilities import entropy
from skyloom.runtime.contract import Inputs, Weights

__all__ = [
    "CLASSES",
    "FLAGS",
    "NAME",
    "NORMALISATION",
    "TOLERANCE",
    "Config",
    "Estimator",
    "average",
    "build",
    "inputs",
    "joined",
    "member_probabilities",
    "predict",
    "prepared",
    "probabilities",
    "reads",
    "shape_array",
    "stored_network",
    "tree_probabilities",
    "writes",
]

NAME = "periodic-class"
TITLE = "Period and class of a periodic variable star"
QUESTION = "predict"
LIBRARIES = ("torch",)

TOLERANCE: Mapping[str, float] = {
    **{f"vs_p_{name}{kind}": 0.01 for name in CLASSES for kind in ("", "_raw")},
    "vs_class": 0.005,
    "vs_set": 0.01,
    "vs_p_sd": 0.01,
    "vs_entropy": 0.02,
    "vs_ood": 0.05,
    # No network has a part in these; float64 of another processor has.
    "vs_period": 1e-3,
    "vs_period_err": 1e-3,
    "vs_period_2": 1e-3,
    "vs_period_full": 1e-3,
    **{f"vs_{name}": 1e-3 for name in ("period_margin", "power", "explained", "phase_gap")},
    "vs_log_fap": 0.01,
    "vs_double_f": 0.01,
}
"""Of each output, as `skyloom.models.card.Card.tolerance` has it."""
NORMALISATION = (
    "bins of phase from the first point on: magnitude less the mean of its passband, in units of the scatter of "
    "all passbands, empty bins along straight lines; then how far to trust each bin"
)


def reads(config: Config) -> tuple[Column, ...]:
    """Return the columns read: times, magnitudes, errors and labels of the points."""
    return reads_of()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the class, its probabilities and their uncertainty, and the period and its quality."""
    return writes_of()


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights, or the settings are not theirs.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other.
    """
    if weights is None:
        msg = f"{NAME} needs weights; `skyloom model describe {NAME}` lists those there are"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    return estimator_of(config, weights)


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Find periods and fold; rows without a period are left out and flagged."""
    return inputs_of(rows, config)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: what `inputs` made, to one array of shape (M,) per column of `writes`."""
    extras = prepared(arrays["extras"], estimator.centre, estimator.width)
    members, features = member_probabilities(estimator.network, arrays["folded"], extras)
    trees = tree_probabilities(estimator.trees, arrays["extras"])
    raw, p = probabilities(estimator, average(members), trees)
    _, each = probabilities(estimator, members, trees[:, None])
    best = raw.argmax(axis=1)  # all classes weighed the same in training
    of_best = np.take_along_axis(each, best[:, None, None], axis=2)[:, :, 0]
    return {
        "vs_class": np.array(CLASSES)[best],
        **{f"vs_p_{c}": p[:, k].astype(np.float32) for k, c in enumerate(CLASSES)},
        **{f"vs_p_{c}_raw": raw[:, k].astype(np.float32) for k, c in enumerate(CLASSES)},
        "vs_set": set_names(prediction_sets(p, estimator.conformal), CLASSES),
        "vs_p_sd": of_best.std(axis=1).astype(np.float32),
        "vs_entropy": entropy(p).astype(np.float32),
        "vs_ood": estimator.novelty.p_value(features).astype(np.float32),
        **period_columns(dict(arrays)),
    }
