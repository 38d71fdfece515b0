"""Scores of radio-galaxy classifiers: limits, members apart from their ensemble, honest baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.evaluation.radio import radio_parts, read_radio
from skyloom.evaluation.radio_galaxy import REPORTED, baseline_scores, ensemble_scores

TARGET = np.arange(40) % 2
EXTENT = np.arange(40.0)


def found(scores):
    return {s.metric: s for s in scores}


def sure(target, p=0.9):
    return np.where(np.eye(2)[target] == 1, p, 1 - p)


def test_a_perfect_ensemble_scores_one_everywhere():
    p = sure(TARGET, 1.0)
    scores = found(ensemble_scores("ours", p, np.stack([p, p]), TARGET, EXTENT))
    for name in ("accuracy", "AUC", "accuracy, smaller half", "accuracy, larger half"):
        assert scores[name].value == 1.0
    assert scores["log-loss"].value == scores["calibration error"].value == 0.0
    assert scores["accuracy of one member, mean of 2 seeds"].error == 0.0


def test_the_mean_over_seeds_and_its_spread_are_those_of_the_members():
    wrong = TARGET.copy()
    wrong[:8] = 1 - wrong[:8]
    members = np.stack([sure(TARGET), sure(wrong)])
    score = found(ensemble_scores("ours", sure(TARGET), members, TARGET, EXTENT))[
        "accuracy of one member, mean of 2 seeds"
    ]
    assert_allclose([score.value, score.error], [0.9, np.std([1.0, 0.8], ddof=1)])


def test_one_member_has_no_spread():
    p = sure(TARGET)
    score = found(ensemble_scores("ours", p, p[None], TARGET, EXTENT))["accuracy of one member, mean of 1 seeds"]
    assert math.isnan(score.error)


def test_errors_on_small_sources_alone_show_in_their_own_score():
    seen = TARGET.copy()
    seen[:10] = 1 - seen[:10]
    scores = found(ensemble_scores("ours", sure(seen), sure(seen)[None], TARGET, EXTENT))
    assert scores["accuracy, smaller half"].value == 0.5
    assert scores["accuracy, larger half"].value == 1.0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(SpecError, match="not of 40 objects"):
        ensemble_scores("ours", sure(TARGET)[:3], sure(TARGET)[None], TARGET, EXTENT)


def test_reported_numbers_say_that_they_are_recalled():
    assert all(score.who.startswith("reported, recalled") for score in REPORTED)


@pytest.mark.survey_data
def test_morphology_tells_the_classes_apart_and_the_prior_does_not(skyloom_data):
    data = read_radio("mirabest", skyloom_data)
    scores = {(s.who.partition(" on ")[0], s.metric): s.value for s in baseline_scores(data, radio_parts(data))}
    assert scores["baseline: random forest", "accuracy"] > 0.75
    assert scores["baseline: class prior", "AUC"] == 0.5
    assert 0.5 <= scores["baseline: class prior", "accuracy"] < 0.6
