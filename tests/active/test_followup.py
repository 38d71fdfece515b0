"""Follow-up: how unsure a committee is, and what a budget pays for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.active.followup import STRATEGIES, entropy, informativeness, learn, spend
from skyloom.errors import SpecError


@pytest.mark.parametrize("classes", [2, 3, 14])
def test_the_entropy_of_equal_probabilities_is_the_log_of_their_number(classes):
    assert entropy(np.full(classes, 1 / classes)) == pytest.approx(math.log(classes), abs=1e-12)


def test_the_entropy_of_certainty_is_nothing():
    assert entropy(np.array([0.0, 1.0, 0.0])) == 0.0


def committee(seed=0, members=7, rows=50, classes=4):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=(members, rows))


@pytest.mark.parametrize("strategy", ["uncertainty", "margin", "entropy", "disagreement"])
def test_no_strategy_gives_less_than_nothing_nor_minds_the_order_of_classes_or_members(strategy):
    p = committee()
    score = informativeness(p, strategy)
    assert (score >= 0).all()
    np.testing.assert_allclose(informativeness(p[::-1, :, ::-1], strategy), score, atol=1e-12)


@pytest.mark.parametrize("strategy", ["uncertainty", "margin", "entropy"])
def test_equal_probabilities_teach_most_and_certainty_least(strategy):
    p = np.array([[[1.0, 0.0, 0.0], [0.8, 0.1, 0.1], [1 / 3, 1 / 3, 1 / 3]]])
    score = informativeness(p, strategy)
    assert score[0] == pytest.approx(0)
    assert score[0] < score[1] < score[2]


def test_members_who_agree_do_not_disagree_however_unsure_they_are():
    p = np.tile([[0.5, 0.5]], (5, 1, 1))
    assert informativeness(p, "disagreement") == pytest.approx(0, abs=1e-12)
    split = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert informativeness(split, "disagreement") == pytest.approx(math.log(2))


def test_of_two_classes_uncertainty_margin_and_entropy_ask_for_the_same_objects():
    p = committee(classes=2)
    orders = [np.argsort(-informativeness(p, s), kind="stable") for s in ("uncertainty", "margin", "entropy")]
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])


def blobs(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    kind = np.arange(rows) % 2
    return rng.normal(size=(rows, 3)) + 4 * kind[:, None], np.array(["sn-ia", "sn-ii"])[kind]


def test_what_lies_between_two_classes_is_asked_for_before_what_lies_in_one():
    features, kind = blobs()
    ranker = learn(features, list(kind))
    between, inside = ranker.score(np.array([[2.0, 2, 2], [4.0, 4, 4]]), np.array([1, 2]))
    assert between > inside + 0.1


def test_the_random_control_is_reproducible_and_belongs_to_ids():
    features, kind = blobs()
    ids = np.arange(200) * 3
    one, same, other = (
        learn(features, list(kind), strategy="random", seed=s, trees=1).score(features, ids) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    backwards = learn(features, list(kind), strategy="random", seed=1, trees=1).score(features[::-1], ids[::-1])
    np.testing.assert_array_equal(backwards, one[::-1])


def test_a_reason_names_the_likeliest_classes():
    features, kind = blobs()
    (said,) = learn(features, list(kind)).reasons(np.array([[0.0, 0, 0]]))
    assert said.startswith("sn-ia ")
    assert "sn-ii" in said


@given(
    cost=st.lists(st.floats(0.01, 50), max_size=60),
    budget=st.floats(0.1, 200),
    batch=st.none() | st.floats(0.1, 60),
)
def test_neither_the_budget_nor_a_batch_is_ever_exceeded(cost, budget, batch):
    cost = np.array(cost)
    night = spend(cost, budget=budget, batch_budget=batch)
    assert cost[night.taken].sum() <= budget * (1 + 1e-9)
    per_batch = np.bincount(night.batch, weights=cost[night.taken]) if len(night.taken) else np.zeros(1)
    assert (per_batch <= (batch or budget) * (1 + 1e-9)).all()
    assert len(set(night.taken.tolist())) == len(night.taken)


@given(cost=st.lists(st.floats(0.01, 50), max_size=60), budget=st.floats(0.1, 200))
def test_nothing_is_left_out_that_the_rest_of_the_budget_pays_for(cost, budget):
    cost = np.array(cost)
    taken = spend(cost, budget=budget).taken
    left = budget - cost[taken].sum()
    assert not (np.delete(cost, taken) <= left * (1 - 1e-9)).any()


def test_batches_are_filled_best_first():
    night = spend(np.ones(7), budget=5, batch_budget=2)
    assert night.taken.tolist() == [0, 1, 2, 3, 4]
    assert night.batch.tolist() == [0, 0, 1, 1, 2]


def test_what_cannot_be_paid_is_left_out():
    assert spend(np.array([5.0, np.nan, 1.0, 0.0, -1.0]), budget=3).taken.tolist() == [2]


def test_a_limit_on_objects_holds():
    assert len(spend(np.ones(9), budget=9, batch_budget=2, objects=3).taken) == 3


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"budget": float("nan")}, {"budget": 3, "batch_budget": -1}])
def test_a_budget_must_be_positive(wrong):
    with pytest.raises(SpecError, match="positive"):
        spend(np.ones(3), **wrong)


def test_a_misspelt_strategy_gets_the_close_one():
    features, kind = blobs()
    with pytest.raises(SpecError, match="'entropy'"):
        learn(features, list(kind), strategy="entropi")
    assert "random" in STRATEGIES
