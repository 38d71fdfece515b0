"""Alerts as arrays: what a job would see, and nothing of a fold in what is compared with it."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from alert_tables import alerts
from skyloom.errors import DataError, NotFoundError
from skyloom.evaluation.alert_folds import cross_fitted, of_group, out_of_fold, prior
from skyloom.evaluation.alerts import BASELINE, HISTORY, alert_rows, prepared_alerts, read_alerts
from skyloom.models import alert_stamp


def test_prepared_alerts_are_what_a_job_gives_the_networks():
    table = alerts(6)
    made = alert_stamp.inputs(alert_stamp.Config(), alert_rows(table))
    found = prepared_alerts(table)
    np.testing.assert_array_equal(found.image, made.arrays["image"])
    np.testing.assert_array_equal(found.alert, made.arrays["alert"])
    assert found.target.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.features.shape == (6, len(BASELINE) + len(HISTORY))
    assert found.features[:, BASELINE.index("positive")].tolist() == [0, 1, 1, 0, 1, 1]


def test_what_a_job_cannot_score_is_left_out_of_every_column():
    table = alerts(5)
    stamps = np.array(table["stamp_template"].to_pylist())
    stamps[2] = np.nan
    found = prepared_alerts(alerts(5, stamp_template=stamps.tolist()))
    assert found.candid.tolist() == [10_000, 10_001, 10_003, 10_004]
    assert found.objects == ("ZTF00000", "ZTF00001", "ZTF00003", "ZTF00004")
    assert len(found.image) == len(found.drb) == len(found.group) == 4


def test_a_table_is_read_from_its_folder_or_the_one_above(tmp_path):
    table = alerts(3)
    (tmp_path / "ztf_alerts").mkdir()
    pq.write_table(table, tmp_path / "ztf_alerts" / "alerts.parquet")
    for place in (tmp_path, tmp_path / "ztf_alerts"):
        assert prepared_alerts(read_alerts(place)).candid.tolist() == table["candid"].to_pylist()


def test_no_table_or_one_without_stamps_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="SKYLOOM_DATA"):
        read_alerts(tmp_path)
    pq.write_table(alerts(3).drop_columns(["stamp_science", "tns"]), tmp_path / "alerts.parquet")
    with pytest.raises(DataError, match="lacks tns, stamp_science"):
        read_alerts(tmp_path)


def test_a_group_left_out_takes_its_objects_with_it_wherever_else_they_are():
    table = alerts(4, objectId=["a", "a", "b", "c"], source=["kowalski", "other", "other", "other"])
    assert of_group(prepared_alerts(table), "kowalski").tolist() == [True, True, False, False]


def test_calibration_and_sets_of_a_fold_do_not_depend_on_its_labels():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(0, 3, (100, 3)), rng.integers(0, 3, 100)
    fold = np.arange(100) % 5
    other = np.where(fold == 2, (target + 1) % 3, target)
    for mine, changed in zip(cross_fitted(logits, target, fold), cross_fitted(logits, other, fold), strict=True):
        assert np.array_equal(mine[fold == 2], changed[fold == 2])
    assert np.array_equal(prior(target, fold)[fold == 2], prior(other, fold)[fold == 2])


def test_sets_of_other_folds_hold_the_class_about_as_often_as_they_promise():
    rng = np.random.default_rng(1)
    target = rng.integers(0, 3, 3000)
    logits = rng.normal(0, 1, (3000, 3)) + 1.5 * np.eye(3)[target]
    _, inside = cross_fitted(logits, target, np.arange(3000) % 5)
    assert inside[np.arange(3000), target].mean() == pytest.approx(0.9, abs=0.02)


def test_each_row_gets_the_word_of_the_network_of_its_own_fold():
    made = np.arange(4 * 5 * 3).reshape(4, 5, 3)
    fold = np.array([0, 4, 2, 2])
    assert out_of_fold(made, fold).tolist() == [made[i, k].tolist() for i, k in enumerate(fold)]
