"""The contestants of the benchmark fit the same processes, so that their ratio means something."""

from __future__ import annotations

import numpy as np

from tests.benchmarks import gaussian_processes as contest


def test_both_find_processes_of_like_likelihood_and_mean():
    curves = contest.objects(3)
    (mean, top), (their_mean, their_top) = (by(curves) for by in (contest.by_skyloom, contest.by_scikit_learn))
    np.testing.assert_allclose(top, their_top, atol=0.1)
    np.testing.assert_allclose(mean, their_mean, atol=0.2)
