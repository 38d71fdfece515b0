"""Calibration finds what spoilt the probabilities, and the tables say how well it holds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.evaluation.calibration import (
    expected_calibration_error,
    fit_binary,
    fit_isotonic,
    fit_multiclass,
    fit_temperature,
    reliability,
)
from skyloom.evaluation.scores import log_loss
from skyloom.models.probabilities import calibrated, calibrated_binary, isotonic, softmax, tempered

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
    for fit in (fit_multiclass, fit_temperature):
        with pytest.raises(SpecError, match="at least one row"):
            fit(np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(SpecError, match="at least one row"):
        fit_isotonic(np.empty(0), np.empty(0, bool))


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_the_temperature_that_spoilt_the_scores_is_found(temperature):
    found = fit_temperature(TRUE * temperature, TARGET)
    assert_allclose(found / temperature, 1.0, atol=0.05)
    # Exact against a slow reference: no temperature of a fine grid does better.
    least = log_loss(tempered(TRUE * temperature, found), TARGET)
    grid = temperature * np.geomspace(0.5, 2.0, 101)
    assert least <= min(log_loss(tempered(TRUE * temperature, t), TARGET) for t in grid) + 1e-12


def test_a_temperature_has_ends():
    sure = np.eye(3)[TARGET] * 5.0
    assert 0.01 <= fit_temperature(sure, TARGET) < 0.2
    assert 50.0 < fit_temperature(-sure, TARGET) <= 100.0


def pooled(p, happened):
    """Pool adjacent violators, slowly: the fit by its definition, as value per row."""
    blocks = []
    for x in np.unique(p):
        blocks.append([happened[p == x].sum(), (p == x).sum()])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            total, n = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + n]
    fitted = np.repeat([total / n for total, n in blocks], [n for _, n in blocks])
    out = np.empty(len(p))
    out[np.argsort(p, kind="stable")] = fitted
    return out


def test_the_isotonic_fit_is_that_of_pooling_by_hand():
    rng = np.random.default_rng(1)
    p = rng.integers(0, 40, 300) / 40
    happened = rng.random(300) < p**2
    expected = np.clip(pooled(p, happened), 1 / 302, 1 - 1 / 302)
    assert_allclose(isotonic(p, *fit_isotonic(p, happened)), expected, atol=1e-12)


def test_isotonic_calibration_undoes_what_no_scale_can():
    p = softmax(TRUE)[:, 0]
    spoilt = 0.3 + 0.4 * p + 0.05 * np.sin(6 * p)  # rises, and is no sigmoid of a sigmoid
    half = len(p) // 2
    happened = TARGET == 0
    repaired = isotonic(spoilt[half:], *fit_isotonic(spoilt[:half], happened[:half]))
    assert expected_calibration_error(repaired, happened[half:]) < 0.03
    assert expected_calibration_error(spoilt[half:], happened[half:]) > 0.1


def test_an_isotonic_fit_of_what_always_or_never_happens_is_not_surer_than_its_rows():
    p = np.linspace(0, 1, 8)
    for happened, expected in ((np.ones(8, bool), 0.9), (np.zeros(8, bool), 0.1)):
        assert_allclose(isotonic(np.array([-1.0, 0.5, 2.0]), *fit_isotonic(p, happened)), expected)


def test_isotonic_refuses_nan_rows():
    with pytest.raises(SpecError, match="1 of 3"):
        fit_isotonic(np.array([0.1, np.nan, 0.2]), np.array([True, False, True]))
