"""The published files become a table, in either format; their absence is explained."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

from skyloom.errors import DataError, NotFoundError
from skyloom.evaluation.plasticc import FLUXCAL_NJY, plasticc_rows, plasticc_table


def files(folder, kind, *, objects=(7, 3, 5)):
    rng = np.random.default_rng(0)
    ids = np.repeat([3, 5, 7], 30)
    points = pa.table(
        {
            "object_id": pa.array(ids, pa.int32()),
            "mjd": rng.uniform(59_000, 59_500, 90).round(4),
            "passband": pa.array(rng.integers(0, 6, 90), pa.int8()),
            "flux": rng.normal(0, 50, 90).round(6).astype(np.float32),
            "flux_err": rng.uniform(1, 5, 90).round(6).astype(np.float32),
            "detected_bool": pa.array(np.zeros(90), pa.int8()),
        }
    )
    meta = pa.table(
        {
            "object_id": list(objects),
            "target": [90, 42, 6],
            "hostgal_photoz": [0.1, 0.2, 0.0],
            "hostgal_photoz_err": [0.01, 0.02, 0.0],
            "mwebv": [0.05, 0.02, 0.01],
            "true_z": [1.0, 2.0, 3.0],
        }
    )
    if kind == "csv":
        csv.write_csv(points, folder / "plasticc_train_lightcurves.csv")
        csv.write_csv(meta, folder / "plasticc_train_metadata.csv")
    else:
        pq.write_table(points, folder / "lightcurves.parquet")
        pq.write_table(meta, folder / "metadata.parquet")
    return folder


def test_csv_and_parquet_give_the_same_table(tmp_path):
    tables = []
    for kind in ("csv", "parquet"):
        (tmp_path / kind).mkdir()
        tables.append(plasticc_table(files(tmp_path / kind, kind)))
    assert tables[0].equals(tables[1])
    assert tables[0]["object_id"].to_pylist() == [3, 5, 7]
    assert tables[0]["target"].to_pylist() == [42, 6, 90]
    assert "true_z" not in tables[0].column_names


def test_fluxes_are_in_njy_and_times_ascend(tmp_path):
    rows = plasticc_rows(files(tmp_path, "parquet"))
    published = pq.read_table(tmp_path / "lightcurves.parquet").filter(pa.compute.field("object_id") == 3)
    first = rows["lc"][0].as_py()
    assert first["mjd"] == sorted(first["mjd"])
    np.testing.assert_allclose(
        sorted(first["flux"]), np.sort(published["flux"].to_numpy()) * FLUXCAL_NJY, rtol=1e-6
    )


def test_missing_files_are_explained(tmp_path):
    with pytest.raises(NotFoundError, match="snmachine"):
        plasticc_rows(tmp_path)


def test_files_about_different_objects_are_refused(tmp_path):
    with pytest.raises(DataError, match="same objects"):
        plasticc_rows(files(tmp_path, "parquet", objects=(7, 3, 6)))
