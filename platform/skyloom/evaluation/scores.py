"""Scores of classifiers and rankings, with bootstrap errors, and the table that shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.models.card import Bin, Score, Subgroup

__all__ = [
    "ScoreTable",
    "area_under_roc",
    "balanced_accuracy",
    "bootstrap",
    "log_loss",
    "purity_of_top",
    "weighted_log_loss",
]

_TINY = 1e-15
_RESAMPLES = 200

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def log_loss(p: Floats, target: Ints) -> float:
    """Return the mean of ``-ln p`` of the true class; `p` has shape (N, K), `target` (N,) places in it."""
    return float(-np.log(np.clip(p[np.arange(len(target)), target], _TINY, 1.0)).mean())


def weighted_log_loss(p: Floats, target: Ints, weight: Floats) -> float:
    """Return PLAsTiCC's score: the mean over classes of each class's log-loss, weighted by `weight` (K,).

    Classes without objects are left out. Source: Malz et al. 2019, ads:2019AJ....158..171M.
    """
    loss = -np.log(np.clip(p[np.arange(len(target)), target], _TINY, 1.0))
    count = np.bincount(target, minlength=len(weight))
    mean = np.bincount(target, loss, minlength=len(weight)) / np.maximum(count, 1)
    there = weight * (count > 0)
    return float((mean * there).sum() / there.sum())


def balanced_accuracy(p: Floats, target: Ints) -> float:
    """Return the mean over classes of the fraction of their objects that get the highest probability."""
    right = p.argmax(axis=1) == target
    count = np.bincount(target)
    return float((np.bincount(target, right)[count > 0] / count[count > 0]).mean())


def area_under_roc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive outranks a negative, ties half; NaN where one is missing."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[place]
    n = int(positive.sum())
    if n in {0, len(positive)}:
        return math.nan
    return float((rank[positive].sum() - n * (n + 1) / 2.0) / (n * (len(positive) - n)))


def purity_of_top(score: Floats, positive: NDArray[np.bool_], fraction: float) -> float:
    """Return the share of positives among the `fraction` of rows that score highest (at least one row)."""
    n = max(1, round(fraction * len(score)))
    return float(positive[np.argsort(-score, kind="stable")[:n]].mean())


def bootstrap(
    metric: Callable[..., float], *arrays: NDArray[Any], seed: int = 0, resamples: int = _RESAMPLES
) -> float:
    """Return the 1-sigma error of ``metric(*arrays)`` from resampling the rows with replacement."""
    rng = np.random.default_rng(seed)
    n = len(arrays[0])
    values = []
    for _ in range(resamples):
        rows = rng.integers(0, n, n)
        values.append(metric(*(array[rows] for array in arrays)))
    return float(np.nanstd(values, ddof=1))


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Scores of one set of weights beside baselines and what others report."""

    system: str
    variant: str
    n: int
    """Held-out objects."""
    scores: tuple[Score, ...]
    reliability: tuple[Bin, ...] = ()
    note: str = ""
    subgroups: tuple[Subgroup, ...] = ()
    priors: Mapping[str, float] = field(default_factory=dict)
    """Share of each class among the training objects that the system scores."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain record per score."""
        return [
            {"metric": s.metric, "who": s.who, "value": s.value, "error": s.error, "better": s.better}
            for s in self.scores
        ]

    def as_dict(self) -> Mapping[str, Any]:
        """Return everything as plain values (NaN as None), for JSON."""
        bins = [{name: getattr(b, name) for name in Bin.__dataclass_fields__} for b in self.reliability]
        scores = [_without_nan(row) for row in self.rows()]
        return {
            "system": self.system,
            "variant": self.variant,
            "held_out": self.n,
            "scores": scores,
            "reliability": bins,
            "subgroups": [_without_nan(asdict(each)) for each in self.subgroups],
            "note": self.note,
        }

    def render(self) -> str:
        """Return the table as text: a line per score, then the reliability table."""
        lines = [f"{self.system} {self.variant}: {self.n} held-out objects", ""]
        lines.append(f"{'score':34s} {'whose':52s} {'value':>8s} {'error':>8s}  better")
        lines += [
            f"{s.metric:34s} {s.who:52s} {s.value:8.4f} {_number(s.error):>8s}  {s.better}" for s in self.scores
        ]
        if self.reliability:
            lines += ["", f"{'probability of':20s} {'bin':>11s} {'n':>6s} {'mean p':>8s} {'observed':>9s}"]
            lines += [
                f"{b.what:20s} {b.low:4.1f} to {b.high:3.1f} {b.n:6d} {b.mean_p:8.3f} {b.observed:9.3f}"
                for b in self.reliability
            ]
        if self.subgroups:
            lines += ["", f"{'score':34s} {'by':24s} {'group':20s} {'n':>6s} {'value':>8s} {'error':>8s}"]
            lines += [
                f"{g.metric:34s} {g.by:24s} {g.group:20s} {g.n:6d} "
                + (g.reason or f"{g.value:8.4f} {_number(g.error):>8s}")
                for g in self.subgroups
            ]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines)


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
