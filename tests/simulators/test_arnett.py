"""Diffused light against the laws that it obeys whatever is inside."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.simulators.arnett import SUN_G, band_flux_njy, diffused, magnetar, radioactive, temperature_k

TIME = np.linspace(0.0, 600.0, 60_001)


@pytest.mark.parametrize("diffusion_d", [6.0, 12.0, 40.0])
@pytest.mark.parametrize(
    "heating", [radioactive(TIME, 0.6 * SUN_G), magnetar(TIME, 1e51, 10.0)], ids=["nickel", "magnetar"]
)
def test_light_equals_heating_at_its_peak(heating, diffusion_d):
    light = diffused(TIME, heating, diffusion_d)
    # The times are a grid, and the peak lies between two of them: where a parabola has it.
    at = int(light.argmax())
    curve = np.polynomial.Polynomial.fit(TIME[at - 3 : at + 4], light[at - 3 : at + 4], 2)
    peak = curve.deriv().roots()[0]
    assert_allclose(curve(peak), np.interp(peak, TIME, heating), rtol=2e-5)


def test_the_integral_of_light_times_time_is_that_of_heating_times_time():
    heating = radioactive(TIME, 0.6 * SUN_G)
    light = diffused(TIME, heating, 12.0)
    assert_allclose(np.trapezoid(light * TIME, TIME), np.trapezoid(heating * TIME, TIME), rtol=1e-4)


def test_constant_heating_comes_out_in_closed_form():
    light = diffused(TIME, np.full(len(TIME), 3e42), 20.0)
    assert_allclose(light, 3e42 * (1.0 - np.exp(-((TIME / 20.0) ** 2))), rtol=1e-9, atol=1e30)


def test_coarse_steps_give_what_fine_ones_give():
    coarse = TIME[::100]
    fine = diffused(TIME, radioactive(TIME, SUN_G), 15.0)[::100]
    assert_allclose(diffused(coarse, radioactive(coarse, SUN_G), 15.0)[5:], fine[5:], rtol=6e-3)


def test_heat_of_nickel_is_in_proportion_to_it():
    assert_allclose(radioactive(TIME, 2 * SUN_G), 2 * radioactive(TIME, SUN_G))


def test_a_black_body_gives_all_its_light_in_all_bands_together():
    nm = np.geomspace(20.0, 200_000.0, 20_001)
    ones = np.ones(len(nm))
    flux = band_flux_njy(1e43 * ones, 9000.0 * ones, nm, 0.0, 10.0)
    nu = 2.998e10 / (nm * 1e-7)
    area = 4 * np.pi * (10.0 * 3.0857e24) ** 2
    assert_allclose(-np.trapezoid(flux * 1e-32, nu) * area, 1e43, rtol=2e-3)


def test_redshift_keeps_the_light_and_dims_by_distance_alone():
    nm = np.geomspace(20.0, 400_000.0, 20_001)
    ones = np.ones(len(nm))
    nu = 2.998e10 / (nm * 1e-7)
    near, far = (-np.trapezoid(band_flux_njy(1e43 * ones, 9000.0 * ones, nm, z, 100.0), nu) for z in (0.0, 0.8))
    assert_allclose(far, near, rtol=2e-3)


def test_the_photosphere_cools_to_its_floor():
    hot = temperature_k(TIME, diffused(TIME, radioactive(TIME, SUN_G), 12.0), 1e4, 4500.0)
    assert hot.min() == 4500.0
    assert hot[-1] == 4500.0
    assert hot.max() <= 60_000.0
