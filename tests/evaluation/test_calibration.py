"""Calibration finds what spoilt the probabilities, and the tables say how well it holds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.evaluation.calibration import (
    expected_calibration_error,
    fit_binary,
    fit_multiclass,
    reliability,
)
from skyloom.evaluation.scores import log_loss
from skyloom.models.probabilities import calibrated, calibrated_binary, softmax

RNG = np.random.default_rng(0)
TRUE = RNG.normal(0.0, 1.5, (8000, 3))
TARGET = np.array([RNG.choice(3, p=p) for p in softmax(TRUE)])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_overconfidence_and_timidity_are_undone(temperature):
    spoilt = TRUE * temperature + np.array([0.5, 0.0, -0.5])
    scale, bias = fit_multiclass(spoilt, TARGET)
    # The penalty on the biases holds the scale back where scores are flat.
    assert_allclose(scale * temperature, 1.0, atol=0.3)
    repaired = log_loss(calibrated(spoilt, scale, bias), TARGET)
    assert repaired <= log_loss(softmax(spoilt), TARGET)
    assert_allclose(repaired, log_loss(softmax(TRUE), TARGET), atol=0.02)


def test_binary_calibration_lowers_the_calibration_error():
    p = softmax(TRUE)[:, 0]
    spoilt = calibrated_binary(p, 3.0, 1.0)
    scale, bias = fit_binary(spoilt, TARGET == 0)
    assert_allclose([scale * 3.0, bias + scale], [1.0, 0.0], atol=0.1)
    repaired = calibrated_binary(spoilt, scale, bias)
    assert expected_calibration_error(repaired, TARGET == 0) < 0.02
    assert expected_calibration_error(spoilt, TARGET == 0) > 0.1


def test_the_reliability_table_counts_every_row_once():
    p = np.array([0.0, 0.05, 0.1, 0.95, 1.0])
    table = reliability(p, p > 0.5, what="y")
    assert sum(b.n for b in table) == 5
    assert [(b.low, b.n, b.observed) for b in table] == [(0.0, 2, 0.0), (0.1, 1, 0.0), (0.9, 2, 1.0)]


def test_calibrating_on_nothing_is_refused():
    with pytest.raises(SpecError):
        fit_multiclass(np.empty((0, 3)), np.empty(0, int))
