"""What survey-shift reads and writes, and how columns become its features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import ANY_UNIT, Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.models.domain_classifier import domain_column
from skyloom.runtime.contract import Flag, Inputs

__all__ = ["CLASSES", "FLAGS", "PREFIX", "Config", "inputs", "reads", "writes"]

CLASSES = ("eb", "cep", "rrl", "lpv")
"""Labels, in the order of the probability columns."""
_WORDS = ("an eclipsing binary", "a Cepheid", "an RR Lyrae star", "a long-period variable")
PREFIX = "shift"

NO_FEATURES = Flag(
    0, "NO_FEATURES", "a feature is missing, infinite, or not positive where its logarithm is taken"
)
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


def reads(config: Config) -> tuple[Column, ...]:
    """Return the feature columns."""
    logarithms = (
        Column(n, ANY_UNIT, f"{n}, positive; its logarithm is a feature", "float64") for n in config.logarithms
    )
    return (*logarithms, *(Column(name, ANY_UNIT, f"{name}, a feature", "float64") for name in config.plain))


def writes(config: Config) -> tuple[Column, ...]:
    """Return the class and its probabilities, the aligned features, and how usual the row is."""
    p = "stat.probability;src.class"
    words = dict(zip(CLASSES, _WORDS, strict=True))
    return (
        Column(f"{PREFIX}_class", "", "class of the highest probability, all alike common", "string", "src.class"),
        *(
            Column(f"{PREFIX}_p_{name}", "",
                   f"calibrated on mapped source rows: probability of {words.get(name, name)}", "float32", p)
            for name in config.classes
        ),
        Column(f"{PREFIX}_p_sd", "", "spread over ensembles of trees of the probability of the class given, all "
               "equally common", "float32", "stat.stdev;stat.probability"),
        Column(f"{PREFIX}_entropy", "", "entropy of the probabilities: 0 certain, 1 all alike", "float32",
               "stat.value"),
        Column(f"{PREFIX}_loglik", "", "logarithm of the density of the standardised features under the mixture",
               "float32", "stat.likelihood"),
        Column(f"{PREFIX}_comp", "", "number of the likeliest component of the mixture", "int16", "meta.number"),
        Column(f"{PREFIX}_moved", "", "2-Wasserstein distance of that component between the surveys after the "
               "global map, in standardised features", "float32", "stat.value"),
        domain_column(PREFIX, "the target survey"),
        Column(f"{PREFIX}_ood", "", "p-value of being like the mapped source rows: small is unlike", "float32",
               "stat.probability"),
        *(
            Column(f"{PREFIX}_aligned_{name}", "", f"{name} as the source survey would have it"
                   + (", decimal logarithm" if name in config.logarithms else ""), "float32", "stat.value")
            for name in config.columns
        ),
    )  # fmt: skip


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn N rows into ``features`` (M, D); rows that lack one are left out and flagged."""
    values = np.column_stack(
        [rows.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in config.columns]
    )
    features = config.features(values)
    scorable = np.asarray(np.isfinite(features).all(axis=1))
    flag = np.where(scorable, 0, NO_FEATURES.mask).astype(np.uint32)
    return Inputs({"features": features[scorable]}, flag, scorable)
