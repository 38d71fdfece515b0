"""rerank: scores that belong to ids, and learn from labels."""

from __future__ import annotations

import numpy as np
import pytest
from coniferest.isoforest import IsolationForest

from skyloom.active import rerank
from skyloom.active.anomaly import Forest
from skyloom.active.reranking import opinions, sampled
from skyloom.active.space import FeatureSpace
from skyloom.errors import ErrorKind, SpecError

ODD = 40


def sky(seed=0, n=800):
    """Two kinds of odd objects around a crowd: the first half of ODD is odd in x, the rest in y."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5))
    features[: ODD // 2, 0] += 7
    features[ODD // 2 : ODD, 1] += 7
    return features, rng.permutation(n) + 1000


def test_without_labels_it_is_the_isolation_forest_of_the_seed():
    features, ids = sky()
    order = np.argsort(ids)
    z = FeatureSpace.of(features[order]).expand(features)
    alone = IsolationForest(n_trees=100, n_subsamples=256, random_seed=3, n_jobs=1).fit(z[order])
    np.testing.assert_array_equal(rerank(features, ids, {}, seed=3), -alone.score_samples(z))


@pytest.mark.parametrize("loop", ["anomaly", "followup"])
def test_neither_the_order_of_rows_nor_of_labels_matters(loop):
    features, ids = sky()
    names = ("anomaly", "normal") if loop == "anomaly" else ("sn-ia", "sn-ii")
    labels = {int(i): names[k % 2] for k, i in enumerate(ids[:30])}
    shuffled = np.random.default_rng(1).permutation(len(ids))
    here = rerank(features, ids, labels, loop=loop)
    there = rerank(features[shuffled], ids[shuffled], dict(reversed(labels.items())), loop=loop)
    np.testing.assert_array_equal(here[shuffled], there)


@pytest.mark.parametrize("kind", ["aad", "pine"])
def test_labels_lift_the_oddness_of_interest_above_the_other(kind):
    features, ids = sky()
    labels = {int(i): "anomaly" for i in ids[:10]} | {int(i): "normal" for i in ids[ODD - 10 : ODD]}
    untaught = rerank(features, ids, {})
    taught = rerank(features, ids, labels, forest=Forest(kind))

    def lead(score):
        rank = score.argsort().argsort()
        return rank[10 : ODD // 2].mean() - rank[ODD // 2 : ODD - 10].mean()

    assert abs(lead(untaught)) < 20
    assert lead(taught) > lead(untaught) + 20


def test_a_forest_that_looks_at_no_label_is_not_moved_by_any():
    features, ids = sky()
    labels = {int(i): "anomaly" for i in ids[:10]}
    np.testing.assert_array_equal(
        rerank(features, ids, labels, forest=Forest("isolation")), rerank(features, ids, {})
    )


def test_labels_of_objects_that_are_not_there_change_nothing():
    features, ids = sky(n=300)
    labels = {int(ids[0]): "anomaly", int(ids[1]): "normal"}
    np.testing.assert_array_equal(
        rerank(features, ids, labels), rerank(features, ids, labels | {-5: "anomaly", 5: "normal"})
    )


def test_classes_are_no_opinion_until_some_are_of_interest():
    labels = {1: "anomaly", 2: "normal", 3: "kn", 4: "sn-ia", 5: "unsure"}
    assert opinions(labels) == {1: True, 2: False}
    assert opinions(labels, frozenset({"kn"})) == {1: True, 2: False, 3: True, 4: False}


def test_missing_features_are_finite_scores():
    features, ids = sky()
    features[::3, 2] = np.nan
    features[7] = np.inf
    assert np.isfinite(rerank(features, ids, {int(ids[0]): "anomaly", int(ids[1]): "normal"})).all()


def test_features_that_are_never_there_are_refused():
    with pytest.raises(SpecError, match="none of 5 features has a value"):
        rerank(np.full((10, 5), np.nan), np.arange(10), {})


def test_an_id_that_is_there_twice_is_refused():
    with pytest.raises(SpecError, match="more than once: 3") as caught:
        rerank(np.ones((3, 2)), np.array([3, 4, 3]), {})
    assert caught.value.kind is ErrorKind.DUPLICATE_ID


def test_the_followup_loop_asks_for_two_classes():
    features, ids = sky()
    with pytest.raises(SpecError, match="two classes"):
        rerank(features, ids, {int(ids[0]): "sn-ia", int(ids[1]): "anomaly"}, loop="followup")


def test_a_misspelt_loop_gets_the_close_one():
    features, ids = sky()
    with pytest.raises(SpecError, match="anomaly"):
        rerank(features, ids, {}, loop="anomly")


def test_no_rows_are_no_scores():
    assert rerank(np.empty((0, 3)), np.empty(0, dtype=np.int64), {}).shape == (0,)


def test_a_sample_is_of_the_ids_and_not_of_their_order():
    ids = np.arange(5000) * 7 + 1
    shuffled = np.random.default_rng(0).permutation(ids)
    np.testing.assert_array_equal(ids[sampled(ids, 1, 100)], shuffled[sampled(shuffled, 1, 100)])
    assert set(ids[sampled(ids, 1, 100)]) != set(ids[sampled(ids, 2, 100)])
