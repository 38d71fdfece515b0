"""transient-class: which of PLAsTiCC's 14 classes a light curve belongs to, and whether it is an SN Ia.

Source: the PLAsTiCC challenge (Kessler et al. 2019, ads:2019PASP..131i4501K; Hlozek et al.
2023, ads:2023ApJS..267...25H) and Boone 2019 (avocado, ads:2019AJ....158..257B), who showed
that boosted trees on light-curve features win it. Departures from avocado: features come
from the points directly instead of a Gaussian process, the training set is not augmented,
boosting is scikit-learn's histogram kind, and probabilities are calibrated on objects that
the trees never saw.

What predicts is an average of boosted ensembles (`skyloom.models.boosted`) on ratios,
colours and rest-frame times of the features (`skyloom.features.derived`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.features.derived import derived_names
from skyloom.models.boosted import BoostedTrees
from skyloom.models.novelty import Novelty
from skyloom.models.probabilities import calibrated, calibrated_binary, entropy
from skyloom.models.transient_columns import BANDS, FLAGS, inputs_of, reads_of
from skyloom.runtime.contract import Inputs, Weights

__all__ = [
    "CLASSES",
    "FLAGS",
    "NAME",
    "SN_IA",
    "Config",
    "Estimator",
    "build",
    "inputs",
    "predict",
    "reads",
    "writes",
]

NAME = "transient-class"
TITLE = "Class of a transient or variable from its LSST light curve"
QUESTION = "predict"

CLASSES: Mapping[int, str] = {
    6: "ulens",
    15: "tde",
    16: "eb",
    42: "snii",
    52: "sniax",
    53: "mira",
    62: "snibc",
    64: "kn",
    65: "mdwarf",
    67: "snia91bg",
    88: "agn",
    90: "snia",
    92: "rrl",
    95: "slsn",
}
"""PLAsTiCC's target numbers and our labels, in the order of the probability columns."""

SN_IA = 90

_PREFIX = "transient_class"
_DESCRIPTIONS = {
    "ulens": "microlensing of a single lens",
    "tde": "tidal disruption event",
    "eb": "eclipsing binary",
    "snii": "supernova of type II",
    "sniax": "supernova of type Iax",
    "mira": "Mira variable",
    "snibc": "supernova of type Ib or Ic",
    "kn": "kilonova",
    "mdwarf": "flare of an M dwarf",
    "snia91bg": "supernova of type Ia, 91bg-like",
    "agn": "active galactic nucleus",
    "snia": "supernova of type Ia, normal",
    "rrl": "RR Lyrae star",
    "slsn": "superluminous supernova",
}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the classifier."""

    min_points: int = 10
    """Usable points, all passbands together, below which a row is not scored."""

    def __post_init__(self) -> None:
        if self.min_points < 1:
            msg = f"min_points must be at least 1, got {self.min_points}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, min_points=self.min_points)


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Trees, what calibrates them, and what they were trained on."""

    trees: BoostedTrees
    novelty: Novelty
    scale: float
    bias: NDArray[np.float64]
    ia_scale: float
    ia_bias: float


def reads(config: Config) -> tuple[Column, ...]:
    """Return the feature columns of `lightcurve-features` with ``transient = true``, and metadata."""
    return reads_of()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the class, its probabilities, their uncertainty and the out-of-distribution p-value."""
    return (
        Column(_PREFIX, "", "most probable class", "string", "src.class"),
        *(
            Column(
                f"{_PREFIX}_p_{label}",
                "",
                f"calibrated probability of: {_DESCRIPTIONS[label]}",
                "float32",
                "stat.probability;src.class",
            )
            for label in CLASSES.values()
        ),
        Column(
            f"{_PREFIX}_p_ia",
            "",
            "probability of a normal SN Ia against all the rest, calibrated by itself",
            "float32",
            "stat.probability;src.class",
        ),
        Column(
            f"{_PREFIX}_p_sd",
            "",
            "standard deviation, over the ensembles, of the probability of the class given",
            "float32",
            "stat.stdev;stat.probability",
        ),
        Column(
            f"{_PREFIX}_entropy",
            "",
            "entropy of the probabilities: 0 certain, 1 all classes alike",
            "float32",
            "stat.value",
        ),
        Column(
            f"{_PREFIX}_ood",
            "",
            "p-value of the row being like the training objects: small is out of distribution",
            "float32",
            "stat.probability",
        ),
    )


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit.
    """
    if weights is None:
        msg = f"{NAME} needs weights; `skyloom model describe {NAME}` lists those there are"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    n_features = len(derived_names(BANDS))
    calibration = weights.arrays.get("calibration", np.empty(0))
    if calibration.shape != (3 + len(CLASSES),):
        msg = f"weights of {NAME}: calibration has shape {calibration.shape}, expected {(3 + len(CLASSES),)}"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=NAME)
    return Estimator(
        trees=BoostedTrees.of_arrays(weights.arrays, n_features),
        novelty=Novelty.of_arrays(weights.arrays, n_features),
        scale=float(calibration[0]),
        bias=calibration[3:],
        ia_scale=float(calibration[1]),
        ia_bias=float(calibration[2]),
    )


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn rows into derived features; rows without enough points are left out and flagged."""
    return inputs_of(rows, config.min_points)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: derived features (M, F) in, one array of shape (M,) per column of `writes`."""
    features = arrays["features"]
    scores = estimator.trees.scores(features)
    p = probabilities(estimator, scores)
    best = p.argmax(axis=1)
    each = calibrated(scores, estimator.scale, estimator.bias)
    of_best = np.take_along_axis(each, best[:, None, None], axis=2)[:, :, 0]
    ia = list(CLASSES).index(SN_IA)
    return {
        _PREFIX: np.array(list(CLASSES.values()))[best],
        **{f"{_PREFIX}_p_{label}": p[:, k].astype(np.float32) for k, label in enumerate(CLASSES.values())},
        f"{_PREFIX}_p_ia": calibrated_binary(p[:, ia], estimator.ia_scale, estimator.ia_bias).astype(np.float32),
        f"{_PREFIX}_p_sd": of_best.std(axis=1).astype(np.float32),
        f"{_PREFIX}_entropy": entropy(p).astype(np.float32),
        f"{_PREFIX}_ood": estimator.novelty.p_value(features).astype(np.float32),
    }


def probabilities(estimator: Estimator, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return calibrated probabilities (M, K) of raw scores (M, ensembles, K)."""
    total = np.zeros((len(scores), scores.shape[2]))
    for member in range(scores.shape[1]):
        total = total + scores[:, member]
    return calibrated(total / scores.shape[1], estimator.scale, estimator.bias)
