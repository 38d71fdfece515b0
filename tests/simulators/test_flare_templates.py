"""Flare templates: their areas in closed form, their peaks, and no overflow anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from skyloom.simulators.flare_templates import (
    DAVENPORT_AREA,
    DAVENPORT_DECAY_AREA,
    DAVENPORT_RISE_AREA,
    MENDOZA_AREA,
    davenport,
    mendoza,
)
from skyloom.simulators.flares import CADENCE_D, integrated


def test_davenports_areas_are_those_of_its_parts():
    assert pytest.approx(0.307848, abs=1e-6) == DAVENPORT_RISE_AREA
    assert pytest.approx(1.519037, abs=1e-6) == DAVENPORT_DECAY_AREA
    assert pytest.approx(1.826885, abs=1e-6) == DAVENPORT_AREA
    rise, decay = quad(davenport, -1.0, 0.0)[0], quad(davenport, 0.0, 200.0, limit=200)[0]
    assert (rise, decay) == pytest.approx((DAVENPORT_RISE_AREA, DAVENPORT_DECAY_AREA), abs=1e-7)


def test_davenport_steps_down_by_eight_in_a_thousand_after_the_peak():
    assert davenport(0.0) == 1.0
    assert davenport(1e-12) == pytest.approx(0.991971, abs=1e-9)
    assert (davenport([-1.0, -5.0, -1e9]) == 0.0).all()


def test_mendozas_area_peak_and_width_are_not_one_but_known():
    x = np.linspace(-10.0, 150.0, 1_600_001)
    y = mendoza(x)
    assert pytest.approx(2.04087, abs=1e-5) == MENDOZA_AREA
    assert np.trapezoid(y, x) == pytest.approx(MENDOZA_AREA, abs=1e-6)
    assert (y.max(), x[y.argmax()]) == pytest.approx((0.950155, -0.0026), abs=1e-4)
    assert np.ptp(x[y > y.max() / 2.0]) == pytest.approx(1.08665, abs=2e-4)


def test_templates_are_finite_and_vanish_far_away():
    far = np.array([-1e9, -1e3, -50.0, 1e3, 1e9])
    for template in (davenport, mendoza):
        assert np.isfinite(template(far)).all()
        assert (template(far) < 1e-60).all()


@pytest.mark.parametrize(("shape", "area"), [("davenport", DAVENPORT_AREA), ("mendoza", MENDOZA_AREA)])
@pytest.mark.parametrize("minutes", [1.0, 7.0, 40.0])
def test_averaging_over_exposures_keeps_the_area(shape, area, minutes):
    t = np.arange(4000) * CADENCE_D
    fwhm = minutes / 1440.0
    light = integrated(t, 1.0 + 0.3 * CADENCE_D, fwhm, shape=shape)
    assert light.sum() * CADENCE_D == pytest.approx(area * fwhm, rel=0.01)
    assert light.max() <= 1.0
