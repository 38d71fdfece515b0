"""transient-anomaly: how little a light curve looks like any of the common classes.

Source: isolation forests (Liu, Ting & Zhou 2008, doi:10.1109/ICDM.2008.17) as the SNAD team
uses them on light-curve features (Pruzhinskaya et al. 2019, ads:2019MNRAS.489.3591P; Kornilov
et al. 2025, `coniferest`), one forest per known class on a space that tells the classes apart,
as Gupta et al. 2025 propose (ads:2025RASTI...4....5G). Departures: that space is the linear
discriminants of the features (Fisher 1936) instead of a network's last layer, and whether a
feature is missing counts as a feature.

A row's score is that in the forest that knows it best: the smallest over the classes. Higher
is more anomalous. The percentile counts held-out objects of the common classes that score
lower, so 99 means: one in a hundred ordinary objects looks as odd. It is at the same time
the system's out-of-distribution column (p-value = 1 - percentile / 100).
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
from skyloom.models.isolation import IsolationForests
from skyloom.models.novelty import standardise
from skyloom.models.transient_columns import BANDS, FLAGS, inputs_of, reads_of
from skyloom.runtime.contract import Inputs, Weights

__all__ = ["FLAGS", "NAME", "PARTS", "Config", "Estimator", "Space", "build", "inputs", "predict"]

NAME = "transient-anomaly"
TITLE = "How unlike the common classes a light curve is"
QUESTION = "describe"

PARTS = 5
"""Parts of each forest whose scores are compared for the uncertainty."""

_PREFIX = "transient_anomaly"


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the anomaly score."""

    min_points: int = 10
    """Usable points, all passbands together, below which a row is not scored."""

    def __post_init__(self) -> None:
        if self.min_points < 1:
            msg = f"min_points must be at least 1, got {self.min_points}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, min_points=self.min_points)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """The discriminants: standardised features and gaps, times a matrix.

    Attributes
    ----------
    centre, width : ndarray of float64, shape (F,)
        Of `skyloom.models.novelty.standardise`.
    gaps : ndarray of int64, shape (G,)
        Features whose being missing is looked at.
    matrix : ndarray of float64, shape (F + G, D)
    """

    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    gaps: NDArray[np.int64]
    matrix: NDArray[np.float64]

    def expand(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return standardised features, missing ones at 0, and gaps as 0 or 1: (N, F) to (N, F + G)."""
        z = standardise(features.astype(np.float64), self.centre, self.width)
        missing = np.isnan(z)
        return np.hstack([np.where(missing, 0.0, z), missing[:, self.gaps]])

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the discriminants of features (N, F), shape (N, D)."""
        columns = np.ascontiguousarray(self.expand(features).T)
        out = np.zeros((len(features), self.matrix.shape[1]))
        for column, weights in zip(columns, self.matrix, strict=True):
            # Element-wise: a matrix product's sums would depend on the number of rows.
            out += column[:, None] * weights
        return out.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """The space, the forests in it, and the scores of the reference objects, ascending."""

    space: Space
    forests: IsolationForests
    reference: NDArray[np.float32]


def reads(config: Config) -> tuple[Column, ...]:
    """Return the feature columns of `lightcurve-features` with ``transient = true``, and metadata."""
    return reads_of()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the score, its percentile among ordinary objects and its uncertainty."""
    return (
        Column(
            f"{_PREFIX}_score",
            "",
            "isolation-forest score in the class that knows the row best: 0 to 1, higher is more anomalous",
            "float32",
            "stat.value",
        ),
        Column(
            f"{_PREFIX}_score_sd",
            "",
            f"standard error of the score, from {PARTS} parts of the forest",
            "float32",
            "stat.error",
        ),
        Column(
            f"{_PREFIX}_pct",
            "%",
            "percentage of held-out objects of the common classes with a lower score",
            "float32",
            "stat.rank",
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
    arrays, n_features = weights.arrays, len(derived_names(BANDS))
    names = ("space.centre", "space.width", "space.gaps", "space.matrix", "reference")
    missing = [name for name in names if name not in arrays]
    if missing or len(arrays["space.centre"]) != n_features:
        odd = ", ".join(missing) or "space.centre"
        msg = f"weights of {NAME}: {odd} missing or of another version; rebuild them"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=NAME)
    space = Space(*(arrays[name] for name in names[:4]))
    if space.width.shape != space.centre.shape or len(space.matrix) != n_features + len(space.gaps):
        msg = f"weights of {NAME}: the arrays of the space do not fit each other; rebuild them"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=NAME)
    return Estimator(space, IsolationForests.of_arrays(arrays, space.matrix.shape[1]), arrays["reference"])


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn rows into derived features; rows without enough points are left out and flagged."""
    return inputs_of(rows, config.min_points)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: derived features (M, F) in, one array of shape (M,) per column of `writes`."""
    paths = estimator.forests.paths(estimator.space.project(arrays["features"]), parts=PARTS)
    score, error = _scores(paths, estimator.forests.scale)
    lower = np.searchsorted(estimator.reference, score, side="left")
    return {
        f"{_PREFIX}_score": score,
        f"{_PREFIX}_score_sd": error,
        f"{_PREFIX}_pct": (100.0 * lower / len(estimator.reference)).astype(np.float32),
    }


def _scores(
    paths: NDArray[np.float64], scale: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Score and standard error of mean paths (M, parts, K)."""
    mean = np.zeros((len(paths), len(scale)))
    for part in range(paths.shape[1]):
        mean = mean + paths[:, part]
    each = 2.0 ** (-mean / (paths.shape[1] * scale))
    best = each.argmin(axis=1)
    parts = 2.0 ** (-np.take_along_axis(paths, best[:, None, None], axis=2)[:, :, 0] / scale[best, None])
    score = np.take_along_axis(each, best[:, None], axis=1)[:, 0]
    error = parts.std(axis=1, ddof=1) / np.sqrt(paths.shape[1])
    return score.astype(np.float32), error.astype(np.float32)
