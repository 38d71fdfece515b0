"""The contestants of the resampling benchmark do the same work, so that their ratio means something."""

from __future__ import annotations

import numpy as np

from skyloom.spectra import Resampler
from tests.benchmarks import spectra_resampling as contest


def test_both_ways_to_resample_give_the_same_numbers():
    given = contest.sample(1)
    for one, other in zip(Resampler(contest.GRID)(*given), contest.by_specutils(*given), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-10)
