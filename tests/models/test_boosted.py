"""Stored trees give what the library that grew them gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import DataError
from skyloom.models.boosted import BoostedTrees
from skyloom.training.boosting import fit_boosting, tree_arrays

N, F, K = 600, 6, 3


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, F)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    y = (np.nan_to_num(x[:, 0]) > 0).astype(int) + (np.isnan(x[:, 1])).astype(int)
    models = [fit_boosting(x, y, np.ones(N), rounds=8, seed=seed) for seed in (0, 1)]
    return x, models, tree_arrays(models, F)


def test_scores_are_those_of_scikit_learn_missing_values_included(fitted):
    x, models, arrays = fitted
    assert np.isnan(x).any()
    ours = BoostedTrees.of_arrays(arrays, F).scores(x)
    theirs = np.stack([model._raw_predict(x) for model in models], axis=1)
    assert_allclose(ours, theirs, atol=1e-6)


def test_values_on_a_threshold_go_the_same_way(fitted):
    x, models, arrays = fitted
    on = np.repeat(x[:1], 40, axis=0)
    real = arrays["trees.threshold"][arrays["trees.threshold"] < 1e30]
    on[:, 0] = np.resize(real, 40)
    on = np.concatenate([on, np.nextafter(on, np.float32(9)), np.nextafter(on, np.float32(-9))])
    assert_allclose(BoostedTrees.of_arrays(arrays, F).scores(on)[:, 0], models[0]._raw_predict(on), atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 63, 64, 65])
def test_the_number_of_rows_changes_no_bit(fitted, size):
    x, _, arrays = fitted
    trees = BoostedTrees.of_arrays(arrays, F)
    assert_array_equal(trees.scores(x[100 : 100 + size]), trees.scores(x)[100 : 100 + size])


def test_arrays_that_do_not_fit_are_refused(fitted):
    _, _, arrays = fitted
    for name, wrong in (
        ("trees.leaf", arrays["trees.leaf"][:, :3]),
        ("trees.struck", arrays["trees.struck"].astype(np.int32)),
        ("trees.feature", arrays["trees.feature"] + 100),
    ):
        with pytest.raises(DataError):
            BoostedTrees.of_arrays({**arrays, name: wrong}, F)
    with pytest.raises(DataError):
        BoostedTrees.of_arrays({k: v for k, v in arrays.items() if k != "trees.leaf"}, F)
