"""The contestants of the period benchmark compute the same powers, so that their ratio means something."""

from __future__ import annotations

import numpy as np

from skyloom.simulators.variables import variables
from skyloom.timeseries.cleaning import by_band
from tests.benchmarks import periods as contest


def test_astropy_and_skyloom_compute_the_same_power():
    curves, _ = by_band(variables(2, seed=0, points=60).curves)
    first, step, n = contest.grid(curves, 1)
    frequency = first + step * np.arange(n)
    daily = np.abs(frequency - np.round(frequency)) < 0.05  # all points fall into a third of the phase
    one, two = (contest.powers(curves, 1, by) for by in (contest.by_skyloom, contest.by_astropy))
    np.testing.assert_allclose(one[~daily], two[~daily], atol=2e-3)


def test_light_curve_takes_the_same_stars():
    curves, _ = by_band(variables(1, seed=0, points=30).curves)
    contest.by_light_curve(curves)
