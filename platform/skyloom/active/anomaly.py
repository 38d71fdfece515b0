"""The anomaly loop: isolation forests that learn from labels which oddness is of interest.

Source: Kornilov et al. 2025 (Astronomy and Computing 52, 100960) with their library `coniferest`:
AADForest (Das et al. 2017, arXiv:1708.09441) weighs the leaves of an isolation forest so that
labelled anomalies score above labelled normal objects; PineForest grows spare trees and keeps
those that score the labels best. Without labels both order objects as their isolation forest does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.active.space import FeatureSpace
from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["FORESTS", "AnomalyRanker", "Forest", "grow"]

FORESTS = ("aad", "pine", "isolation")

IS_ANOMALY, IS_NORMAL = -1, 1
"""As `coniferest.label.Label` has them."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Which forest, and how large."""

    kind: str = "aad"
    """``"aad"``, ``"pine"``, or ``"isolation"``, which looks at no label."""
    trees: int = 100
    points: int = 256
    """That each tree sees, at most."""
    spare_trees: int = 400
    """That a pine forest grows and cuts again."""

    def __post_init__(self) -> None:
        if self.kind not in FORESTS:
            msg = f"there is no forest {self.kind!r}; {close_matches(self.kind, FORESTS)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, forest=self.kind)
        if self.trees < 1 or self.points < 2 or self.spare_trees < 0:
            msg = f"trees must be at least 1, points 2, spare_trees 0; got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyRanker:
    """A grown forest and the space it was grown in."""

    space: FeatureSpace
    forest: Any
    anomalies: NDArray[np.float32]
    """Labelled anomalies in that space, shape (A, D)."""

    def score(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the score of each row of (N, F); higher is more of an anomaly. Finite."""
        return self._score(self.space.expand(features))

    def _score(self, expanded: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(expanded):
            return np.empty(0)
        return -np.asarray(self.forest.score_samples(expanded), dtype=np.float64)

    def reasons(
        self, features: NDArray[np.floating], names: Sequence[str], anomaly_ids: Sequence[int] = ()
    ) -> list[str]:
        """Say of each row which features are oddest, and which labelled anomaly it shares most leaves with.

        Parameters
        ----------
        features : ndarray, shape (N, F)
        names : sequence of F str
        anomaly_ids : sequence of int
            Ids of the labelled anomalies, in the order in which `grow` got them.
        """
        expanded = self.space.expand(features)
        z = expanded[:, : len(names)]
        oddest = np.argsort(-np.abs(z), axis=1, kind="stable")[:, :3]
        said = [
            ", ".join(f"{names[k]} {row[k]:+.1f} widths" for k in places if row[k] != 0.0)
            for row, places in zip(z, oddest, strict=True)
        ]
        if not len(self.anomalies) or not len(z):
            return said
        alike = 1.0 - np.asarray(self.forest.distance(expanded, self.anomalies))
        nearest = alike.argmax(axis=1)
        return [
            f"shares {alike[i, k]:.0%} of leaves with anomaly {anomaly_ids[k]}; {text}"
            for i, (k, text) in enumerate(zip(nearest, said, strict=True))
        ]


def grow(
    sample: NDArray[np.floating],
    known: NDArray[np.floating],
    is_anomaly: NDArray[np.bool_],
    *,
    forest: Forest | None = None,
    seed: int = 0,
) -> AnomalyRanker:
    """Grow a forest on a sample of all rows and teach it the labels.

    Parameters
    ----------
    sample : ndarray, shape (N, F)
        Rows to grow the trees on; the same rows in another order grow another forest.
    known : ndarray, shape (L, F)
        Labelled rows; none: the isolation forest of the same seed.
    is_anomaly : ndarray of bool, shape (L,)
    forest : Forest, optional
    seed : int

    Raises
    ------
    SpecError
        If the sample has no values.
    """
    settings = forest or Forest()
    space = FeatureSpace.of(sample)
    z, z_known = space.expand(sample), space.expand(known)
    grown = _planted(settings, len(known), seed)
    labels = np.where(is_anomaly, IS_ANOMALY, IS_NORMAL)
    with warnings.catch_warnings():
        # Fewer rows than points: each tree then sees all of them.
        warnings.filterwarnings("ignore", message="population should be greater")
        if settings.kind == "isolation" or not len(known):
            grown.fit(z)
        else:
            grown.fit_known(z, z_known, labels)
    return AnomalyRanker(space, grown, z_known[is_anomaly])


def _planted(settings: Forest, n_known: int, seed: int) -> Any:
    """Return the forest before it is grown."""
    # One thread: a worker has one core, and the trees do not depend on it.
    common = {"n_trees": settings.trees, "n_subsamples": settings.points, "random_seed": seed, "n_jobs": 1}
    if settings.kind == "isolation" or n_known == 0:
        from coniferest.isoforest import IsolationForest

        return IsolationForest(**common)
    if settings.kind == "pine":
        from coniferest.pineforest import PineForest

        return PineForest(n_spare_trees=settings.spare_trees, **common)
    from coniferest.aadforest import AADForest

    return AADForest(**common)
