"""From scikit-learn's histogram boosting to the arrays of `skyloom.models.boosted`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.boosted import MAX_LEAVES

__all__ = ["fit_boosting", "tree_arrays"]

_ALWAYS_LEFT = np.finfo(np.float32).max
_FIRST_CATEGORY = "is_categorical"


def fit_boosting(
    features: NDArray[np.float32],
    target: NDArray[np.integer],
    weight: NDArray[np.floating],
    *,
    rounds: int,
    seed: int,
) -> Any:
    """Grow one boosted ensemble of trees with at most `MAX_LEAVES` leaves.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
        NaN is missing.
    target : ndarray of integers, shape (N,)
    weight : ndarray, shape (N,)
    rounds : int
    seed : int
        Of the columns that each split may look at.

    Returns
    -------
    sklearn.ensemble.HistGradientBoostingClassifier
        The same for the same arguments: one thread, so that sums have one order.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_leaf_nodes=MAX_LEAVES,
        max_iter=rounds,
        l2_regularization=5.0,
        min_samples_leaf=15,
        max_features=0.15,
        # Weighted bin edges cost scikit-learn 0.1 ms each; 64 did as well as 255.
        max_bins=64,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1):
        return model.fit(features, target, sample_weight=weight)


def tree_arrays(models: Sequence[Any], n_features: int) -> dict[str, NDArray[Any]]:
    """Return the trees of fitted ensembles as the arrays that `BoostedTrees.of_arrays` reads.

    Parameters
    ----------
    models : sequence of fitted HistGradientBoostingClassifier
        Of the same classes and number of rounds.
    n_features : int

    Raises
    ------
    SpecError
        If a tree has a categorical split, or too many leaves.
    """
    trees = [
        _one_tree(predictor.nodes, n_features)
        for model in models
        for of_round in model._predictors
        for predictor in of_round
    ]
    feature, threshold, struck, leaf = (np.stack(each) for each in zip(*trees, strict=True))
    base = np.stack([np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1) for model in models])
    return {
        "trees.feature": feature,
        "trees.threshold": threshold,
        "trees.struck": struck,
        "trees.leaf": leaf,
        "trees.base": base,
    }


def _one_tree(nodes: NDArray[Any], n_features: int) -> tuple[NDArray[Any], ...]:
    feature = np.zeros(MAX_LEAVES - 1, dtype=np.int32)
    threshold = np.full(MAX_LEAVES - 1, _ALWAYS_LEFT, dtype=np.float32)
    struck = np.full(MAX_LEAVES - 1, 255, dtype=np.uint8)
    leaf = np.zeros(MAX_LEAVES, dtype=np.float64)
    if nodes["is_leaf"].sum() > MAX_LEAVES or nodes[_FIRST_CATEGORY].any():
        msg = f"trees must have at most {MAX_LEAVES} leaves and numbers only"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    splits = leaves = 0

    def walk(at: int) -> int:
        """Return the bits of the leaves below `at`, numbering leaves and splits from the left."""
        nonlocal splits, leaves
        node = nodes[at]
        if node["is_leaf"]:
            leaf[leaves] = node["value"]
            leaves += 1
            return 1 << (leaves - 1)
        place, splits = splits, splits + 1
        left = walk(int(node["left"]))
        right = walk(int(node["right"]))
        feature[place] = int(node["feature_idx"]) + (0 if node["missing_go_to_left"] else n_features)
        threshold[place] = _down(node["num_threshold"])
        struck[place] = 255 & ~left
        return left | right

    walk(0)
    return feature, threshold, struck, leaf


def _down(threshold: float) -> np.float32:
    """Largest float32 up to `threshold`: float32 values compare with it as with the float64."""
    single = np.float32(min(threshold, float(_ALWAYS_LEFT)))
    return np.float32(np.nextafter(single, np.float32(-np.inf))) if float(single) > threshold else single
