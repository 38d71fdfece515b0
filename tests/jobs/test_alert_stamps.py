"""The whole path on real alerts: import, stamps into a store, a job, one row out for each row in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import import_catalog, load_import_spec, open_catalog
from skyloom.evaluation.alerts import alert_rows
from skyloom.jobs import run
from skyloom.jobs.make_tensors import import_cutouts
from skyloom.models import alert_stamp
from skyloom.models.weights import load_weights
from skyloom.runtime.contract import CUTOUT_MISSING
from skyloom.runtime.scoring import score

pytestmark = pytest.mark.survey_data

IMPORT = Path(__file__).parents[2] / "catalogs" / "imports" / "ztf-alerts.toml"
COLUMNS = ("stamp_science", "stamp_template", "stamp_difference")
BANDS = ("science", "template", "difference")
GONE, NO_TEMPLATE, ALL_NAN = 5, 6, 7
"""Rows whose stamps are taken away, whole or in part."""


def spoilt(table):
    """Return alerts of which one has no template, and one nothing but NaN."""
    for column in COLUMNS:
        px = np.array(table[column].to_pylist(), dtype=np.float32)
        px[ALL_NAN] = np.nan
        if column == "stamp_template":
            px[NO_TEMPLATE] = np.nan
        made = pa.FixedSizeListArray.from_arrays(pa.array(px.reshape(-1)), px.shape[1])
        table = table.set_column(table.column_names.index(column), column, made)
    return table


@pytest.fixture(scope="module")
def sky(skyloom_data, tmp_path_factory):
    """A catalog of 48 real alerts, and a store of their stamps."""
    top = tmp_path_factory.mktemp("sky")
    whole = pq.read_table(skyloom_data / "ztf_alerts" / "alerts.parquet")
    table = spoilt(whole.take(np.arange(0, 48 * 7, 7)))
    (top / "ztf_alerts").mkdir()
    pq.write_table(table, top / "ztf_alerts" / "alerts.parquet")
    pq.write_table(table.filter(np.arange(48) != GONE), top / "stamps.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYLOOM_DATA", str(top))
        import_catalog(load_import_spec(IMPORT, output=str(top / "catalog")))
    catalog = open_catalog(top / "catalog")
    import_cutouts(
        catalog,
        top / "stamps.parquet",
        top / "store",
        columns=COLUMNS,
        shape=(63, 63),
        bands=BANDS,
        id_column="candid",
    )
    return table, top / "catalog", top / "store"


def test_a_job_over_imported_alerts_gives_every_row_what_the_system_says_of_it(sky, job_of):
    table, catalog, store = sky
    job = job_of(catalog, model="alert-stamp", layer="stamp", input={"tensors": {"cutout": str(store)}})
    report = run(job, cluster="in-process", progress=False)
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    made = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts]).sort_by("candid")
    assert made.num_rows == report.rows == table.num_rows == 48
    order = np.argsort(table["candid"].to_numpy())
    config = alert_stamp.Config()
    estimator = alert_stamp.build(config, load_weights("alert-stamp")[1])
    direct, _ = score(alert_stamp, estimator, config, alert_rows(table), layer="stamp", batch_rows=48)
    wanted = pa.Table.from_batches([direct]).take(order)
    with_stamps = pa.array(np.isin(order, (GONE, ALL_NAN), invert=True))
    for column in alert_stamp.writes(config):
        assert made[column.name].filter(with_stamps).equals(wanted[column.name].filter(with_stamps)), column.name
    assert made["stamp_flag"].filter(with_stamps).equals(wanted["stamp_flag"].filter(with_stamps))


def test_rows_without_stamps_are_null_and_say_why(sky, job_of):
    table, catalog, store = sky
    job = job_of(catalog, model="alert-stamp", layer="stamp", input={"tensors": {"cutout": str(store)}})
    report = run(job, cluster="in-process", progress=False)
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    made = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts]).to_pandas()
    made = made.set_index("candid").loc[table["candid"].to_pylist()]
    mask = {flag.name: flag.mask for flag in alert_stamp.FLAGS}
    missing = mask["NO_CUTOUT"] | CUTOUT_MISSING.mask
    flag = made["stamp_flag"].tolist()
    assert [flag[row] for row in (GONE, NO_TEMPLATE, ALL_NAN)] == [missing, mask["STAMP_MISSING"], missing]
    null = made["stamp_p_star"].isna().to_numpy()
    assert np.flatnonzero(null).tolist() == [GONE, NO_TEMPLATE, ALL_NAN]
