"""Fitting the mixture of two surveys: what EM promises, and what is recovered."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.evaluation.adaptation import adapt, coral
from skyloom.evaluation.alignment import AlignmentConfig, fit_alignment, slope_at_identity
from skyloom.models.survey_shift.alignment import Alignment

FLAT = {
    "log_scale_sd": 50.0,
    "own_scale_sd": 50.0,
    "own_shift_sd": 50.0,
    "angle_sd": 50.0,
    "covariance_rows": 1e-6,
}
"""Priors that say nothing."""


def two_classes(seed, n=300, shift=(0.6, -0.4, 0.2)):
    """Labelled rows of two classes, and rows of the same classes that were moved, each its own way."""
    rng = np.random.default_rng(seed)
    label, truth = rng.integers(0, 2, n), rng.integers(0, 2, n)
    centre = np.array([[0.0, 0.0, 0.0], [2.5, 1.0, -1.0]])
    spread = np.array([[0.5, 0.7, 0.4], [0.6, 0.4, 0.5]])
    source = centre[label] + spread[label] * rng.normal(size=(n, 3))
    target = centre[truth] + spread[truth] * rng.normal(size=(n, 3)) * 1.3
    return source, label, target + np.array(shift) * (1.0 + 0.5 * truth[:, None]), truth


@pytest.fixture(scope="module")
def fitted():
    source, label, target, _ = two_classes(0)
    return fit_alignment(source, label, target, AlignmentConfig(per_class=2, steps=12, tolerance=1e-12))


def test_the_objective_never_falls(fitted):
    assert len(fitted.objective) > 5
    assert np.diff(fitted.objective).min() > -1e-7 * abs(fitted.objective[-1])


def test_rotations_are_orthogonal_with_determinant_one(fitted):
    rotation = fitted.alignment.rotation
    eye = np.eye(rotation.shape[1])
    assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(eye, (len(rotation), 1, 1)), atol=1e-12)
    assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-12)
    assert np.abs(rotation - eye).max() > 1e-4


def test_identical_surveys_leave_the_identity_stationary():
    from sklearn.mixture import GaussianMixture

    rows, *_ = two_classes(1)
    found = GaussianMixture(2, reg_covar=0.0, tol=1e-13, max_iter=2000, random_state=0).fit(rows)
    k, d = found.means_.shape
    still = Alignment(
        found.weights_, found.weights_, found.means_, found.covariances_, np.tile(np.eye(d), (k, 1, 1)),
        np.ones((k, d)), np.zeros((k, d)), np.zeros(k, dtype=np.int64),
    )  # fmt: skip
    assert np.abs(slope_at_identity(still, rows)).max() / len(rows) < 1e-5
    assert np.abs(slope_at_identity(still, rows + 0.1)).max() / len(rows) > 1e-2


def test_one_component_and_a_known_affine_shift_give_the_closed_form():
    rng = np.random.default_rng(2)
    source = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.5], [0.0, 0.8]])
    target = source * np.array([1.3, 0.8]) + np.array([0.5, -1.0])
    config = AlignmentConfig(per_class=1, steps=40, tolerance=1e-12, **FLAT)
    found = fit_alignment(source, np.zeros(400, dtype=int), target, config).alignment
    assert_allclose(found.target_mean()[0], target.mean(axis=0), atol=1e-4)
    assert_allclose(found.target_covariance()[0], np.cov(target.T, bias=True), atol=1e-3)
    assert_allclose(found.forward(source)[:, 0], target, atol=1e-2)


def test_rows_that_moved_by_class_are_classified_better_after_the_mixture_than_before():
    from sklearn.neighbors import KNeighborsClassifier

    source, label, target, truth = two_classes(3, shift=(1.2, 0.6, -0.6))
    found = adapt(source, label, target, AlignmentConfig(per_class=1, steps=15, own_shift_sd=1.0))
    right = [
        float((KNeighborsClassifier(9).fit(rows, label).predict(found.space.standardised(target)) == truth).mean())
        for rows in (found.space.standardised(source), found.mapped(source, label))
    ]
    assert right[1] > right[0]
    assert right[1] > 0.97


def test_coral_gives_the_source_the_mean_and_covariance_of_the_target():
    source, _, target, _ = two_classes(4)
    linear, offset = coral(source, target, ridge=0.0)
    moved = source @ linear + offset
    assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-12)
    assert_allclose(np.cov(moved.T), np.cov(target.T), atol=1e-10)
    assert_allclose(coral(source, source)[0], np.eye(3), atol=1e-12)


def test_an_optional_library_agrees_on_coral():
    skada = pytest.importorskip("skada")
    source, _, target, _ = two_classes(5)
    both, domain = np.vstack([source, target]), np.repeat([1, -2], [len(source), len(target)])
    linear, _ = coral(source, target, ridge=0.0)
    theirs = skada.CORALAdapter(reg=None).fit(both, sample_domain=domain)
    assert_allclose(linear, theirs.cov_source_inv_sqrt_ @ theirs.cov_target_sqrt_, atol=1e-6)


def test_what_cannot_be_fitted_is_refused_with_the_numbers():
    source, label, target, _ = two_classes(6, n=60)
    with pytest.raises(SpecError, match="10 source rows"):
        fit_alignment(source, np.where(np.arange(60) < 3, 1, 0), target)
    with pytest.raises(SpecError, match="finite"):
        fit_alignment(np.where(np.arange(60)[:, None] == 0, np.nan, source), label, target)
    with pytest.raises(SpecError, match="shapes"):
        fit_alignment(source, label, target[:, :2])
    with pytest.raises(SpecError, match="positive"):
        AlignmentConfig(angle_sd=0.0)
