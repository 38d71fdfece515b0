"""One population, two surveys: what is the same in both, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skyloom.errors import SpecError
from skyloom.features import single_band
from skyloom.simulators.survey_pair import CLASSES, SURVEYS, observe


@pytest.fixture(scope="module")
def seen():
    return {name: observe(name, 120, seed=3) for name in SURVEYS}


def test_an_object_is_the_same_one_in_both_surveys_and_whatever_else_is_drawn(seen):
    long, short = seen["long"], seen["short"]
    kinds = dict(zip(long.star.tolist(), long.kind.tolist(), strict=True))
    both = [star for star in short.star.tolist() if star in kinds]
    assert len(both) > 50
    assert [kinds[star] for star in both] == [k for s, k in zip(short.star, short.kind, strict=True) if s in kinds]
    again = observe("short", 1, seed=3, start=int(short.star[7]))
    begin, end = short.curves.offsets[7:9]
    assert_array_equal(again.curves.flux, short.curves.flux[begin:end])


def test_the_short_survey_is_shallower_sparser_and_noisier(seen):
    long, short = seen["long"], seen["short"]
    assert np.diff(short.curves.offsets).max() <= 120 < np.diff(long.curves.offsets).min()
    assert short.curves.flux_err.min() >= 0.05 > long.curves.flux_err.min() >= 0.02
    assert short.star[-1] > long.star[-1]  # more of the population is too faint for it
    quasars = [(each.kind == CLASSES.index("qso")).mean() for each in (long, short)]
    assert quasars[1] < quasars[0]


def test_the_short_survey_sees_a_star_at_one_hour_of_the_night(seen):
    assert (seen["short"].curves.mjd % 1).max() <= 0.05 + 1e-9


def test_points_are_clean_and_in_order(seen):
    for each in seen.values():
        assert np.isfinite(each.curves.flux).all()
        owner = np.repeat(np.arange(120), np.diff(each.curves.offsets))
        assert (np.diff(each.curves.mjd)[np.diff(owner) == 0] >= 0).all()


def test_unknown_surveys_and_negative_numbers_are_refused():
    with pytest.raises(SpecError, match="short"):
        observe("shrt", 1, seed=0)
    with pytest.raises(SpecError, match="negative"):
        observe("short", -1, seed=0)
    assert len(observe("short", 0, seed=0).curves) == 0


def test_the_long_survey_finds_periods_where_the_short_one_finds_aliases(seen):
    right = {}
    for name, each in seen.items():
        features = single_band.compute(each.curves)
        assert features.shape == (120, len(single_band.NAMES))
        assert np.isfinite(features).all()
        period = 10 ** features[:, single_band.NAMES.index("log_period")]
        rrab = each.kind == CLASSES.index("rrab")
        right[name] = np.mean((period[rrab] > 0.4) & (period[rrab] < 0.8))
    assert right["long"] > 0.8
    assert right["short"] < 0.5  # one hour of the night: most periods are aliases
    short, features = seen["short"], single_band.compute(seen["short"].curves)
    alone = single_band.compute(observe("short", 1, seed=3, start=int(short.star[4])).curves)
    assert_array_equal(alone[0], features[4])
    empty = single_band.compute(observe("short", 0, seed=3).curves)
    assert empty.shape == (0, len(single_band.NAMES))
