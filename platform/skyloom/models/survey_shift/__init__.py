"""survey-shift: classes of variable stars in a survey that has no labels, learnt from one that has.

Source: Benavente, Protopapas & Pichara 2017 (ads:2017ApJ...845..147B). The features of both surveys are one mixture,
and each component has its own translation, rotation and scaling from the source survey to the target. Departures:
the first guess of all maps is a global one, CORAL (Sun, Feng & Saenko 2016, arXiv:1511.05547); each component belongs
to one class of the labelled survey; a prior draws the maps together; the classifier on the mapped source rows is
boosted trees instead of a random forest.

A row of the target is classified by trees that were grown on source rows mapped into the target. Its features
mapped back, as the source survey would have measured them, are columns, too; so are its density under the mixture,
how far its component moved, the probability that it is no row of the source (``shift_domain``), and the p-value
of being like the mapped source rows (``shift_ood``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import ANY_UNIT, Column
from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.models.boosted import BoostedTrees
from skyloom.models.domain_classifier import DomainClassifier, domain_column
from skyloom.models.novelty import Novelty, standardise
from skyloom.models.probabilities import calibrated, entropy, softmax
from skyloom.models.survey_shift.alignment import Alignment
from skyloom.runtime.contract import Flag, Inputs, Weights

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

CLASSES = ("eb", "cep", "rrl", "lpv")
"""Labels, in the order of the probability columns."""
_WORDS = ("an eclipsing binary", "a Cepheid", "an RR Lyrae star", "a long-period variable")
_PREFIX = "shift"

NO_FEATURES = Flag(0, "NO_FEATURES", "a feature is missing, infinite, or not positive where its logarithm is taken")
FLAGS = (NO_FEATURES,)


@dataclass(frozen=True, slots=True)
class Config:
    """Which columns are the features, in the order in which the weights know them."""

    logarithms: tuple[str, ...] = (
        "vs_period", "lcf_ipr_5_b", "lcf_ipr_5_r", "lcf_std_b", "lcf_std_r", "lcf_chi2_b", "lcf_chi2_r",
    )  # fmt: skip
    """Columns whose decimal logarithm is a feature."""
    plain: tuple[str, ...] = ("lcf_mean_b", "lcf_mean_r")
    """Columns that are features as they are."""
    classes: tuple[str, ...] = CLASSES
    """Names of the classes, in the order of the weights."""

    def __post_init__(self) -> None:
        for name in ("logarithms", "plain", "classes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.columns or len(set(self.columns)) != len(self.columns):
            msg = f"logarithms and plain must name at least one column, and each once, got {list(self.columns)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if len(set(self.classes)) < 2 or len(set(self.classes)) != len(self.classes):
            msg = f"classes must be two names or more, and each once, got {list(self.classes)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns read, in the order of the features."""
        return (*self.logarithms, *self.plain)

    def features(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the features of columns (N, D); NaN where one has none."""
        n = len(self.logarithms)
        with np.errstate(invalid="ignore", divide="ignore"):
            out = np.column_stack([np.log10(values[:, :n]), values[:, n:]])
        return np.where(np.isfinite(out), out, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where the mixture lives: standardised features, source rows after the global map.

    Attributes
    ----------
    centre, width : ndarray of float64, shape (D,)
        Of `skyloom.models.novelty.standardise`, both surveys alike.
    linear : ndarray of float64, shape (D, D)
    offset : ndarray of float64, shape (D,)
        ``z @ linear + offset`` is a standardised source row in the target, to first order.
    """

    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    linear: NDArray[np.float64]
    offset: NDArray[np.float64]

    def standardised(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return features (N, D) of either survey, standardised."""
        return standardise(features.astype(np.float64), self.centre, self.width)

    def source(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return source features (N, D) standardised and mapped to first order."""
        return _times(self.standardised(features), self.linear) + self.offset

    def source_features(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features of which `source` gives `rows`."""
        z = _times(rows - self.offset, np.linalg.inv(self.linear))
        return np.asarray(np.sinh(z) * self.width + self.centre)


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


def reads(config: Config) -> tuple[Column, ...]:
    """Return the feature columns."""
    logarithms = (Column(n, ANY_UNIT, f"{n}, positive; its logarithm is a feature", "float64") for n in config.logarithms)
    return (*logarithms, *(Column(name, ANY_UNIT, f"{name}, a feature", "float64") for name in config.plain))


def writes(config: Config) -> tuple[Column, ...]:
    """Return the class and its probabilities, the aligned features, and how usual the row is."""
    p = "stat.probability;src.class"
    words = dict(zip(CLASSES, _WORDS, strict=True))
    return (
        Column(f"{_PREFIX}_class", "", "class of the highest probability, all equally common", "string", "src.class"),
        *(
            Column(f"{_PREFIX}_p_{name}", "", f"probability, calibrated on mapped source rows, of {words.get(name, name)}",
                   "float32", p)
            for name in config.classes
        ),
        Column(f"{_PREFIX}_p_sd", "", "spread over ensembles of trees of the probability of the class given, all "
               "equally common", "float32", "stat.stdev;stat.probability"),
        Column(f"{_PREFIX}_entropy", "", "entropy of the probabilities: 0 certain, 1 all alike", "float32", "stat.value"),
        Column(f"{_PREFIX}_loglik", "", "logarithm of the density of the standardised features under the mixture",
               "float32", "stat.likelihood"),
        Column(f"{_PREFIX}_comp", "", "number of the component that most likely made the row", "int16", "meta.number"),
        Column(f"{_PREFIX}_moved", "", "2-Wasserstein distance of that component between the surveys after the global "
               "map, in standardised features", "float32", "stat.value"),
        domain_column(_PREFIX, "the target survey"),
        Column(f"{_PREFIX}_ood", "", "p-value of being like the mapped source rows: small is unlike", "float32",
               "stat.probability"),
        *(
            Column(f"{_PREFIX}_aligned_{name}", "", f"{name} as the source survey would have it"
                   + (", decimal logarithm" if name in config.logarithms else ""), "float32", "stat.value")
            for name in config.columns
        ),
    )  # fmt: skip


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


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn N rows into ``features`` (M, D); rows that lack one are left out and flagged."""
    values = np.column_stack(
        [rows.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in config.columns]
    )
    features = config.features(values)
    scorable = np.isfinite(features).all(axis=1)
    flag = np.where(scorable, 0, NO_FEATURES.mask).astype(np.uint32)
    return Inputs({"features": features[scorable]}, flag, scorable)


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
        f"{_PREFIX}_class": np.array(config.classes)[even.argmax(axis=1)],
        **{f"{_PREFIX}_p_{name}": p[:, k].astype(np.float32) for k, name in enumerate(config.classes)},
        f"{_PREFIX}_p_sd": spread.astype(np.float32),
        f"{_PREFIX}_entropy": entropy(p).astype(np.float32),
        f"{_PREFIX}_loglik": _log_sum(parts).astype(np.float32),
        f"{_PREFIX}_comp": component.astype(np.int16),
        f"{_PREFIX}_moved": estimator.moved[component].astype(np.float32),
        f"{_PREFIX}_domain": estimator.domain.probability(features).astype(np.float32),
        f"{_PREFIX}_ood": estimator.novelty.p_value(z.astype(np.float32)).astype(np.float32),
        **{f"{_PREFIX}_aligned_{name}": aligned[:, k].astype(np.float32) for k, name in enumerate(config.columns)},
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


def mapped_source(
    space: Space, alignment: Alignment, features: NDArray[np.floating], label: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return labelled source features (N, D) in the target, standardised: by the map of the likeliest component.

    Among the components of a row's own class.
    """
    rows = space.source(features)
    parts = np.where(alignment.owner == label[:, None], alignment.source_log_parts(rows), -np.inf)
    return np.take_along_axis(alignment.forward(rows), parts.argmax(axis=1)[:, None, None], axis=1)[:, 0]


def _times(rows: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply rows (N, D) with a matrix, one feature after the other: a row has the same bits in any batch."""
    out = np.zeros((len(rows), matrix.shape[1]))
    for d in range(rows.shape[1]):
        out = out + rows[:, d, None] * matrix[d]
    return out


def _log_sum(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    top = parts.max(axis=1)
    total = np.zeros(len(parts))
    for k in range(parts.shape[1]):
        total = total + np.exp(parts[:, k] - top)
    return np.asarray(top + np.log(total))
