"""Ten kinds of simulated stars go through the networks of periodic-class, and the scores say so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skyloom.simulators.variables import KINDS
from skyloom.training.periodic_simulated import RECIPE, measure, stars_of

TINY = dataclasses.replace(RECIPE, width=4, depth=2, bins=16, members=2, epochs=1)


@pytest.fixture(scope="module")
def table():
    return measure(60, TINY, seed=1)


def test_stars_are_the_same_however_many_are_drawn():
    many, few = stars_of(6, seed=3, bins=16), stars_of(2, seed=3, start=4, bins=16)
    assert_array_equal(many.folded[4:], few.folded)
    assert_array_equal(many.numbers[4:], few.numbers)
    assert_array_equal(many.target[4:], few.target)


def test_what_networks_read_is_finite_and_of_the_shape_that_is_said():
    stars = stars_of(20, seed=0, bins=16)
    assert stars.folded.shape == (20, 4, 16)
    assert stars.numbers.shape == (20, 5)
    assert np.isfinite(stars.folded).all()
    assert np.isfinite(stars.numbers).all()


def test_a_turn_changes_no_class_of_the_network_that_wraps(table):
    changed = {s.who: s.value for s in table.scores if s.metric == "classes that a turn changes"}
    assert changed["ours, one network (iTCN)"] == changed["ours, all networks (iTCN)"] == 0.0


def test_the_table_has_twin_forest_prior_and_what_others_report(table):
    who = [s.who for s in table.scores if s.metric == "balanced accuracy"]
    assert any("(simulated)" in name for name in who)
    for word in ("twin", "random forest, means", "class prior", "reported"):
        assert any(word in name for name in who)
    (prior,) = [s.value for s in table.scores if s.who == "baseline: class prior"]
    assert prior == 1.0 / len(KINDS)
    assert set(table.priors) == set(KINDS)
    assert sum(table.priors.values()) == pytest.approx(1.0)
