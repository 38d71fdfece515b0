"""The loops played with the truth in the part of the person: what labels would have bought.

Each seed plays with its own random part of the objects and its own forests, so that the spread over
seeds is that of another sky and another forest. All policies of a seed see the same objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.active.anomaly import Forest
from skyloom.active.followup import STRATEGIES, FollowUpRanker, learn
from skyloom.active.records import ANOMALY, NORMAL
from skyloom.active.reranking import rerank
from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.scores import area_under_roc
from skyloom.evaluation.split import uniform

__all__ = [
    "ANOMALY_POLICIES",
    "CONTROL",
    "STATIC",
    "Curves",
    "anomaly_curves",
    "figure_of_merit",
    "followup_curves",
]

CONTROL, STATIC = "random", "isolation"
ANOMALY_POLICIES = ("aad", "pine", STATIC, CONTROL)

SHARE = 0.7
"""Of the objects that a seed plays with."""

_FALSE_PENALTY = 3.0
_SHARING = 1_000_003

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """A score by the number of labels, for some policies and seeds.

    Attributes
    ----------
    metric : str
        What the score is; more is better.
    labels : ndarray of int64, shape (K,)
    values : mapping of str to ndarray of float64, shape (S, K)
        By policy.
    """

    metric: str
    labels: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]

    def ratio(self, policy: str, other: str) -> tuple[float, float]:
        """Return the ratio of two policies' means at the end, and its standard error over seeds.

        The error is that of a ratio of means, seeds being paired.
        """
        a, b = self.values[policy][:, -1], self.values[other][:, -1]
        ratio = a.mean() / b.mean()
        return float(ratio), _standard_error(a - ratio * b) / float(b.mean())

    def lead(self, policy: str, other: str) -> tuple[float, float]:
        """Return the mean difference of two policies at the end, and its standard error over seeds."""
        difference = self.values[policy][:, -1] - self.values[other][:, -1]
        return float(difference.mean()), _standard_error(difference)


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def anomaly_curves(
    features: NDArray[np.floating],
    ids: NDArray[np.integer],
    rare: NDArray[np.bool_],
    *,
    seeds: int = 10,
    labels: int = 100,
    batch: int = 5,
    policies: tuple[str, ...] = ANOMALY_POLICIES,
    say: Say = lambda _: None,
) -> Curves:
    """Count the rare objects that each policy shows somebody in so many labels.

    Parameters
    ----------
    features : ndarray, shape (N, F)
    ids : ndarray of integers, shape (N,)
    rare : ndarray of bool, shape (N,)
        What the person would call an anomaly.
    seeds : int
        Two at least.
    labels : int
        Given in all.
    batch : int
        Given between two forests.
    policies : tuple of str
        Kinds of `skyloom.active.anomaly.Forest`; ``"isolation"`` is one ranking that learns nothing, and
        ``"random"`` shows objects in random order.
    say : callable
        Told of progress.

    Raises
    ------
    SpecError
        If there are fewer objects than labels, or fewer than two seeds.
    """
    _check(seeds, labels, int(SHARE * len(ids) * 0.9))
    found: dict[str, list[NDArray[np.float64]]] = {policy: [] for policy in policies}
    for seed in range(seeds):
        here = _share(ids, seed)
        for policy in policies:
            mine = (features[here], ids[here], rare[here])
            shown = _shown(*mine, policy=policy, seed=seed, labels=labels, batch=batch)
            found[policy].append(np.concatenate([[0.0], np.cumsum(shown)]))
        say(f"seed {seed}: " + ", ".join(f"{policy} {found[policy][-1][-1]:.0f}" for policy in policies))
    values = {policy: np.array(curves) for policy, curves in found.items()}
    return Curves("rare objects found", np.arange(labels + 1), values)


def _shown(
    features: NDArray[np.floating],
    ids: NDArray[np.integer],
    rare: NDArray[np.bool_],
    *,
    policy: str,
    seed: int,
    labels: int,
    batch: int,
) -> NDArray[np.bool_]:
    """Return whether each object that is shown is rare, in the order of showing."""
    if policy in {CONTROL, STATIC}:
        order = (
            np.argsort(uniform(ids.astype(np.uint64), seed))
            if policy == CONTROL
            else np.argsort(-rerank(features, ids, {}, seed=seed), kind="stable")
        )
        return rare[order[:labels]]
    said: dict[int, str] = {}
    shown: list[int] = []
    while len(shown) < labels:
        score = rerank(features, ids, said, seed=seed, forest=Forest(policy))
        score[shown] = -np.inf
        for k in np.argsort(-score, kind="stable")[: min(batch, labels - len(shown))]:
            said[int(ids[k])] = ANOMALY if rare[k] else NORMAL
            shown.append(int(k))
    return rare[shown]


def followup_curves(
    features: NDArray[np.floating],
    ids: NDArray[np.integer],
    kind: NDArray[np.str_],
    *,
    start: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    positive: str,
    seeds: int = 10,
    nights: int = 10,
    spectra: int = 40,
    strategies: tuple[str, ...] = STRATEGIES,
    say: Say = lambda _: None,
) -> tuple[Curves, ...]:
    """Measure a classifier after each night of spectra, chosen by each strategy.

    Parameters
    ----------
    features : ndarray, shape (N, F)
    ids : ndarray of integers, shape (N,)
    kind : ndarray of str, shape (N,)
        True class: what a spectrum would say.
    start : ndarray of bool, shape (N,)
        Objects that have a spectrum before the first night.
    held_out : ndarray of bool, shape (N,)
        Objects that are scored, and never observed.
    positive : str
        The class that is looked for.
    seeds, nights, spectra : int
        Spectra are per night.
    strategies : tuple of str
    say : callable
        Told of progress.

    Returns
    -------
    tuple of Curves
        Accuracy, area under the ROC curve, and SNPCC's figure of merit.

    Raises
    ------
    SpecError
        If there are fewer objects than spectra, or fewer than two seeds.
    """
    can_be_asked = ~start & ~held_out
    _check(seeds, nights * spectra, int(SHARE * can_be_asked.sum() * 0.9))
    truth = kind[held_out] == positive
    played: dict[str, list[list[tuple[float, float, float]]]] = {strategy: [] for strategy in strategies}
    for seed in range(seeds):
        pool_of_seed = np.flatnonzero(can_be_asked & _share(ids, seed))
        for strategy in strategies:
            known, pool = np.flatnonzero(start), pool_of_seed
            nightly = []
            for _ in range(nights):
                ranker = learn(features[known], list(kind[known]), strategy=strategy, seed=seed)
                nightly.append(_measured(ranker, features[held_out], truth, positive))
                order = np.argsort(-ranker.score(features[pool], ids[pool]), kind="stable")
                known, pool = np.concatenate([known, pool[order[:spectra]]]), pool[order[spectra:]]
            ranker = learn(features[known], list(kind[known]), strategy=strategy, seed=seed)
            nightly.append(_measured(ranker, features[held_out], truth, positive))
            played[strategy].append(nightly)
        say(f"seed {seed}: accuracy " + ", ".join(f"{s} {played[s][-1][-1][0]:.3f}" for s in strategies))
    given = spectra * np.arange(nights + 1)
    metrics = ("accuracy", "AUC", "figure of merit")
    return tuple(
        Curves(metric, given, {s: np.array(runs)[:, :, m] for s, runs in played.items()})
        for m, metric in enumerate(metrics)
    )


def _measured(
    ranker: FollowUpRanker, features: NDArray[np.floating], truth: NDArray[np.bool_], positive: str
) -> tuple[float, float, float]:
    p = ranker.probabilities(features).mean(axis=0)[:, ranker.classes.index(positive)]
    chosen = p > 0.5
    return float((chosen == truth).mean()), area_under_roc(p, truth), figure_of_merit(chosen, truth)


def figure_of_merit(chosen: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return SNPCC's score: efficiency times a purity in which a false one weighs three times.

    Kessler et al. 2010 (ads:2010PASP..122.1415K), their equation 1; 1 is perfect, 0 if nothing right is chosen.

    Examples
    --------
    >>> truth = np.array([True, True, False, False])
    >>> figure_of_merit(np.array([True, False, True, False]), truth)
    0.125
    """
    right, wrong = float((chosen & truth).sum()), float((chosen & ~truth).sum())
    return right / float(truth.sum()) * right / (right + _FALSE_PENALTY * wrong) if right else 0.0


def _share(ids: NDArray[np.integer], seed: int) -> NDArray[np.bool_]:
    # Another hash than that of samples and of the random control, whose order would follow from it.
    return uniform(ids.astype(np.uint64), _SHARING + seed) < SHARE


def _check(seeds: int, labels: int, objects: int) -> None:
    if seeds < 2 or not 0 < labels <= objects:
        msg = f"at least 2 seeds and 1 to {objects} labels are possible here, got {seeds} and {labels}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
