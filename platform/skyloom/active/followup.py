"""The follow-up loop: which objects to send to spectroscopy, within a budget, night by night.

Source: RESSPECT (Ishida et al. 2019, ads:2019MNRAS.483....2I; Kennamer et al. 2020,
arXiv:2010.05941): a random forest on light-curve features, retrained with each night's spectra,
asks for the objects it is least sure of. Complex batch strategies were not found to beat that, so
there are the plain ones, and the random control that each must beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.active.space import FeatureSpace
from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.evaluation.split import uniform

__all__ = ["STRATEGIES", "FollowUpRanker", "Night", "entropy", "informativeness", "learn", "spend"]

STRATEGIES = ("uncertainty", "margin", "entropy", "disagreement", "random")


@dataclass(frozen=True, slots=True, eq=False)
class FollowUpRanker:
    """A classifier trained on the objects that have a type."""

    space: FeatureSpace
    forest: Any
    classes: tuple[str, ...]
    strategy: str
    seed: int

    def probabilities(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the share of trees for each class, for each tree's leaf: (N, F) to (T, N, C)."""
        expanded = self.space.expand(features)
        return np.stack([np.asarray(tree.predict_proba(expanded)) for tree in self.forest.estimators_])

    def score(self, features: NDArray[np.floating], ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return how much the type of each row of (N, F) would teach; higher is more."""
        if self.strategy == "random":
            return uniform(np.asarray(ids).astype(np.uint64), self.seed)
        if not len(features):
            return np.empty(0)
        return informativeness(self.probabilities(features), self.strategy)

    def reasons(self, features: NDArray[np.floating]) -> list[str]:
        """Say of each row what the classifier thinks it is: its two likeliest classes."""
        if not len(features):
            return []
        mean = self.probabilities(features).mean(axis=0)
        top = np.argsort(-mean, axis=1, kind="stable")[:, :2]
        return [
            ", ".join(f"{self.classes[k]} {row[k]:.0%}" for k in places)
            for row, places in zip(mean, top, strict=True)
        ]


def entropy(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the entropy in nats of probabilities (..., C): 0 if sure, ``ln C`` if they are equal."""
    safe = np.where(p > 0, p, 1.0)
    return np.asarray(-(p * np.log(safe)).sum(axis=-1), dtype=np.float64)


def informativeness(p: NDArray[np.floating], strategy: str) -> NDArray[np.float64]:
    """Return how unsure a committee is of each object.

    Parameters
    ----------
    p : ndarray, shape (T, N, C)
        Probability of each class by each of T members.
    strategy : str
        ``"uncertainty"``: 1 minus the largest mean probability; ``"margin"``: 1 minus its distance
        from the second; ``"entropy"`` of the mean; ``"disagreement"``: entropy of the mean minus
        mean entropy, which is the mutual information of class and member.

    Returns
    -------
    ndarray of float64, shape (N,)
        Not negative.

    Raises
    ------
    SpecError
        If there is no such strategy.
    """
    mean = p.mean(axis=0)
    if strategy == "uncertainty":
        return np.asarray(1.0 - mean.max(axis=-1))
    if strategy == "margin":
        ordered = np.sort(mean, axis=-1)
        return np.asarray(1.0 - (ordered[:, -1] - ordered[:, -2]))
    if strategy == "entropy":
        return entropy(mean)
    if strategy == "disagreement":
        return np.asarray(np.maximum(entropy(mean) - entropy(p).mean(axis=0), 0.0))
    raise _unknown(strategy)


def learn(
    known: NDArray[np.floating],
    labels: Sequence[str],
    *,
    strategy: str = "uncertainty",
    seed: int = 0,
    trees: int = 100,
) -> FollowUpRanker:
    """Train the classifier on labelled rows.

    Parameters
    ----------
    known : ndarray, shape (L, F)
        NaN is missing.
    labels : sequence of L str
        Their classes.
    strategy : str
        One of `STRATEGIES`.
    seed : int
        Of the forest, and of the random control.
    trees : int

    Raises
    ------
    SpecError
        If the labels are of fewer than two classes, or there is no such strategy.
    """
    from sklearn.ensemble import RandomForestClassifier

    if strategy not in STRATEGIES:
        raise _unknown(strategy)
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        msg = f"the follow-up loop needs labelled objects of two classes at least, and there are of {found}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    space = FeatureSpace.of(known)
    # Leaves of three: with one object each, no member ever doubts and disagreement is entropy again.
    forest = RandomForestClassifier(trees, min_samples_leaf=3, random_state=seed, n_jobs=1)
    forest.fit(space.expand(known), [classes.index(label) for label in labels])
    return FollowUpRanker(space, forest, classes, strategy, seed)


@dataclass(frozen=True, slots=True, eq=False)
class Night:
    """What is taken of a ranking: places in it, and the batch of each."""

    taken: NDArray[np.int64]
    batch: NDArray[np.int16]


def spend(
    cost: NDArray[np.floating], *, budget: float, batch_budget: float | None = None, objects: int | None = None
) -> Night:
    """Take from a ranking, best first, what the budget pays for.

    What is too dear for the rest of a batch waits for the next one; what is too dear for any batch, or
    for the rest of the budget, is left out. A cost that is not known cannot be paid.

    Parameters
    ----------
    cost : ndarray, shape (N,)
        Of each object, best first; any unit.
    budget : float
        To spend in all; never exceeded.
    batch_budget : float, optional
        To spend in one batch (a night); all in one unless told.
    objects : int, optional
        To take at most.

    Raises
    ------
    SpecError
        If a budget is not positive.
    """
    per_batch = budget if batch_budget is None else min(batch_budget, budget)
    if not (np.isfinite(budget) and budget > 0 and per_batch > 0):
        msg = f"budget and batch must be positive numbers, got {budget} and {batch_budget}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    waiting = np.flatnonzero((cost > 0) & (cost <= per_batch)).tolist()
    taken: list[int] = []
    batches: list[int] = []
    left, batch = float(budget), 0
    while waiting and (objects is None or len(taken) < objects):
        room, later, before = min(per_batch, left), [], len(taken)
        for k in waiting:
            if cost[k] <= room and (objects is None or len(taken) < objects):
                room, left = room - float(cost[k]), left - float(cost[k])
                taken.append(k)
                batches.append(batch)
            else:
                later.append(k)
        if len(taken) == before:
            break
        waiting, batch = later, batch + 1
    return Night(np.array(taken, dtype=np.int64), np.array(batches, dtype=np.int16))


def _unknown(strategy: str) -> SpecError:
    msg = f"there is no strategy {strategy!r}; {close_matches(strategy, STRATEGIES)}"
    return SpecError(msg, kind=ErrorKind.BAD_PARAMETER, strategy=strategy)
