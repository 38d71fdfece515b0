"""The contestants of the light-curve benchmark do the same work, so that their ratio means something."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks import lightcurve_features as contest


def layer_of(folder):
    files = sorted(folder.rglob("Npix=*.parquet"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files]).sort_by("object_id")


@pytest.mark.cluster
def test_lsdb_and_skyloom_write_the_same_features(shared_tiny_catalog, tmp_path):
    ours = layer_of(contest.run_skyloom(shared_tiny_catalog, tmp_path / "skyloom"))
    theirs = layer_of(contest.run_lsdb(shared_tiny_catalog, tmp_path / "lsdb"))
    names = [name for name in theirs.column_names if name.startswith("lcf_")]
    assert len(names) == 6 * 28
    for name in names:
        one, two = (t[name].to_numpy(zero_copy_only=False).astype(float) for t in (ours, theirs))
        np.testing.assert_allclose(one, two, rtol=1e-5, err_msg=name)


def test_the_bare_library_agrees_with_the_model(shared_tiny_catalog):
    rows = contest.read_rows(shared_tiny_catalog)
    scored = contest.run_model(rows)
    direct = contest.run_library(contest.prepare_library(rows))
    assert direct.shape[0] == rows.num_rows
    ours = scored.column("lcf_median_r").to_numpy(zero_copy_only=False)
    assert any(np.allclose(column, ours, rtol=1e-5, equal_nan=True) for column in direct.astype(np.float32).T)
