"""Events: closed forms of their areas, and flares put in come out with their time, height and light."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from skyloom.models.flares.curves import prepare
from skyloom.models.flares.events import area, find_events, flare_shape, spans
from skyloom.simulators.flare_templates import DAVENPORT_AREA
from skyloom.simulators.flares import CADENCE_D, integrated
from tests.flare_tables import flaring


@pytest.mark.parametrize(("amp", "rise", "fall"), [(1.0, 0.01, 0.02), (0.3, 1e-4, 0.3), (20.0, 0.1, 5e-4)])
def test_the_area_of_rise_and_decay_is_in_closed_form(amp, rise, fall):
    def shape(t):
        return flare_shape(np.asarray(t), amp, 0.0, rise, fall)

    numeric = quad(shape, -9.0 * rise, 0.0)[0] + quad(shape, 0.0, 60.0 * fall, limit=200)[0]
    assert area(amp, rise, fall) == pytest.approx(numeric, rel=1e-7)
    assert area(amp, rise, fall) == pytest.approx(amp * (rise * np.sqrt(np.pi / 2.0) + fall))


def test_runs_are_joined_over_few_cadences_and_never_over_a_gap():
    hot = np.zeros(40, dtype=bool)
    hot[[5, 6, 9, 20, 24, 30, 31]] = True
    assert spans(hot, np.array([0, 40]), 3) == [(5, 9), (20, 20), (24, 24), (30, 31)]
    assert spans(hot, np.array([0, 40]), 4) == [(5, 9), (20, 24), (30, 31)]
    assert spans(hot, np.array([0, 31, 40]), 4)[-2:] == [(30, 30), (31, 31)]
    assert spans(np.zeros(40, dtype=bool), np.array([0, 40]), 3) == []


def measured(p_inside=0.9, *, noise=1e-3, amplitude=0.05):
    mjd, flux, _ = flaring(noise=noise, amplitude=amplitude)
    curve = prepare(mjd, flux, length=len(mjd), place=np.arange(len(mjd)), cadence_s=(110.0, 130.0))
    p = np.full(len(mjd), np.nan)
    p[100:-100] = 0.01
    light = amplitude * integrated(mjd - mjd[0], 750 * CADENCE_D, 10.0 / 1440.0)
    shines = light > noise if amplitude else np.abs(np.arange(len(mjd)) - 750) < 5
    p[shines & ~np.isnan(p)] = p_inside
    return curve, find_events(curve, p, np.full(len(p), 0.1), threshold=0.5, join=3, min_sigma=3.0)


@pytest.mark.parametrize("amplitude", [0.01, 0.1, 3.0])
def test_a_flare_comes_out_with_its_time_height_and_light(amplitude):
    curve, events = measured(amplitude=amplitude, noise=1e-4)
    assert len(events.peak) == 1
    assert events.time_mjd[0] == pytest.approx(curve.mjd[750], abs=2.0 * curve.cadence_d)
    assert events.amp[0] == pytest.approx(amplitude, rel=0.15)
    assert events.ed_s[0] == pytest.approx(DAVENPORT_AREA * amplitude * 600.0, rel=0.15)
    assert (events.p[0], events.p_sd[0]) == (0.9, 0.1)


def test_fluxes_times_a_constant_give_the_same_flare():
    (_, one), (_, other) = measured(amplitude=0.1), measured(amplitude=0.1)
    mjd, flux, _ = flaring(amplitude=0.1)
    curve = prepare(mjd, 7.0 * flux, length=len(mjd), place=np.arange(len(mjd)), cadence_s=(110.0, 130.0))
    p = np.where(np.abs(np.arange(len(mjd)) - 756) < 8, 0.9, 0.0)
    scaled = find_events(curve, p, p, threshold=0.5, join=3, min_sigma=3.0)
    assert one.ed_s.tolist() == other.ed_s.tolist()
    assert scaled.amp[0] == pytest.approx(one.amp[0], rel=0.02)


def test_what_does_not_stand_out_is_no_flare():
    _, events = measured(amplitude=0.0, noise=1e-3)
    assert len(events.peak) == 0
    assert events.amp.shape == (0,)


def test_below_the_threshold_there_is_nothing():
    _, events = measured(p_inside=0.4, amplitude=0.5)
    assert len(events.first) == 0
