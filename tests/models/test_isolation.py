"""Stored forests give what `coniferest` gives."""

from __future__ import annotations

import numpy as np
import pytest
from coniferest.isoforest import IsolationForest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import DataError
from skyloom.models.isolation import IsolationForests
from skyloom.training.transient_anomaly import forest_arrays


@pytest.fixture(scope="module")
def grown():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    forests = [IsolationForest(n_trees=10, n_subsamples=n, random_seed=n, n_jobs=1).fit(x[:n]) for n in (64, 100)]
    return x, forests, forest_arrays(forests)


def test_scores_are_those_of_coniferest(grown):
    x, forests, arrays = grown
    stored = IsolationForests.of_arrays(arrays, 4)
    ours = 2.0 ** (-stored.paths(x, parts=1)[:, 0] / stored.scale)
    theirs = np.stack([-forest.score_samples(x) for forest in forests], axis=1)
    assert_allclose(ours, theirs, rtol=1e-6)


def test_parts_average_to_the_whole(grown):
    x, _, arrays = grown
    stored = IsolationForests.of_arrays(arrays, 4)
    assert_allclose(stored.paths(x, parts=5).mean(axis=1), stored.paths(x, parts=1)[:, 0], rtol=1e-6)


@pytest.mark.parametrize("size", [1, 255, 256, 257])
def test_the_number_of_rows_changes_no_bit(grown, size):
    x, _, arrays = grown
    stored = IsolationForests.of_arrays(arrays, 4)
    assert_array_equal(stored.paths(x[50 : 50 + size], parts=2), stored.paths(x, parts=2)[50 : 50 + size])


def test_a_point_far_out_is_more_anomalous(grown):
    stored = IsolationForests.of_arrays(grown[2], 4)
    far, near = np.full((1, 4), 9.0, np.float32), np.zeros((1, 4), np.float32)
    assert (stored.paths(far, parts=1) < stored.paths(near, parts=1)).all()


@pytest.mark.parametrize(
    "name, spoil",
    [
        ("forest.left", lambda a: a + 10_000),
        ("forest.left", lambda a: -a),
        ("forest.feature", lambda a: a + 4),
        ("forest.nodes", lambda a: a[:-1]),
        ("forest.value", lambda a: a[1:]),
        ("forest.scale", lambda a: a[:0].reshape(1, 0)),
    ],
)
def test_arrays_that_point_outside_are_refused(grown, name, spoil):
    _, _, arrays = grown
    with pytest.raises(DataError):
        IsolationForests.of_arrays({**arrays, name: spoil(arrays[name])}, 4)
