"""Purities with thinned rare objects; and the shipped weights give the scores of their card again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.evaluation import evaluate
from skyloom.evaluation.vraenn import THINNED_TO, purity_of_thinned_top, thinning
from skyloom.evaluation.vraenn_sample import COMMON, RARE, transient_rows
from skyloom.models.weights import load_weights
from tests.transient_tables import transient_table


def test_thinned_rare_objects_are_the_share_that_is_said():
    rare = np.arange(100) < 30
    weight = thinning(rare)
    assert_allclose(weight[rare].sum() / weight.sum(), THINNED_TO)
    assert (weight[~rare] == 1.0).all()


def test_a_perfect_ranking_is_pure_and_the_reverse_has_nothing():
    rng = np.random.default_rng(0)
    rare = rng.random(5000) < 0.2
    assert purity_of_thinned_top(rare.astype(float), rare) == pytest.approx(1.0)
    assert purity_of_thinned_top(-rare.astype(float), rare) == pytest.approx(0.0)


def test_a_random_ranking_has_the_share_of_the_rare():
    rng = np.random.default_rng(1)
    rare = rng.random(20_000) < 0.2
    found = [purity_of_thinned_top(rng.random(len(rare)), rare) for _ in range(40)]
    assert abs(np.mean(found) - THINNED_TO) < 0.01


def test_rows_of_other_classes_are_left_out():
    table = transient_table(40)
    target = table["target"].to_numpy().copy()
    target[:5] = 88  # active galaxies
    rows = transient_rows(table.set_column(1, "target", [target]))
    assert rows.num_rows == 35
    assert set(rows["target"].to_pylist()) <= {*COMMON, *RARE}


@pytest.fixture(scope="module")
def measured(skyloom_data):
    return evaluate("vraenn", data=skyloom_data)


def value_of(measured, metric, who):
    (found,) = [s for s in measured.scores if s.metric == metric and s.who.startswith(who)]
    return found.value


@pytest.mark.survey_data
@pytest.mark.slow
def test_scores_of_the_card_are_measured_again_and_beat_the_forests_on_features(measured):
    card, _ = load_weights("vraenn")
    assert [(s.metric, s.who) for s in measured.scores] == [(s.metric, s.who) for s in card.scores]
    for again, stored in zip(measured.scores, card.scores, strict=True):
        atol = 1.5 if "over the share" in stored.metric else 0.06
        assert_allclose(again.value, stored.value, atol=atol, err_msg=f"{stored.metric}, {stored.who}")
    for metric in ("AUC, rare against common", "purity of top 1 %, rare being 5 %"):
        ours = value_of(measured, metric, "ours (simulated")
        assert ours > value_of(measured, metric, "baseline: isolation forest")
        assert ours > value_of(measured, metric, "baseline: most luminous")
    assert value_of(measured, "that over the share of the rare", "ours (simulated") >= 5.0
