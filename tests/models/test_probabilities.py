"""Probabilities add to one, whatever the scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from skyloom.models.novelty import empirical_p
from skyloom.models.probabilities import calibrated, calibrated_binary, entropy, isotonic, softmax, tempered

scores = arrays(np.float64, (4, 5), elements=st.floats(-500, 500))


@given(scores)
def test_probabilities_add_to_one(s):
    p = softmax(s)
    assert_allclose(p.sum(axis=1), 1.0)
    assert (p >= 0).all()


@given(scores, st.floats(-100, 100))
def test_a_common_shift_of_all_scores_changes_nothing(s, shift):
    assert_allclose(softmax(s + shift), softmax(s), atol=1e-9)


@given(scores)
def test_the_identity_calibration_changes_nothing(s):
    assert_allclose(calibrated(s, 1.0, np.zeros(5)), softmax(s))


@given(scores, st.floats(0.05, 20))
def test_a_temperature_keeps_the_order_of_the_classes(s, temperature):
    assert_allclose(tempered(s, 1.0), softmax(s))
    order = np.argsort(s, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(tempered(s, temperature), order, axis=1), axis=1) >= 0).all()


steps = arrays(np.float64, st.integers(1, 9), elements=st.floats(0, 1), unique=True).map(np.sort)


@given(steps, st.data())
def test_isotonic_calibration_never_falls_meets_its_knots_and_ends_flat(knots, data):
    values = np.sort(data.draw(arrays(np.float64, len(knots), elements=st.floats(0, 1))))
    p = np.sort(np.concatenate([knots, data.draw(arrays(np.float64, 30, elements=st.floats(-0.5, 1.5)))]))
    made = isotonic(p, knots, values)
    assert (np.diff(made) >= 0).all()
    assert_allclose(isotonic(knots, knots, values), values, atol=1e-12)
    assert_allclose(made, np.interp(p, knots, values), atol=1e-9)
    assert isotonic(np.array([-9.0, 9.0]), knots, values).tolist() == [values[0], values[-1]]
    # The same bits alone and among others.
    assert all(isotonic(p[k : k + 1], knots, values)[0] == made[k] for k in range(len(p)))


def test_isotonic_calibration_of_nan_is_nan():
    assert np.isnan(isotonic(np.array([np.nan]), np.array([0.0, 1.0]), np.array([0.1, 0.9]))).all()


def test_binary_calibration_keeps_the_order_and_the_ends():
    p = np.linspace(0.0, 1.0, 11)
    q = calibrated_binary(p, 1.7, -0.3)
    assert (np.diff(q) > 0).all()
    assert q[0] < 1e-6 < 1 - 1e-6 < q[-1]
    assert_allclose(calibrated_binary(p, 1.0, 0.0), p, atol=1e-11)


def test_entropy_is_zero_when_certain_and_one_when_all_are_alike():
    assert_allclose(entropy(np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])), [0.0, 1.0], atol=1e-9)


@given(arrays(np.float64, 30, elements=st.floats(0, 10)), st.floats(0, 10), st.floats(0, 10))
def test_a_larger_distance_never_has_a_larger_p_value(reference, a, b):
    low, high = sorted((a, b))
    p = empirical_p(np.array([low, high]), np.sort(reference))
    assert 0 < p[1] <= p[0] <= 1
