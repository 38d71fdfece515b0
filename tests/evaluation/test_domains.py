"""Telling two sets of rows apart, and weights that make one look like the other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import DataError, SpecError
from skyloom.evaluation.domains import domain_auc, fit_domain_classifier, spread_of
from skyloom.models.domain_classifier import DomainClassifier, domain_column


def normal(n, d=3, *, shift=0.0, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    rows[:, 0] += shift
    return rows


@pytest.fixture(scope="module")
def shifted():
    training, target = normal(4000, seed=1), normal(4000, shift=0.5, seed=2)
    return training, target, fit_domain_classifier(training, target)


def test_importance_weights_have_mean_one_and_move_the_means_onto_the_target(shifted):
    training, target, classifier = shifted
    weights = classifier.train_weights(training)
    assert_allclose(weights.mean(), 1.0, rtol=1e-12)
    assert weights.min() > 0
    mean = (weights[:, None] * training).mean(axis=0)
    error = np.sqrt(
        (weights[:, None] * (training - mean)).var(axis=0) / len(training) + target.var(axis=0) / len(target)
    )
    assert (np.abs(mean - target.mean(axis=0)) < 2 * error).all()
    assert abs(training[:, 0].mean() - target[:, 0].mean()) > 10 * error[0]


def test_the_probability_is_that_of_two_shifted_normal_distributions(shifted):
    _, _, classifier = shifted
    x = np.zeros((5, 3))
    x[:, 0] = np.linspace(-1, 1.5, 5)
    assert_allclose(classifier.probability(x), 1 / (1 + np.exp(-(0.5 * x[:, 0] - 0.125))), atol=0.04)


def test_a_row_has_the_same_bits_alone_and_missing_values_say_nothing(shifted):
    training, _, classifier = shifted
    whole = classifier.probability(training[:7])
    for i in range(7):
        assert_array_equal(classifier.probability(training[i : i + 1])[0], whole[i])
    unknown = np.full((1, 3), np.nan)
    assert_allclose(classifier.probability(unknown), classifier.probability(classifier.centre[None]))


def test_stored_arrays_give_the_same_classifier_and_others_are_refused(shifted):
    training, _, classifier = shifted
    again = DomainClassifier.of_arrays(classifier.to_arrays(), 3)
    assert_array_equal(again.logit(training), classifier.logit(training))
    with pytest.raises(DataError, match="centre"):
        DomainClassifier.of_arrays(classifier.to_arrays(), 4)


def test_like_sets_are_not_told_apart_and_half_a_deviation_is():
    assert abs(domain_auc(normal(4000, seed=3), normal(4000, seed=4)) - 0.5) < 0.02
    auc = domain_auc(normal(2000, seed=5), normal(2000, shift=0.5, seed=6))
    assert_allclose(auc, 0.638, atol=0.03)  # of two normal distributions so far apart: Phi(0.5 / sqrt 2)


def test_a_change_of_spread_alone_is_seen():
    assert domain_auc(normal(2000, seed=7), 1.6 * normal(2000, seed=8)) > 0.6


def test_what_is_too_few_or_does_not_fit_is_refused():
    with pytest.raises(SpecError, match="at least 4 rows"):
        fit_domain_classifier(normal(3), normal(9))
    with pytest.raises(SpecError, match="same features"):
        fit_domain_classifier(normal(9), normal(9, d=2))
    assert np.isnan(domain_auc(normal(7), normal(100)))


def test_the_spread_of_a_normal_is_its_deviation_and_a_column_without_one_has_unit():
    rows = normal(20000, d=2)
    rows[:, 1] = np.nan
    centre, width = spread_of(rows)
    assert_allclose(centre, 0.0, atol=0.03)
    assert_allclose(width, [1.0, 1.0], atol=0.03)


def test_the_column_is_named_after_the_system():
    column = domain_column("abc", "EROS-1")
    assert column.name == "abc_domain"
    assert "EROS-1" in column.description
