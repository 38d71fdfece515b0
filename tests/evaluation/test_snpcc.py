"""SNPCC's files as one table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.errors import DataError, NotFoundError
from skyloom.evaluation.plasticc import FLUXCAL_NJY
from skyloom.evaluation.snpcc import BANDS, find_snpcc, snpcc_rows, snpcc_table


def write(folder, *, objects=(7, 3), points=(7, 3)):
    folder.mkdir()
    rng = np.random.default_rng(0)
    snid = np.repeat(np.array(points), 30)
    table = pa.table(
        {
            "snid": pa.array(snid, pa.int32()),
            "mjd": rng.uniform(56_000, 56_100, len(snid)),
            "band": pa.array(np.array(BANDS)[rng.integers(0, 4, len(snid))]).dictionary_encode(),
            "fluxcal": pa.array(rng.normal(50, 5, len(snid)), pa.float32()),
            "fluxcalerr": pa.array(np.full(len(snid), 5), pa.float32()),
        }
    )
    pq.write_table(table, folder / "lightcurves.parquet")
    n = len(objects)
    about = {
        "snid": pa.array(objects, pa.int64()),
        "sim_type": ["Ia", "II", "Ib"][:n],
        "spec_training": [True, False, False][:n],
        "hostgal_photoz": pa.array([0.5, -9.0, 0.1][:n], pa.float32()),
        "hostgal_photoz_err": pa.array([0.05, -9.0, 0.1][:n], pa.float32()),
        "mwebv": pa.array([0.01] * n, pa.float32()),
    }
    pq.write_table(pa.table(about), folder / "objects.parquet")
    return folder


def test_rows_are_objects_in_order_of_id_with_sorted_light_curves_in_njy(tmp_path):
    rows = snpcc_rows(write(tmp_path / "snpcc"))
    assert rows["object_id"].to_pylist() == [3, 7]
    assert rows["spec_training"].to_pylist() == [False, True]
    lc = rows["lc"][0].as_py()
    assert lc["mjd"] == sorted(lc["mjd"])
    assert len(lc["flux"]) == 30
    assert np.mean(lc["flux"]) == pytest.approx(50 * FLUXCAL_NJY, rel=0.1)
    assert set(lc["band"]) <= set(BANDS)


def test_a_redshift_that_is_missing_in_the_files_is_null(tmp_path):
    rows = snpcc_rows(write(tmp_path / "snpcc"))
    assert rows["hostgal_photoz"].to_pylist() == [None, 0.5]


def test_files_about_different_objects_are_refused(tmp_path):
    with pytest.raises(DataError, match="not about the same objects"):
        snpcc_rows(write(tmp_path / "snpcc", objects=(7, 3, 5)))


def test_the_folder_above_will_do_and_a_folder_without_them_is_named(tmp_path):
    write(tmp_path / "snpcc")
    assert find_snpcc(tmp_path) == find_snpcc(tmp_path / "snpcc")
    with pytest.raises(NotFoundError, match="SKYLOOM_DATA"):
        find_snpcc(tmp_path / "snpcc" / "none")


def test_the_table_has_the_features_of_each_passband(tmp_path):
    table = snpcc_table(write(tmp_path / "snpcc"))
    assert table.num_rows == 2
    for band in BANDS:
        assert table[f"lcf_peak_{band}"].null_count == 0


@pytest.mark.survey_data
def test_the_spectroscopic_sample_is_brighter_than_the_rest(skyloom_data):
    try:
        rows = snpcc_rows(skyloom_data)
    except NotFoundError:
        pytest.skip("no SNPCC light curves here")
    chosen = np.array(rows["spec_training"].to_pylist())
    assert 0 < chosen.mean() < 0.1
    redshift = rows["hostgal_photoz"].to_numpy()
    assert np.nanmedian(redshift[chosen]) < np.nanmedian(redshift[~chosen]) - 0.1
