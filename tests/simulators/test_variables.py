"""Simulated variable stars are what their settings say, and each is the same star in any set."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import SpecError
from skyloom.evaluation.period_recovery import recovered
from skyloom.features.periods import find_periods
from skyloom.simulators.variables import BANDS, KINDS, variables
from skyloom.timeseries.cleaning import by_band, clean

NAMES = tuple(KINDS)


@pytest.fixture(scope="module")
def many():
    return variables(3000, seed=1, points=40)


def test_a_star_is_the_same_in_any_set(many):
    few = variables(5, seed=1, start=100, points=40)
    points = slice(few.curves.offsets[0], few.curves.offsets[5])
    whole = slice(many.curves.offsets[100], many.curves.offsets[105])
    for name in ("mjd", "flux", "flux_err", "band"):
        assert_array_equal(getattr(few.curves, name)[points], getattr(many.curves, name)[whole])
    assert_array_equal(few.kind, many.kind[100:105])
    assert_array_equal(few.true_d, many.true_d[100:105])


def test_another_seed_gives_other_stars(many):
    assert not np.isin(variables(50, seed=2, points=40).true_d, many.true_d).any()


def test_light_curves_are_clean_and_in_order(many):
    curves, flag = clean(many.curves)
    assert_array_equal(curves.mjd, many.curves.mjd)
    assert_array_equal(curves.flux, many.curves.flux)
    assert not flag.any()
    assert curves.bands == BANDS
    assert (by_band(curves)[0].counts == 40).all()


def test_kinds_have_their_shares_fifty_to_one(many):
    shares = np.array([kind.share for kind in KINDS.values()])
    assert len(KINDS) == 10
    assert_allclose(shares.sum(), 1.0)
    assert 25 <= shares.max() / shares.min() <= 60
    found = np.bincount(many.kind, minlength=10) / 3000
    assert_allclose(found, shares, atol=4 * np.sqrt(shares.max() / 3000))


def test_periods_have_their_distribution(many):
    for place, kind in enumerate(KINDS.values()):
        log = np.log10(many.true_d[many.kind == place])
        mean, sd = kind.log_period
        assert abs(log.mean() - mean) < 4.5 * sd / np.sqrt(len(log))


def test_one_period_in_a_hundred_is_twice_or_half_the_true_one(many):
    ratio = many.period_d / many.true_d
    assert set(np.unique(ratio)) == {0.5, 1.0, 2.0}
    assert 0.003 < (ratio != 1.0).mean() < 0.02


def test_nights_lie_in_seasons(many):
    assert (many.curves.mjd % 365.25 < 240.0 + 2.0).all()
    assert (many.curves.mjd % 1.0 <= 0.3).all()


@pytest.mark.parametrize("name, ratio", [("rrab", 1.0), ("cep", 1.0), ("ec", 0.5)])
def test_periods_drawn_are_found_again(name, ratio):
    # A contact binary's two dips are alike: its light curve repeats after half an orbit.
    drawn = variables(400, seed=3)
    chosen = np.flatnonzero(drawn.kind == NAMES.index(name))[:8]
    curves = [by_band(variables(1, seed=3, start=int(k)).curves)[0] for k in chosen]
    found = [find_periods(curve).period_d[0] for curve in curves]
    how = recovered(np.array(found), ratio * drawn.true_d[chosen])
    assert np.isin(how, ["period", "double"]).mean() > 0.6


def test_amplitudes_are_those_asked_for():
    drawn = variables(200, seed=4)
    curves, _ = by_band(drawn.curves)
    for place, kind in enumerate(KINDS.values()):
        if place not in drawn.kind or NAMES[place] in {"rrd", "lpv"}:  # two waves, or noise, on top
            continue
        rows = np.flatnonzero(drawn.kind == place)
        parts = [slice(*curves.offsets[i : i + 2]) for i in rows]
        ranges = [np.subtract(*np.percentile(curves.flux[part], [98, 2])) for part in parts]
        noise = np.median([curves.flux_err[part].mean() for part in parts])
        low, high = kind.amplitude
        assert 0.3 * low < np.median(ranges) < high + 5.0 * noise


def test_no_star_is_a_set_too_and_nonsense_is_refused():
    assert len(variables(0, seed=0).curves) == 0
    with pytest.raises(SpecError, match="not negative"):
        variables(-1, seed=0)
    with pytest.raises(SpecError, match="positive"):
        variables(1, seed=0, points=0)
