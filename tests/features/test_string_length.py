"""Strings through folded light curves: shortest where the light curve repeats, whatever the origin of phase."""

from __future__ import annotations

import math

import numpy as np
from numpy.testing import assert_allclose

from skyloom.features.string_length import shortest_string, string_length

PERIOD_D = 0.61


def curve(points=90, *, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0.0, 200.0, points))
    return time, np.sin(2 * np.pi * time / PERIOD_D) + noise * rng.normal(size=points)


def test_without_noise_the_string_at_the_period_is_twice_the_range_and_no_other_is_shorter():
    time, value = curve()
    away = 1.0 / PERIOD_D + np.arange(1, 500) * 1e-3
    (here,) = string_length(time, value, np.array([1.0 / PERIOD_D]))
    assert_allclose(here, 2.0 * np.ptp(value))
    assert string_length(time, value, away).min() > here


def test_another_origin_of_time_changes_no_string():
    time, value = curve(noise=0.3)
    frequency = np.linspace(0.3, 3.0, 40)
    assert_allclose(string_length(time + 7.7, value, frequency), string_length(time, value, frequency))


def test_strings_are_as_long_as_a_slow_walk_round_the_circle():
    time, value = curve(20, noise=0.5)
    walked = sorted(((t * 1.3) % 1.0, v) for t, v in zip(time, value, strict=True))
    slow = sum(abs(walked[i][1] - walked[i - 1][1]) for i in range(len(walked)))
    assert_allclose(string_length(time, value, np.array([1.3])), [slow])


def test_the_period_has_a_shorter_string_than_its_daily_alias_in_noise():
    time, value = curve(150, noise=0.2)
    alias = 1.0 / abs(1.0 / PERIOD_D - 1.0)
    shortest = [shortest_string(time, value, p, multiples=6, longest_d=100.0) for p in (PERIOD_D, alias)]
    assert shortest[0] < shortest[1]


def test_multiples_only_shorten_and_a_period_longer_than_the_longest_has_no_string():
    time, value = curve(noise=0.2)
    one, more = (shortest_string(time, value, PERIOD_D, multiples=n, longest_d=100.0) for n in (1, 5))
    assert more <= one
    assert shortest_string(time, value, 3.0, multiples=4, longest_d=2.0) == math.inf
