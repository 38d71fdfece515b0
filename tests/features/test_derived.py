"""Inputs of classifiers: free of units, blind to neighbours."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.features.derived import METADATA, derive, derived_names, luminosity_distance_mpc, source_features

BANDS = ("u", "g", "r")


def made_up(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    features = {name: rng.lognormal(3.0, 1.0, (len(BANDS), n)) for name in source_features()}
    for values in features.values():
        values[rng.random(values.shape) < 0.1] = np.nan
    return features, {name: rng.uniform(0.0, 1.0, n) for name in METADATA}


def test_a_row_does_not_depend_on_its_neighbours():
    features, metadata = made_up(9)
    whole = derive(features, metadata, BANDS)
    for i in range(9):
        alone = derive(
            {k: v[:, i : i + 1] for k, v in features.items()},
            {k: v[i : i + 1] for k, v in metadata.items()},
            BANDS,
        )
        assert_array_equal(alone[0], whole[i])


def test_there_is_one_column_per_name_and_no_infinity():
    out = derive(*made_up(5), BANDS)
    assert out.shape == (5, len(derived_names(BANDS)))
    assert not np.isinf(out).any()


def test_milky_way_rows_have_no_luminosity():
    features, metadata = made_up(2)
    features["peak"][:] = 100.0
    metadata["hostgal_photoz"][:] = [0.0, 0.1]
    out = derive(features, metadata, BANDS)[:, derived_names(BANDS).index("log_luminosity")]
    assert np.isnan(out[0])
    assert_allclose(out[1], 2.0 + 2 * np.log10(luminosity_distance_mpc(np.array([0.1]))[0]), rtol=1e-6)


def test_distances_follow_hubble_nearby_and_ned_wright_at_redshift_one():
    assert_allclose(luminosity_distance_mpc(np.array([0.001])), 299_792.458 / 70 * 0.001, rtol=2e-3)
    # Flat, H0 = 70, matter 0.3: 6,607.7 Mpc (Wright 2006, PASP 118, 1711).
    assert_allclose(luminosity_distance_mpc(np.array([1.0])), 6607.7, rtol=1e-4)
