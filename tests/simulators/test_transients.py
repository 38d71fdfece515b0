"""The simulated transients: the same object wherever it is drawn, found by its survey, and kinds that differ."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.features.derived import luminosity_distance_mpc
from skyloom.simulators.transients import COMMON, KINDS, _distance_mpc, transients


def test_an_object_does_not_depend_on_what_else_is_drawn():
    whole, part = transients(12, seed=3), transients(5, seed=3, start=4)
    first, last = whole.curves.offsets[4], whole.curves.offsets[9]
    np.testing.assert_array_equal(part.curves.flux, whole.curves.flux[first:last])
    np.testing.assert_array_equal(part.curves.band, whole.curves.band[first:last])
    np.testing.assert_array_equal(part.kind, whole.kind[4:9])
    np.testing.assert_array_equal(part.redshift, whole.redshift[4:9])


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_found_by_the_survey_and_finite(name):
    drawn = transients(4, seed=1, share={name: 1.0})
    curves = drawn.curves
    assert list(drawn.kind) == [list(KINDS).index(name)] * 4
    assert np.isfinite(curves.flux).all()
    assert (curves.flux_err > 0).all()
    found = np.add.reduceat(curves.flux > 5 * curves.flux_err, curves.offsets[:-1])
    assert (found >= 3).all()


def test_times_ascend_within_each_object():
    curves = transients(6, seed=2).curves
    inner = np.ones(len(curves.mjd) - 1, dtype=bool)
    inner[curves.offsets[1:-1] - 1] = False
    assert (np.diff(curves.mjd)[inner] > 0).all()


def test_superluminous_ones_outshine_the_common_ones_and_kilonovae_do_not():
    def brightest(name):
        drawn = transients(30, seed=5, share={name: 1.0})
        top = np.maximum.reduceat(drawn.curves.flux, drawn.curves.offsets[:-1])
        distance = np.array([_distance_mpc(z) for z in drawn.redshift])
        return np.median(31.4 - 2.5 * np.log10(top) - 5 * np.log10(distance) - 25)

    assert brightest("slsn") < brightest("ia") - 1.0
    assert brightest("kn") > brightest("ia") + 1.0
    assert -20.2 < brightest("ia") < -18.2


def test_shares_are_those_asked_for_and_rare_kinds_are_rare_by_default():
    assert sum(KINDS[name].share for name in COMMON) > 0.9
    half = transients(60, seed=0, share={"ia": 1.0, "tde": 1.0})
    assert 15 <= int((half.kind == 0).sum()) <= 45


def test_the_distance_is_that_of_the_features():
    z = np.array([0.01, 0.1, 0.5, 1.0, 1.5])
    assert_allclose([_distance_mpc(each) for each in z], luminosity_distance_mpc(z), rtol=2e-4)


def test_no_objects_are_an_empty_survey_and_nonsense_is_refused():
    assert len(transients(0, seed=0).curves) == 0
    with pytest.raises(SpecError, match="share is of ia"):
        transients(1, seed=0, share={"Ia": 1.0})
    with pytest.raises(SpecError):
        transients(-1, seed=0)
