"""Resampling keeps flux, carries noise, and says where there is nothing."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import InverseVariance
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.errors import SpecError
from skyloom.spectra import Grid, Resampler
from skyloom.spectra import resample as module
from skyloom.spectra.grid import bin_edges
from slow_spectra import slow_conserving


def grid_of(centres):
    return Grid(len(centres), values=tuple(centres))


@st.composite
def grids(draw, most=40):
    steps = draw(st.lists(st.floats(0.1, 3.0), min_size=1, max_size=most))
    return draw(st.floats(95.0, 130.0)) + np.concatenate([[0.0], np.cumsum(steps)])


@settings(max_examples=80, deadline=None)
@given(source=grids(), target=grids(), seed=st.integers(0, 99))
def test_conserving_is_the_slow_sum_over_overlaps_with_its_noise(source, target, seed):
    rng = np.random.default_rng(seed)
    flux, ivar = rng.normal(5, 2, len(source)), rng.uniform(0.5, 4, len(source))
    ivar[rng.random(len(source)) < 0.1] = 0.0
    flux[rng.random(len(source)) < 0.05] = np.nan
    put = Resampler(grid_of(target))
    found, wanted = put(source, flux, ivar), slow_conserving(source, target, flux, ivar)
    # Where centres coincide pixels are copied, and the last of a grid may reach into a neighbour by a twentieth.
    if put._way(source).offset is None:
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(found[1] > 0, wanted[1] > 0)


def test_conserving_gives_the_numbers_of_specutils():
    from specutils import Spectrum
    from specutils.manipulation import FluxConservingResampler

    rng = np.random.default_rng(1)
    source = 10 ** (3.6 + 1e-4 * np.arange(900))
    flux, ivar = rng.normal(100, 10, 900), rng.uniform(0.5, 2, 900)
    for target in (np.linspace(4000, 4800, 300), np.linspace(4100, 4300, 700), np.linspace(3500, 5500, 50)):
        foreign = FluxConservingResampler()(
            Spectrum(flux=flux * u.Jy, spectral_axis=source * u.AA, uncertainty=InverseVariance(ivar)),
            target * u.AA,
        )
        found, weight = Resampler(grid_of(target))(source, flux, ivar)
        # specutils fills a first pixel that is half observed (though no last one): here neither has a flux.
        half = np.isnan(found) & np.isfinite(foreign.flux.value)
        edges = bin_edges(target)
        assert half.sum() == ((edges[:-1] < bin_edges(source)[0]) & (edges[1:] > bin_edges(source)[0])).sum()
        np.testing.assert_allclose(found[~half], foreign.flux.value[~half], rtol=1e-10)
        np.testing.assert_allclose(weight[~half], np.nan_to_num(foreign.uncertainty.array)[~half], rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(target=grids(20), seed=st.integers(0, 99))
def test_the_integral_over_what_both_cover_is_kept(target, seed):
    edges = bin_edges(target)
    source = np.arange(edges[0] - 3, edges[-1] + 4, 0.37)
    flux = np.random.default_rng(seed).uniform(0, 10, len(source))
    found, _ = Resampler(grid_of(target))(source, flux, None)
    have = bin_edges(source)
    inside = np.clip(have, edges[0], edges[-1])
    assert np.sum(found * np.diff(edges)) == pytest.approx(np.sum(flux * np.diff(inside)), rel=1e-9)


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_a_constant_stays_constant(method):
    source = 10 ** (3.6 + 1e-4 * np.arange(500))
    found, _ = Resampler(Grid(60, start=4000.0, step=6.6), method)(source, np.full(500, 7.25), None)
    np.testing.assert_allclose(found, 7.25, rtol=1e-13)


def test_n_pixels_in_one_have_n_times_the_weight():
    source = np.arange(1000.0, 1100.0)
    _, weight = Resampler(Grid(20, start=1002.0, step=5.0))(source, np.ones(100), np.full(100, 3.0))
    np.testing.assert_allclose(weight, 15.0)


def test_a_straight_line_is_interpolated_exactly_and_its_noise_with_it():
    source = np.arange(100.0, 120.0)
    variance = np.random.default_rng(0).uniform(1, 4, 20)
    found, weight = Resampler(Grid(30, start=101.25, step=0.5), "linear")(source, 2 * source, 1 / variance)
    at = 101.25 + 0.5 * np.arange(30)
    np.testing.assert_allclose(found, 2 * at)
    left = np.floor(at).astype(int) - 100
    share = at - np.floor(at)
    np.testing.assert_allclose(1 / weight, (1 - share) ** 2 * variance[left] + share**2 * variance[left + 1])


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_the_scatter_of_resampled_noise_is_what_its_weight_says(method):
    rng = np.random.default_rng(5)
    source = 10 ** (3.6 + 2e-4 * np.arange(120))
    ivar = rng.uniform(0.2, 5.0, 120)
    put = Resampler(Grid(60, start=4010.0, step=2.9), method)
    draws = [put(source, rng.normal(0, ivar**-0.5), ivar) for _ in range(4000)]
    scatter = np.std([flux for flux, _ in draws], axis=0)
    np.testing.assert_allclose(scatter * np.sqrt(draws[0][1]), 1.0, atol=0.06)


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_on_its_own_grid_a_spectrum_keeps_its_bits(method):
    rng = np.random.default_rng(2)
    grid = Grid(200, start=3.6, step=1e-4, log10=True)
    flux, ivar = rng.normal(size=200).astype(np.float32), rng.uniform(size=200).astype(np.float32)
    flux[3], ivar[3:5] = np.nan, 0.0
    found = Resampler(grid, method)(grid.wavelengths(), flux, ivar)
    for have, want in zip(found, (flux, ivar), strict=True):
        assert have.dtype == np.float32
        assert have.tobytes() == want.tobytes()


def test_whole_pixels_away_it_keeps_its_bits_and_the_rest_is_nothing():
    grid = Grid(100, start=3.6, step=1e-4, log10=True)
    flux = np.arange(100, dtype=np.float32)
    written = np.float64(
        np.float32(3.6 + 1e-4 * (30 + np.arange(100)))
    )  # as surveys write it: 0.2 % of a pixel off
    found, weight = Resampler(grid)(10**written, flux, np.ones(100, np.float32))
    np.testing.assert_array_equal(found[30:], flux[:70])
    assert np.isnan(found[:30]).all()
    np.testing.assert_array_equal(weight, np.arange(100) >= 30)


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_outside_of_what_was_observed_there_is_no_flux_and_no_weight(method):
    source = np.linspace(5000, 5100, 77)
    found, weight = Resampler(Grid(300, start=4900.0, step=1.0), method)(source, np.ones(77), np.ones(77))
    at = 4900.0 + np.arange(300)
    assert np.isnan(found[(at < 4999) | (at > 5101)]).all()
    np.testing.assert_allclose(found[(at > 5001) & (at < 5099)], 1.0)
    np.testing.assert_array_equal(weight > 0, np.isfinite(found))
    elsewhere, nothing = Resampler(Grid(10, start=9000.0), method)(source, np.ones(77), np.ones(77))
    assert np.isnan(elsewhere).all()
    assert not nothing.any()


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_a_bad_pixel_takes_the_weight_of_those_it_is_part_of_and_of_no_other(method):
    source, grid = np.arange(1000.0, 1100.0), Grid(90, start=1002.3, step=1.01)
    ivar = np.ones(100)
    ivar[50] = 0.0
    clean = Resampler(grid, method)(source, np.ones(100), np.ones(100))
    flux = np.ones(100)
    flux[50] = 1e30  # what stands in bad pixels means nothing
    found, weight = Resampler(grid, method)(source, flux, ivar)
    edges = bin_edges(grid.wavelengths())
    centres = grid.wavelengths()
    touched = (
        (edges[:-1] < 1050.5) & (edges[1:] > 1049.5) if method == "conserve" else np.abs(centres - 1050.0) < 1.0
    )
    np.testing.assert_array_equal(weight == 0, touched)
    np.testing.assert_array_equal(weight[~touched], clean[1][~touched])
    np.testing.assert_array_equal(found[~touched], clean[0][~touched])


def test_matrices_are_kept_and_forgotten(monkeypatch):
    made = []
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(
        module, "conserving_weights", lambda *a, make=module.conserving_weights: made.append(1) or make(*a)
    )
    put = Resampler(Grid(50, start=100.0, step=0.9))
    sources = [np.arange(90.0 + part, 160.0) for part in (0.1, 0.2, 0.3)]
    for which in (0, 0, 1, 0, 1, 2, 0):
        put(sources[which], np.ones(len(sources[which])), None)
    assert len(made) == 4  # the first was forgotten when the third came


def test_a_way_that_there_is_not_is_refused():
    with pytest.raises(SpecError, match="did you mean 'linear'"):
        Resampler(Grid(5, start=1.0), "linea")
