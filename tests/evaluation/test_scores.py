"""Scores agree with scikit-learn's and with what they are by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import metrics

from skyloom.evaluation import scores
from skyloom.models.card import Bin, Score

RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.ones(4), 300)
TARGET = RNG.integers(0, 4, 300)


def test_they_agree_with_scikit_learn():
    assert_allclose(scores.log_loss(P, TARGET), metrics.log_loss(TARGET, P))
    assert_allclose(scores.balanced_accuracy(P, TARGET), metrics.balanced_accuracy_score(TARGET, P.argmax(axis=1)))
    rounded = P[:, 0].round(1)  # with ties
    assert_allclose(scores.area_under_roc(rounded, TARGET == 0), metrics.roc_auc_score(TARGET == 0, rounded))


def test_log_loss_of_knowing_nothing_is_ln_of_the_number_of_classes():
    assert_allclose(scores.log_loss(np.full((9, 4), 0.25), TARGET[:9]), math.log(4))


def test_weighted_log_loss_counts_classes_and_not_objects():
    p = np.array([[0.5, 0.5]] * 99 + [[0.9, 0.1]])
    target = np.array([0] * 99 + [1])
    assert_allclose(scores.weighted_log_loss(p, target, np.ones(2)), (math.log(2) + math.log(10)) / 2)
    assert_allclose(scores.weighted_log_loss(p, target, np.array([1.0, 0.0])), math.log(2))


def test_ranking_everything_right_or_wrong():
    ranking, positive = np.arange(200.0), np.arange(200) >= 100
    assert scores.area_under_roc(ranking, positive) == 1.0
    assert scores.area_under_roc(-ranking, positive) == 0.0
    assert scores.purity_of_top(ranking, positive, 0.01) == 1.0
    assert math.isnan(scores.area_under_roc(ranking, np.zeros(200, bool)))


def test_the_bootstrap_error_of_a_mean_is_that_of_statistics():
    values = np.random.default_rng(1).normal(size=400)
    error = scores.bootstrap(lambda x: float(x.mean()), values, resamples=500)
    assert_allclose(error, values.std() / 20, rtol=0.15)
    assert error == scores.bootstrap(lambda x: float(x.mean()), values, resamples=500)


@pytest.mark.parametrize("error", [0.01, float("nan")])
def test_the_table_shows_every_score_and_is_plain_in_json(error):
    table = scores.ScoreTable(
        "m", "v", 7, (Score("auc", "ours", 0.9, error),), (Bin("y", 0.0, 0.1, 5, 0.05, 0.04),)
    )
    assert "auc" in table.render()
    assert "0.9000" in table.render()
    assert table.as_dict()["scores"][0]["error"] == (None if math.isnan(error) else error)
