"""Energies: known stars, and the ways they must scale."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.models.flares.energy import bolometric_energy, photons

SUN_ERG_S = 3.828e33


def test_a_flare_as_hot_as_its_star_has_the_stars_light_over_four():
    # The disc, seen from one side, is a quarter of the star's surface: Shibayama's flare is a flat patch of it.
    energy = bolometric_energy(1.0, 5772.0, 1.0, flare_k=5772.0)
    assert float(energy) == pytest.approx(SUN_ERG_S / 4.0, rel=0.01)


def test_energy_is_proportional_to_duration_and_to_the_disc():
    one = bolometric_energy(10.0, 3200.0, 0.3)
    assert_allclose(bolometric_energy(20.0, 3200.0, 0.3), 2.0 * one)
    assert_allclose(bolometric_energy(10.0, 3200.0, 0.6), 4.0 * one)


def test_hotter_stars_give_more_photons_and_so_more_energy():
    heat = np.linspace(2000.0, 9000.0, 20)
    assert (np.diff(photons(heat)) > 0).all()
    assert (np.diff(bolometric_energy(1.0, heat, 1.0)) > 0).all()


def test_what_is_not_known_stays_so():
    assert np.isnan(bolometric_energy([1.0, 2.0], np.nan, 0.3)).all()
