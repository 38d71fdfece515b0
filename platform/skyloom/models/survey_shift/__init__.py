"""survey-shift: classes of variable stars in a survey that has no labels, learnt from one that has.

Source: Benavente, Protopapas & Pichara 2017 (ads:2017ApJ...845..147B). The features of both surveys are one
mixture, and each component has its own translation, rotation and scaling from the source survey to the target.
Departures: the first guess of all maps is CORAL (Sun, Feng & Saenko 2016, arXiv:1511.05547) or the identity; each
component belongs to one class of the labelled survey; a prior draws the maps together; the classifier on the
mapped source rows is boosted trees instead of a random forest.

A row of the target is classified by trees that were grown on source rows mapped into the target. Its features
mapped back, as the source survey would have measured them, are columns, too; so are its density under the
mixture, how far its component moved, the probability that it is no row of the source (``shift_domain``), and the
p-value of being like the mapped source rows (``shift_ood``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.models.boosted import BoostedTrees
from skyloom.models.domain_classifier import DomainClassifier
from skyloom.models.novelty import Novelty
from skyloom.models.probabilities import calibrated, entropy, softmax
from skyloom.models.survey_shift.alignment import Alignment
from skyloom.models.survey_shift.columns import CLASSES, FLAGS, PREFIX, Config, inputs, reads, writes
from skyloom.models.survey_shift.space import Space, mapped_source
from skyloom.runtime.contract import Weights

__all__ = [
    "CLASSES",
    "FLAGS",
    "NAME",
    "Config",
    "Estimator",
    "Space",
    "build",
    "inputs",
    "mapped_source",
    "predict",
    "probabilities",
    "reads",
    "writes",
]

NAME = "survey-shift"
TITLE = "Class of a variable star, learnt in another survey"
QUESTION = "predict"


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """The mixture, the trees on mapped source rows, and what calibrates and guards them."""

    config: Config
    space: Space
    alignment: Alignment
    moved: NDArray[np.float64]
    """How far each component moved, (K,)."""
    trees: BoostedTrees
    scale: float
    bias: NDArray[np.float64]
    novelty: Novelty
    domain: DomainClassifier


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other or the settings.
    """
    if weights is None:
        msg = f"{NAME} needs weights; `skyloom model describe {NAME}` lists those there are"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    arrays, d, c = weights.arrays, len(config.columns), len(config.classes)
    shapes = {"space.centre": (d,), "space.width": (d,), "space.linear": (d, d), "space.offset": (d,),
              "calibration": (1 + c,)}  # fmt: skip
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else None
            msg = f"weights of {NAME}: {name} has shape {found}; {d} features and {c} classes need {shape}"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
    alignment = Alignment.of_arrays(arrays)
    if alignment.mean.shape[1] != d or alignment.owner.max(initial=0) >= c:
        msg = f"weights of {NAME}: the mixture is not one of {d} features and {c} classes"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=NAME)
    return Estimator(
        config=config,
        space=Space(*(arrays[f"space.{name}"] for name in ("centre", "width", "linear", "offset"))),
        alignment=alignment,
        moved=alignment.distances(),
        trees=BoostedTrees.of_arrays(arrays, d),
        scale=float(arrays["calibration"][0]),
        bias=arrays["calibration"][1:],
        novelty=Novelty.of_arrays(arrays, d),
        domain=DomainClassifier.of_arrays(arrays, d),
    )


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: features (M, D) in, one array of shape (M,) per column of `writes`."""
    features, config = arrays["features"], estimator.config
    z = estimator.space.standardised(features)
    raw = estimator.trees.scores(z.astype(np.float32))
    even, p, spread = probabilities(estimator, raw)
    parts = estimator.alignment.target_log_parts(z)
    component = parts.argmax(axis=1)
    back = np.take_along_axis(estimator.alignment.back(z), component[:, None, None], axis=1)[:, 0]
    aligned = estimator.space.source_features(back)
    return {
        f"{PREFIX}_class": np.array(config.classes)[even.argmax(axis=1)],
        **{f"{PREFIX}_p_{name}": p[:, k].astype(np.float32) for k, name in enumerate(config.classes)},
        f"{PREFIX}_p_sd": spread.astype(np.float32),
        f"{PREFIX}_entropy": entropy(p).astype(np.float32),
        f"{PREFIX}_loglik": _log_sum(parts).astype(np.float32),
        f"{PREFIX}_comp": component.astype(np.int16),
        f"{PREFIX}_moved": estimator.moved[component].astype(np.float32),
        f"{PREFIX}_domain": estimator.domain.probability(features).astype(np.float32),
        f"{PREFIX}_ood": estimator.novelty.p_value(z.astype(np.float32)).astype(np.float32),
        **{f"{PREFIX}_aligned_{name}": aligned[:, k].astype(np.float32) for k, name in enumerate(config.columns)},
    }


def probabilities(
    estimator: Estimator, scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities (M, C) for equally common classes, calibrated ones, and the spread (M,) over ensembles.

    Parameters
    ----------
    scores : ndarray, shape (M, ensembles, C)
        Of the trees.
    """
    total = np.zeros((len(scores), scores.shape[2]))
    for member in range(scores.shape[1]):
        total = total + scores[:, member]
    mean = total / scores.shape[1]
    even = softmax(mean)
    best = even.argmax(axis=1)
    of_best = np.take_along_axis(softmax(scores), best[:, None, None], axis=2)[:, :, 0]
    return even, calibrated(mean, estimator.scale, estimator.bias), of_best.std(axis=1)


def _log_sum(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    top = parts.max(axis=1)
    total = np.zeros(len(parts))
    for k in range(parts.shape[1]):
        total = total + np.exp(parts[:, k] - top)
    return np.asarray(top + np.log(total))
