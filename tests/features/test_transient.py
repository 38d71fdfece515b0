"""Peaks, durations and phase windows of made-up transients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.features import transient
from skyloom.timeseries.lightcurves import BandLightCurves

T0, WIDTH = 60_100.0, 20.0


def flat_with_bump(t0: float, width: float, *, shift: float = 0.0, second_band: bool = True) -> BandLightCurves:
    """One object, two passbands: a Gaussian bump of flux 1000 on nothing, little noise."""
    rng = np.random.default_rng(1)
    mjd = np.arange(t0 - 200.0, t0 + 200.0, 1.0)
    flux = 1000.0 * np.exp(-0.5 * ((mjd - t0) / width) ** 2) + rng.normal(0.0, 2.0, len(mjd))
    copies = 2 if second_band else 1
    return BandLightCurves(
        offsets=np.array([0, len(mjd), copies * len(mjd)]),
        mjd=np.tile(mjd + shift, copies),
        flux=np.tile(flux, copies),
        flux_err=np.full(copies * len(mjd), 10.0),
        bands=("g", "r"),
        rows=1,
    )


def test_a_bump_is_found_where_it_is():
    curves = flat_with_bump(T0, WIDTH)
    found, reference = transient.compute(curves)
    assert_allclose(reference, T0, atol=1.0)
    assert_allclose(found["peak"], 1000.0, rtol=0.02)
    assert_allclose(found["peak_phase"], 0.0, atol=2.0)
    # A Gaussian is above half of its peak for 1.177 sigma on each side.
    assert_allclose(found["fade_half"], 1.177 * WIDTH, atol=2.0)
    assert_allclose(found["rise_half"], 1.177 * WIDTH, atol=2.0)


def test_windows_far_from_the_bump_are_empty_of_flux():
    found, _ = transient.compute(flat_with_bump(T0, WIDTH))
    assert_allclose(found["phase_p80_p150"], 0.0, atol=15.0)
    assert_allclose(found["phase_m4_p4"], 1000.0, rtol=0.02)


@pytest.mark.parametrize("days", [-0.5, 1000.0])
def test_a_shift_in_time_moves_the_reference_and_nothing_else(days):
    one, at = transient.compute(flat_with_bump(T0, WIDTH))
    other, later = transient.compute(flat_with_bump(T0, WIDTH, shift=days))
    assert_allclose(later - at, days)
    for name in one:
        assert_allclose(other[name], one[name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_an_empty_passband_is_nan_and_counts_no_detection():
    curves = flat_with_bump(T0, WIDTH, second_band=False)
    found, _ = transient.compute(curves)
    assert found["n_det"][1].tolist() == [0.0]
    assert all(np.isnan(value[1]).all() for name, value in found.items() if name != "n_det")


def test_the_names_are_those_declared():
    found, _ = transient.compute(flat_with_bump(T0, WIDTH))
    assert list(found) == [f.name for f in transient.features_of()]
