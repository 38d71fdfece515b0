"""Train transient-anomaly: discriminants, one isolation forest per common class, reference scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation import transient_anomaly as measured
from skyloom.evaluation.plasticc import plasticc_of
from skyloom.evaluation.split import FRACTIONS, SEED, parts_of
from skyloom.evaluation.transient_class import labelled
from skyloom.models import transient_anomaly
from skyloom.models.card import Card, Plain, Score
from skyloom.models.transient_class import CLASSES
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import robust_scale

__all__ = ["Recipe", "forest_arrays", "train"]

_GAP_FRACTION = 0.02
_SHRINKAGE = 0.1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is grown."""

    trees: int = 60
    """Per class; a multiple of `skyloom.models.transient_anomaly.PARTS`."""
    points: int = 512
    """That each tree sees, at most."""

    def __post_init__(self) -> None:
        parts = transient_anomaly.PARTS
        if self.trees < 1 or self.trees % parts or self.points < 2:
            msg = f"trees must be a multiple of {parts}, points at least 2, got {self.trees} and {self.points}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Grow the forests on PLAsTiCC and write the bundle.

    Only training objects of the common classes are shown; the reference scores are those of
    their calibration objects.

    Parameters
    ----------
    request : TrainRequest
        Its data are a table as `plasticc_table` gives it, or the folder of the published files.
        Its seed is that of the forests; the split has its own, fixed one.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on the held-out objects.

    Raises
    ------
    NotFoundError
        If there are no data; the message says how to get them.
    """
    request.say("computing light-curve features")
    table = plasticc_of(request.data)
    request.say("growing trees")
    features, target, ids = labelled(table)
    parts = parts_of(ids, seed=SEED)
    common = ~measured.is_rare(target)
    shown = parts.train & common
    space = _space(features[shown], target[shown])
    z = space.project(features)
    classes = np.unique(target[common])
    arrays: dict[str, NDArray[Any]] = {
        **{f"space.{name}": getattr(space, name) for name in ("centre", "width", "gaps", "matrix")},
        **_grow([z[parts.train & (target == k)] for k in classes], recipe, seed=request.seed),
        "reference": np.zeros(1, dtype=np.float32),
    }
    estimator = transient_anomaly.build(transient_anomaly.Config(), Weights(arrays, {}, ""))
    held = transient_anomaly.predict(estimator, {"features": features[parts.calibration & common]})
    arrays["reference"] = np.sort(held["transient_anomaly_score"])
    estimator = transient_anomaly.build(transient_anomaly.Config(), Weights(arrays, {}, ""))
    training: dict[str, Plain] = {
        "data": "PLAsTiCC training set, 7,848 simulated LSST objects (doi:10.5281/zenodo.2539456)",
        "simulated": True,
        "selection": "bright objects with spectra: not the survey's faint majority",
        "split": f"by object, hash of object_id: {FRACTIONS[0]:.0%} train, {FRACTIONS[1]:.0%} reference, "
        f"{FRACTIONS[2]:.0%} held out",
        "split_seed": SEED,
        "classes_shown": ", ".join(np.array(list(CLASSES.values()))[classes]),
        "n_train": int((parts.train & common).sum()),
        "n_reference": int((parts.calibration & common).sum()),
        "n_held_out": int(parts.held_out.sum()),
        "inputs": features.shape[1],
        "discriminants": space.matrix.shape[1],
        **request.record(recipe),
    }
    scores = measured.evaluate(estimator, table, variant=request.variant)
    return write_bundle(request.output, _card(request, training, scores.scores), arrays)


def _space(features: NDArray[np.float32], target: NDArray[np.integer]) -> transient_anomaly.Space:
    """Fit the discriminants of the classes shown."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    centre, width = robust_scale(features)
    gaps = np.flatnonzero(np.isnan(features).mean(axis=0) > _GAP_FRACTION)
    space = transient_anomaly.Space(centre, width, gaps, np.empty((0, 0)))
    with threadpool_limits(1):
        model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=_SHRINKAGE)
        model.fit(space.expand(features), target)
    matrix = np.ascontiguousarray(model.scalings_[:, : len(np.unique(target)) - 1])
    return dataclasses.replace(space, matrix=matrix)


def _grow(shown: Sequence[NDArray[np.float32]], recipe: Recipe, *, seed: int) -> dict[str, NDArray[Any]]:
    from coniferest.isoforest import IsolationForest

    forests = []
    for k, rows in enumerate(shown):
        forest = IsolationForest(
            n_trees=recipe.trees,
            n_subsamples=min(recipe.points, len(rows)),
            random_seed=1000 * seed + k,
            n_jobs=1,
        )
        forests.append(forest.fit(rows))
    return forest_arrays(forests)


def forest_arrays(forests: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Return fitted `coniferest` forests as the arrays that `IsolationForests.of_arrays` reads."""
    from coniferest.utils import average_path_length

    trees = [tree for forest in forests for tree in forest.core_forest]
    return {
        "forest.left": np.concatenate([tree.left for tree in trees]).astype(np.int16),
        # A leaf keeps its own number where a split keeps its column.
        "forest.feature": np.concatenate([np.where(tree.left > 0, tree.feature, 0) for tree in trees]).astype(
            np.int16
        ),
        "forest.value": np.concatenate([tree.value for tree in trees]).astype(np.float32),
        "forest.nodes": np.array([tree.n_nodes for tree in trees], dtype=np.int64),
        "forest.scale": np.array([float(average_path_length(forest.n_subsamples)) for forest in forests]),
        "forest.depth": np.array([max(forest.max_depth for forest in forests)], dtype=np.int64),
    }


def _card(request: TrainRequest, training: dict[str, Plain], scores: tuple[Score, ...]) -> Card:
    config = transient_anomaly.Config()
    return Card(
        name=transient_anomaly.NAME,
        variant=request.variant,
        title=transient_anomaly.TITLE,
        question=transient_anomaly.QUESTION,
        source="doi:10.1109/ICDM.2008.17, ads:2019MNRAS.489.3591P, coniferest; see the module for departures",
        intended_use="Rank light curves for human inspection: the highest scores first.",
        limits="High means unlike the nine common classes of PLAsTiCC, not interesting: noise, bad photometry and "
        "other surveys' cadences score high too. SN Iax are not found (see their scores). Settings "
        "were chosen among about ten on overlapping objects, so the scores are slightly optimistic. The score has "
        "no probability meaning; pct is relative to the bright training set.",
        licence="BSD-3-Clause (weights); CC-BY-4.0 (training data)",
        command=request.command(transient_anomaly.NAME, data=True),
        evaluate=f"skyloom model evaluate {transient_anomaly.NAME}",
        training=training,
        flags={flag.name: flag.description for flag in transient_anomaly.FLAGS},
        reads=tuple(column.name for column in transient_anomaly.reads(config)),
        writes=tuple(column.name for column in transient_anomaly.writes(config)),
        scores=scores,
    )
