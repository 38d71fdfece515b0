"""Columns are taken for what their UCDs and shared names say."""

from __future__ import annotations

import pytest

from skyloom.columns import Column
from skyloom.errors import SpecError
from skyloom.reporting.roles import MOST_SCORES, magnitude_of, period_of, roles_of

LIKELY = "stat.probability;src.class"
CLASSIFIER = (
    Column("m_class", dtype="string"),
    *(Column(f"m_p_{k}", ucd=LIKELY) for k in "abcdef"),
    Column("m_p_a_raw", ucd=LIKELY),
    Column("m_p_sd", ucd="stat.stdev"),
    Column("m_entropy"),
    Column("m_ood", ucd="stat.probability"),
    Column("m_flag", dtype="uint32"),
)


def test_a_classifier_is_looked_at_by_probability_entropy_and_p_value():
    roles = roles_of(CLASSIFIER)
    assert [c.name for c in roles.scores] == ["m_p_a", "m_p_b", "m_p_c", "m_p_d"]
    assert len(roles.scores) == MOST_SCORES
    assert [c.name for c in roles.left_out] == ["m_p_e", "m_p_f"]
    assert [c.name for c in roles.known] == ["m_ood"]
    assert [(r.column, r.highest) for r in roles.rankings] == [
        ("m_entropy", False),
        ("m_entropy", True),
        ("m_ood", False),
    ]


def test_an_anomaly_score_ranks_from_its_highest_and_plain_numbers_from_both_ends():
    anomaly = roles_of((Column("x_anomaly_score"), Column("x_anomaly_score_sd"), Column("f", dtype="uint32")))
    assert [(r.column, r.highest) for r in anomaly.rankings] == [
        ("x_anomaly_score", True),
        ("x_anomaly_score", False),
    ]
    color = roles_of((Column("color", "mag"), Column("color_err", "mag", ucd="stat.error;phot.color")))
    assert [(r.column, r.highest) for r in color.rankings] == [("color", True), ("color", False)]


def test_named_scores_replace_the_rule_and_misspelt_ones_are_refused_with_the_close_ones():
    assert [c.name for c in roles_of(CLASSIFIER, scores=["m_p_f"]).scores] == ["m_p_f"]
    with pytest.raises(SpecError, match="m_p_a"):
        roles_of(CLASSIFIER, scores=["m_p_aa"])


def test_brightness_is_the_first_magnitude_and_never_a_distance_modulus_or_a_point_of_a_light_curve():
    columns = (
        Column("distmod", "mag", ucd="phot.mag.distMod"),
        Column("lc.mag", "mag", dtype="list<float32>", ucd="phot.mag"),
        Column("w1", "mag", ucd="phot.mag;em.IR"),
        Column("z", dtype="float64"),
    )
    assert magnitude_of(columns).name == "w1"
    assert magnitude_of(columns, wanted="z").name == "z"
    assert magnitude_of(columns[:2]) is None
    with pytest.raises(SpecError, match="w1"):
        magnitude_of(columns, wanted="w2")


def test_a_period_is_a_number_of_days():
    assert period_of((Column("n", ucd="time.period"), Column("p", "d", ucd="time.period"))).name == "p"
