"""The mixture in two surveys: maps and their inverses, densities, distances."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from skyloom.errors import DataError
from skyloom.models.survey_shift.alignment import Alignment


@pytest.fixture
def alignment():
    return drawn(k=3, d=4)


def drawn(k, d, seed=0):
    """A mixture with maps of every kind."""
    rng = np.random.default_rng(seed)
    skew = rng.normal(0, 0.5, (k, d, d))
    factor = rng.normal(0, 0.4, (k, d, d))
    share = rng.uniform(0.5, 1.0, (2, k))
    return Alignment(
        weight=share[0] / share[0].sum(),
        target_weight=share[1] / share[1].sum(),
        mean=rng.normal(0, 1, (k, d)),
        covariance=factor @ factor.transpose(0, 2, 1) + 0.3 * np.eye(d),
        rotation=expm(skew - skew.transpose(0, 2, 1)),
        scale=np.exp(rng.normal(0, 0.3, (k, d))),
        shift=rng.normal(0, 1, (k, d)),
        owner=np.array([0, 1, 1][:k]),
    )


def test_a_map_and_its_inverse_undo_each_other(alignment):
    rows = np.random.default_rng(1).normal(0, 2, (50, 4))
    there = alignment.forward(rows)
    for k in range(3):
        assert_allclose(alignment.back(there[:, k])[:, k], rows, atol=1e-10)


def test_the_likelihood_of_the_target_is_that_of_the_rows_mapped_back_over_the_change_of_volume(alignment):
    rows = np.random.default_rng(2).normal(0, 1, (30, 4))
    back = alignment.back(rows)
    volume = np.log(np.abs(np.linalg.det(alignment.rotation * alignment.scale[:, None, :])))
    of_source = np.log(alignment.weight)
    expected = np.stack(
        [alignment.source_log_parts(back[:, k])[:, k] - of_source[k] - volume[k] for k in range(3)], axis=1
    )
    assert_allclose(alignment.target_log_parts(rows) - np.log(alignment.target_weight), expected, atol=1e-9)


def test_the_target_is_the_mixture_of_transformed_normal_distributions(alignment):
    rows = np.random.default_rng(3).normal(0, 1, (20, 4))
    mean, covariance = alignment.target_mean(), alignment.target_covariance()
    slow = np.stack([multivariate_normal(mean[k], covariance[k]).logpdf(rows) for k in range(3)], axis=1)
    assert_allclose(alignment.target_log_parts(rows), slow + np.log(alignment.target_weight), atol=1e-9)


def test_a_component_that_only_shifts_moved_by_the_length_of_the_shift(alignment):
    still = np.tile(np.eye(4), (3, 1, 1))
    shifted = dataclasses.replace(alignment, rotation=still, scale=np.ones((3, 4)))
    assert_allclose(shifted.distances(), np.linalg.norm(alignment.shift, axis=1), atol=1e-6)
    assert_allclose(dataclasses.replace(shifted, shift=np.zeros((3, 4))).distances(), 0.0, atol=1e-6)


def test_a_row_has_the_same_bits_alone_and_among_others(alignment):
    rows = np.random.default_rng(4).normal(0, 1, (9, 4))
    whole = alignment.target_log_parts(rows)
    for i in range(9):
        assert_array_equal(alignment.target_log_parts(rows[i : i + 1])[0], whole[i])


def test_stored_arrays_give_the_same_mixture_and_spoilt_ones_are_refused(alignment):
    arrays = alignment.to_arrays()
    again = Alignment.of_arrays(arrays)
    assert_array_equal(again.scale, alignment.scale)
    for name, value in (
        ("align.shift", arrays["align.shift"][:, :2]),
        ("align.scale", -arrays["align.scale"]),
        ("align.covariance", -arrays["align.covariance"]),
    ):
        with pytest.raises(DataError, match=r"align|positive"):
            Alignment.of_arrays({**arrays, name: value})
    with pytest.raises(DataError, match="lack"):
        Alignment.of_arrays({})
