"""Scores by subgroup: every row is counted once, and a score that is missing says why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.evaluation.scores import area_under_roc
from skyloom.evaluation.subgroups import LEAST, binned, subgroup_scores

RNG = np.random.default_rng(0)


def mean(values):
    return float(values.mean())


def test_bins_are_closed_below_and_open_above():
    names = binned(np.array([13.9, 14.0, 14.99, 15.0, 99.0, np.nan]), (14, 15), "mag")
    assert names.tolist() == [
        "below 14 mag", "14 to 15 mag", "14 to 15 mag", "15 mag and above", "15 mag and above", "not known",
    ]  # fmt: skip


def test_every_row_is_in_one_group_and_their_weighted_mean_is_the_whole():
    values = RNG.normal(size=500)
    group = binned(RNG.uniform(10, 20, 500), (12, 14, 16))
    found = subgroup_scores("mean", mean, (values,), by="x", group=group)
    assert sum(each.n for each in found) == 500
    assert_allclose(sum(each.n * each.value for each in found) / 500, values.mean())
    assert [each.group for each in found] == ["below 12", "12 to 14", "14 to 16", "16 and above"]
    assert all(0 < each.error < 1 and not each.reason for each in found)


def test_groups_come_in_the_order_of_their_numbers():
    group = binned(np.repeat([1.0, 5.0, 50.0, 500.0, np.nan], LEAST), (2, 10, 100))
    found = subgroup_scores("mean", mean, (np.ones(len(group)),), by="x", group=group)
    assert [each.group for each in found] == ["below 2", "2 to 10", "10 to 100", "100 and above", "not known"]


def test_a_small_group_has_its_number_and_the_reason_and_no_score():
    group = np.array(["a"] * LEAST + ["b"] * (LEAST - 1))
    large, small = subgroup_scores("mean", mean, (np.ones(len(group)),), by="x", group=group)
    assert (large.value, large.reason) == (1.0, "")
    assert (small.n, small.reason) == (LEAST - 1, f"fewer than {LEAST} objects")
    assert math.isnan(small.value)


def test_a_score_that_is_not_defined_says_so():
    group = np.array(["a"] * 30 + ["b"] * 30)
    positive = np.array([True, False] * 15 + [True] * 30)
    defined, undefined = subgroup_scores("AUC", area_under_roc, (RNG.random(60), positive), by="x", group=group)
    assert math.isfinite(defined.value)
    assert math.isnan(undefined.value)
    assert "class" in undefined.reason


@pytest.mark.parametrize("edges", [(), (1.0, 1.0), (2.0, 1.0)])
def test_edges_that_do_not_ascend_are_refused(edges):
    with pytest.raises(SpecError, match="ascend"):
        binned(np.ones(3), edges)
