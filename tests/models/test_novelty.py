"""p-values pooled over the folds of a cross-validation."""

from __future__ import annotations

import numpy as np
import pytest

from skyloom.models.novelty import empirical_p, pooled_p


def test_one_fold_gives_the_plain_empirical_p_value():
    rng = np.random.default_rng(0)
    values, reference = rng.normal(size=50), np.sort(rng.normal(size=99))
    np.testing.assert_allclose(pooled_p([values], [reference]), empirical_p(values, reference))


def test_folds_that_agree_give_what_all_their_rows_together_give():
    rng = np.random.default_rng(1)
    values, rows = rng.normal(size=50), rng.normal(size=100)
    folds = [np.sort(rows[k::5]) for k in range(5)]
    np.testing.assert_allclose(pooled_p([values] * 5, folds), empirical_p(values, np.sort(rows)))


def test_it_is_uniform_where_rows_are_like_those_left_out_and_least_far_away():
    rng = np.random.default_rng(2)
    folds = [np.sort(rng.normal(size=40)) for _ in range(5)]
    p = pooled_p([rng.normal(size=4000)] * 5, folds)
    assert p.mean() == pytest.approx(0.5, abs=0.05)
    assert (p < 0.1).mean() == pytest.approx(0.1, abs=0.05)
    assert pooled_p([np.array([9.0])] * 5, folds) == pytest.approx(1 / 201)
    assert pooled_p([np.array([-9.0])] * 5, folds) == 1.0


def test_further_away_never_has_a_higher_p_value():
    rng = np.random.default_rng(3)
    folds = [np.sort(rng.normal(size=30)) for _ in range(3)]
    values = np.sort(rng.normal(size=100))
    assert (np.diff(pooled_p([values] * 3, folds)) <= 0).all()
