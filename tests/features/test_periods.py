"""Periods: the periodogram is astropy's, and periods put into light curves come out of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import SpecError
from skyloom.features.harmonics import BandPoints, coefficients, harmonics_of, series_chi2
from skyloom.features.periodogram import chi2_reduction, log10_false_alarm
from skyloom.features.periods import PeriodSettings, PeriodStatus, find_periods
from tests.timeseries.test_folding import curves_of

FAST = PeriodSettings(shortest_d=0.2)


def nights(rng, points, *, days=400):
    """Times of one observation in each of some nights, within 6 h."""
    return np.sort(rng.choice(days, points, replace=False) + rng.uniform(0.0, 0.25, points))


def sawtooth(phase):
    """A light curve like that of an RRab star, in magnitudes about zero."""
    return np.where(phase % 1 < 0.15, -1.0, (phase % 1 - 0.15) / 0.85 - 0.5)


def skewed(phase):
    """Two harmonics."""
    return np.sin(2 * np.pi * phase) + 0.5 * np.sin(4 * np.pi * phase + 1.0)


def variable(rng, period, *, points=80, noise=0.05, shape=sawtooth, begin=0.0):
    mjd = nights(rng, points)
    return mjd + begin, 18 + shape(mjd / period) + rng.normal(0, noise, points), np.full(points, noise)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    mjd = nights(rng, 60)
    error = rng.uniform(0.1, 0.4, 60)
    return mjd, np.sin(2 * np.pi * mjd / 0.7) + rng.normal(0, error), error


def test_the_periodogram_is_that_of_astropy(points):
    from astropy.timeseries import LombScargle

    mjd, value, error = points
    first, step, n = 0.013, 1 / 2000, 3001
    reduction, chi2 = chi2_reduction(mjd, value, error**-2.0, first=first, step=step, n=n)
    frequency = first + step * np.arange(n)
    expected = LombScargle(mjd, value, error).power(frequency, method="cython")
    daily = np.abs(frequency - np.round(frequency)) < 0.02  # all points in a quarter of the phase
    assert_allclose(reduction[~daily] / chi2, expected[~daily], atol=3e-5)
    mean = np.average(value, weights=error**-2.0)
    assert_allclose(chi2, (((value - mean) / error) ** 2).sum())


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 37])
def test_a_grid_of_any_length_begins_like_a_longer_one(n):
    rng = np.random.default_rng(n)
    time, value, weight = np.sort(rng.uniform(0, 40, 30)), rng.normal(0, 1, 30), rng.uniform(1, 2, 30)
    short, long = (chi2_reduction(time, value, weight, first=0.5, step=0.01, n=k)[0] for k in (n, 200))
    assert short.shape == (n,)
    assert_allclose(short, long[:n], atol=1e-4 * long.max())


def test_a_frequency_at_which_all_points_share_a_phase_is_not_measured():
    mjd = np.arange(50.0)
    reduction, _ = chi2_reduction(mjd, np.sin(mjd), np.ones(50), first=1.0, step=1.0, n=4)
    assert not reduction.any()


def test_the_power_of_several_passbands_is_the_mean_of_astropys_weighted_by_chi_square():
    # Not LombScargleMultiband's fast method: astropy 8 weights bands by the sum of their squared powers.
    from astropy.timeseries import LombScargle

    rng = np.random.default_rng(1)
    curve = [variable(rng, 0.61), variable(rng, 0.61, points=50)]
    found = find_periods(curves_of([curve]), PeriodSettings(shortest_d=0.2, error_floor=0.0))
    span = max(c[0].max() for c in curve) - min(c[0].min() for c in curve)
    frequency = 1 / span + np.arange(int((5 - 1 / span) * 5 * span) + 1) / (5 * span)
    away = [((v - np.average(v, weights=e**-2.0)) / e) for _, v, e in curve]
    chi2 = np.array([(a**2).sum() for a in away])
    power = chi2 @ np.array([LombScargle(*c).power(frequency, method="cython") for c in curve]) / chi2.sum()
    daily = np.abs(frequency - np.round(frequency)) < 0.02
    assert_allclose(found.power[0], power[~daily].max(), rtol=1e-4)


def test_a_fourier_series_is_the_least_squares_fit(points):
    mjd, value, error = points
    value = value - 0.1
    held = BandPoints(mjd, value, error**-2.0)
    frequency = np.array([0.3, 1.0 / 0.7])
    chi2, free = series_chi2(frequency, (held,), 2)
    assert free == 5
    for k, f in enumerate(frequency):
        angle = 2 * np.pi * f * mjd
        terms = np.stack([np.ones(60), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 1)
        solved, rest, *_ = np.linalg.lstsq(terms / error[:, None], value / error, rcond=None)
        assert_allclose(chi2[k], rest[0], rtol=1e-4)
        assert_allclose(coefficients(f, held, 2), solved[1::2] + 1j * solved[2::2], atol=1e-4)


def test_few_points_get_few_harmonics():
    assert [harmonics_of(n, 3) for n in (0, 4, 5, 8, 9, 13, 400)] == [0, 0, 1, 1, 2, 3, 3]


def test_periods_put_in_come_out_within_their_errors():
    rng = np.random.default_rng(2)
    true = rng.uniform(0.3, 0.9, 40)
    curves = curves_of([[variable(rng, p, shape=skewed), variable(rng, p, shape=skewed)] for p in true])
    found = find_periods(curves, FAST)
    assert_allclose(found.period_d, true, rtol=5e-4)
    pull = (found.period_d - true) / found.error_d
    assert 0.5 < pull.std() < 2.0
    assert (found.log10_fap < -10).all()
    assert (found.explained > 0.9).all()
    assert (found.margin >= 1.0).all()
    assert np.median(found.margin) > 5.0


def test_a_series_tells_a_sawtooth_from_its_alias_where_a_sinusoid_cannot():
    # Sixty nights, noise of a third of the amplitude: what the highest peak alone gets wrong.
    rng = np.random.default_rng(5)
    true = rng.uniform(0.45, 0.7, 60)
    curves = curves_of([[variable(rng, p, points=60, noise=0.15)] for p in true], ("r",))
    right = [
        np.mean(np.abs(find_periods(curves, s).period_d / true - 1) < 0.01)
        for s in (FAST, PeriodSettings(shortest_d=0.2, candidates=1, harmonics=1))
    ]
    assert right[0] > 0.9
    assert right[0] >= right[1]


def test_two_unlike_minima_show_at_twice_the_period():
    def eclipses(phase):
        deep = np.exp(-0.5 * (((phase + 0.5) % 1 - 0.5) / 0.04) ** 2)
        shallow = np.exp(-0.5 * ((phase % 1 - 0.5) / 0.04) ** 2)
        return 0.8 * deep + 0.6 * shallow

    rng = np.random.default_rng(3)
    curves = curves_of([[variable(rng, 2.3, points=150, shape=eclipses)] for _ in range(8)], ("r",))
    found = find_periods(curves, FAST)
    half = np.abs(found.period_d / 1.15 - 1) < 1e-3
    assert half.sum() >= 6
    assert (found.double_f[half] > 5.0).all()
    like = find_periods(curves_of([[variable(rng, 0.61, points=150)] for _ in range(8)], ("r",)), FAST)
    assert (like.double_f < 4.0).all()


def test_the_chance_of_noise_is_what_noise_has():
    rng = np.random.default_rng(4)
    curves = curves_of([[(t, rng.normal(0, 1, 40), np.ones(40)) for t in (nights(rng, 40), nights(rng, 40))]
                        for _ in range(200)])  # fmt: skip
    fap = 10 ** find_periods(curves, PeriodSettings(shortest_d=0.5, candidates=1)).log10_fap
    assert 0.02 < (fap < 0.2).mean() <= 0.27


@pytest.mark.parametrize("power", [0.2, 0.4, 0.6, 0.9])
def test_the_chance_of_one_passband_is_that_of_baluev(power):
    from astropy.timeseries import LombScargle

    mjd = nights(np.random.default_rng(0), 100)
    expected = LombScargle(mjd, mjd).false_alarm_probability(power, method="baluev", maximum_frequency=5.0)
    found = log10_false_alarm(power, points=100, bands=1, trials=5.0 * math.sqrt(4 * math.pi * mjd.var()))
    assert_allclose(found, np.log10(expected), atol=0.05)


def test_whole_cycles_per_day_are_marked():
    mjd = np.sort(np.random.default_rng(0).uniform(0, 100, 80))
    curves = curves_of([[(mjd, np.sin(2 * np.pi * mjd / p), np.full(80, 0.1))] for p in (0.5, 0.43)], ("r",))
    assert find_periods(curves, FAST).daily.tolist() == [True, False]


def test_light_curves_without_a_period_say_why():
    rng = np.random.default_rng(6)
    good = variable(rng, 0.61)
    few = tuple(column[:4] for column in good)
    flat = (good[0], np.full(80, 18.1), good[2])
    moment = (np.linspace(0, 0.1, 80), good[1], good[2])
    far = (np.concatenate([good[0], [1e6]]), np.append(good[1], 18.0), np.append(good[2], 0.1))
    found = find_periods(curves_of([[c] for c in (few, flat, moment, far, good)], ("r",)), FAST)
    assert [PeriodStatus(s).name for s in found.status] == ["FEW_POINTS", "CONSTANT", "SHORT", "LONG", "FOUND"]
    for name in ("period_d", "error_d", "second_d", "margin", "power", "log10_fap", "explained", "double_f"):
        assert_array_equal(np.isnan(getattr(found, name)), [True, True, True, True, False])


def test_a_row_has_the_same_bits_alone_and_among_others():
    rng = np.random.default_rng(7)
    rows = [[variable(rng, p), variable(rng, p, points=30)] for p in (0.4, 0.5, 0.6)]
    whole = find_periods(curves_of(rows), FAST)
    for k, row in enumerate(rows):
        alone = find_periods(curves_of([row]), FAST)
        for name in ("period_d", "error_d", "margin", "power", "double_f", "series"):
            assert_array_equal(getattr(alone, name)[0], getattr(whole, name)[k])


def test_the_origin_of_time_does_not_matter():
    rng = np.random.default_rng(8)
    curve = variable(rng, 0.61)
    moved = (curve[0] + 53_000.0, *curve[1:])
    one, other = (find_periods(curves_of([[c]], ("r",)), FAST) for c in (curve, moved))
    assert_allclose(other.period_d, one.period_d, rtol=1e-8)


def test_nonsense_is_refused():
    with pytest.raises(SpecError, match="positive"):
        PeriodSettings(shortest_d=0.0)
