"""What is said of periods found: names of the ratios, and which of two periods has the shorter string."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from skyloom.evaluation.period_recovery import found_has_shorter_string, recovered
from tests.timeseries.test_folding import curves_of

PERIOD_D = 0.61


def rows():
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(0.0, 300.0, 120))
    value = 18.0 + np.sin(2 * np.pi * time / PERIOD_D) + 0.1 * rng.normal(size=120)
    full, short = (
        (time, value, np.full(120, 0.1)),
        tuple(column[:3] for column in (time, value, np.full(120, 0.1))),
    )
    return curves_of([[full, full], [short, full]])


def test_the_true_period_has_the_shorter_string_and_its_alias_the_longer_one():
    true, alias = np.full(2, PERIOD_D), np.full(2, 1.0 / abs(1.0 / PERIOD_D - 1.0))
    # The second row has three points in the first passband, which are no string.
    assert_array_equal(found_has_shorter_string(rows(), true, alias), [1.0, np.nan])
    assert_array_equal(found_has_shorter_string(rows(), alias, true), [0.0, np.nan])


def test_rows_without_a_period_are_not_asked():
    periods = np.array([np.nan, PERIOD_D])
    assert np.isnan(found_has_shorter_string(rows(), periods, np.full(2, 1.0))).all()


def test_daily_aliases_are_named_in_both_directions():
    alias = 1.0 / (1.0 / PERIOD_D - 1.0)
    assert recovered(np.array([alias, PERIOD_D]), np.array([PERIOD_D, alias])).tolist() == ["daily alias"] * 2
