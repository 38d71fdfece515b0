"""rerank: order objects by what has been said of some of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from skyloom.active.anomaly import AnomalyRanker, Forest, grow
from skyloom.active.followup import FollowUpRanker, learn
from skyloom.active.records import ANOMALY, NORMAL, UNSURE
from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.evaluation.split import uniform

__all__ = ["LOOPS", "SAMPLE_ROWS", "check_loop", "opinions", "rerank", "sampled", "types"]

LOOPS = ("anomaly", "followup")

SAMPLE_ROWS = 100_000
"""Rows that a forest is grown on, at most: each of its trees sees a few hundred."""


def rerank(
    features: NDArray[np.floating],
    ids: NDArray[np.integer],
    labels: Mapping[int, str],
    *,
    loop: str = "anomaly",
    seed: int = 0,
    strategy: str = "uncertainty",
    forest: Forest | None = None,
    interesting: frozenset[str] = frozenset(),
) -> NDArray[np.float64]:
    """Score objects by how much they deserve to be looked at next, given the labels so far.

    The scores belong to the ids: neither the order of the rows nor that of the labels matters.

    Parameters
    ----------
    features : ndarray, shape (N, F)
        NaN is missing.
    ids : ndarray of integers, shape (N,)
        Different ones.
    labels : mapping of int to str
        Label by object id, such as `LabelStore.decisions` gives it. Ids that are not among
        `ids` are left aside.
    loop : str
        ``"anomaly"``: labels ``anomaly`` and ``normal`` teach an isolation forest; without any, it is
        the forest of this seed. ``"followup"``: names of classes teach a classifier, and
        what it is least sure of comes first.
    seed : int
    strategy : str
        Of the follow-up loop.
    forest : Forest, optional
        Of the anomaly loop.
    interesting : frozenset of str
        Classes that count as anomalies in the anomaly loop; other classes count as normal if any is
        given, and as no opinion otherwise.

    Returns
    -------
    ndarray of float64, shape (N,)
        Higher comes first; labelled objects have a score too.

    Raises
    ------
    SpecError
        If there is no such loop, the shapes differ, an id is there twice, or the follow-up loop has
        labels of fewer than two classes.
    """
    check_loop(loop)
    features, ids = np.asarray(features), np.asarray(ids)
    if features.ndim != 2 or ids.shape != (len(features),):
        msg = f"features must be (N, F) and ids (N,), got {features.shape} and {ids.shape}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    order = np.argsort(ids, kind="stable")
    if (np.diff(ids[order]) == 0).any():
        msg = f"an id is there more than once: {ids[order][:-1][np.diff(ids[order]) == 0][0]}"
        raise SpecError(msg, kind=ErrorKind.DUPLICATE_ID)
    if not len(ids):
        return np.empty(0)
    known = [k for k in order if int(ids[k]) in labels]
    said = {int(ids[k]): labels[int(ids[k])] for k in known}
    ranker: AnomalyRanker | FollowUpRanker
    if loop == "followup":
        typed = types(said)
        rows = [k for k in known if int(ids[k]) in typed]
        classes = [typed[int(ids[k])] for k in rows]
        ranker = learn(features[rows], classes, strategy=strategy, seed=seed)
        return ranker.score(features, ids)
    held = opinions(said, interesting)
    rows = [k for k in known if int(ids[k]) in held]
    is_anomaly = np.array([held[int(ids[k])] for k in rows], dtype=bool)
    ranker = grow(features[sampled(ids, seed)], features[rows], is_anomaly, forest=forest, seed=seed)
    return ranker.score(features)


def check_loop(loop: str) -> None:
    """Refuse a loop that there is not.

    Raises
    ------
    SpecError
        With the close ones.
    """
    if loop not in LOOPS:
        msg = f"there is no loop {loop!r}; {close_matches(loop, LOOPS)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, loop=loop)


def opinions(labels: Mapping[int, str], interesting: frozenset[str] = frozenset()) -> dict[int, bool]:
    """Return, by id, whether an object is an anomaly; ids without an opinion are left out."""
    held = {}
    for object_id, label in labels.items():
        if label == ANOMALY or label in interesting:
            held[object_id] = True
        elif label == NORMAL or (interesting and label != UNSURE):
            held[object_id] = False
    return held


def types(labels: Mapping[int, str]) -> dict[int, str]:
    """Return, by id, the class of an object; ids without one are left out."""
    return {i: label for i, label in labels.items() if label not in {ANOMALY, NORMAL, UNSURE}}


def sampled(ids: NDArray[np.integer], seed: int, rows: int = SAMPLE_ROWS) -> NDArray[np.int64]:
    """Return the places of a random sample of ids, by ascending id.

    The sample is that of the smallest hashes, so that it does not depend on the order of the rows
    or on how they are partitioned.
    """
    key = uniform(ids.astype(np.uint64), seed)
    chosen = np.argpartition(key, rows)[:rows] if len(ids) > rows else np.arange(len(ids))
    return np.asarray(chosen[np.argsort(ids[chosen], kind="stable")], dtype=np.int64)
