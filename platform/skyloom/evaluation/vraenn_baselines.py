"""What vraenn has to beat: forests on hand-made features of the same objects, and trivial rankings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.evaluation.split import SEED, parts_of
from skyloom.evaluation.vraenn_sample import COMMON
from skyloom.features.derived import derived_names
from skyloom.models import registry
from skyloom.models.novelty import standardise
from skyloom.models.transient_columns import BANDS, inputs_of
from skyloom.runtime.scoring import score

__all__ = ["rankings"]

_TREES, _POINTS = 300, 256
_ROWS_AT_ONCE = 4096
_MIN_POINTS = 1
_SHRINKAGE = 0.1
"""That of transient-anomaly's discriminants."""


def rankings(rows: pa.Table, wanted: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return what baselines make of some objects; higher is odder.

    Their forests are grown on the training objects of the common classes alone, as ours.

    Parameters
    ----------
    rows : pyarrow.Table
        All of `skyloom.evaluation.vraenn_sample.transient_rows`.
    wanted : ndarray of int64, shape (M,)
        Ids of the objects to rank.

    Returns
    -------
    dict of str to ndarray, shape (M,)
    """
    features, ids, target = _features(rows)
    shown = parts_of(ids, seed=SEED).train & np.isin(target, list(COMMON))
    place = np.searchsorted(ids, wanted)
    z = _filled(features, shown)
    discriminants = _discriminants(z[shown], target[shown])
    projected = (z @ discriminants).astype(np.float32)
    each = [_forest(projected[shown & (target == code)], projected[place]) for code in COMMON]
    luminosity = features[place, list(derived_names(BANDS)).index("log_luminosity")].astype(np.float64)
    return {
        "baseline: isolation forest, hand-made features": _forest(z[shown].astype(np.float32), z[place]),
        "baseline: transient-anomaly's way, class labels used": np.min(each, axis=0),
        "baseline: most luminous first": np.nan_to_num(luminosity, nan=-np.inf),
        "baseline: random order": np.random.default_rng(0).random(len(wanted)),
    }


def _features(rows: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return derived features (N, F), NaN where there are none, ids and targets, in the order of the ids."""
    system = registry.system("lightcurve-features")
    config = system.Config(transient=True)
    batch = pa.RecordBatch.from_arrays([rows["lc"].combine_chunks()], names=["lc"])
    scored, _ = score(system, system.build(config, None), config, batch, layer="lcf", batch_rows=_ROWS_AT_ONCE)
    metadata = [name for name in rows.column_names if name != "lc"]
    both = pa.RecordBatch.from_arrays(
        [*scored.columns, *(rows[name].combine_chunks() for name in metadata)],
        names=[*scored.schema.names, *metadata],
    )
    made = inputs_of(both, _MIN_POINTS)
    features = np.full((rows.num_rows, made.arrays["features"].shape[1]), np.nan, dtype=np.float32)
    features[made.scorable] = made.arrays["features"]
    ids, target = (rows[name].to_numpy().astype(np.int64) for name in ("object_id", "target"))
    order = np.argsort(ids, kind="stable")
    return features[order], ids[order], target[order]


def _filled(features: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return features scaled by the median and quartiles of the training objects, missing ones at 0."""
    low, centre, high = np.nanquantile(features[shown].astype(np.float64), [0.25, 0.5, 0.75], axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.nan_to_num(
        standardise(features.astype(np.float64), np.nan_to_num(centre), np.nan_to_num(width, nan=1.0))
    )


def _discriminants(z: NDArray[np.float64], target: NDArray[np.int64]) -> NDArray[np.float64]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=_SHRINKAGE).fit(z, target)
    return np.asarray(model.scalings_[:, : len(COMMON) - 1])


def _forest(shown: NDArray[np.floating], asked: NDArray[np.floating]) -> NDArray[np.float64]:
    from coniferest.isoforest import IsolationForest

    few = min(_POINTS, len(shown))
    forest = IsolationForest(n_trees=_TREES, n_subsamples=few, random_seed=0, n_jobs=1)
    forest.fit(np.ascontiguousarray(shown, dtype=np.float32))
    return -np.asarray(forest.score_samples(np.ascontiguousarray(asked, dtype=np.float32)), dtype=np.float64)
