"""From alerts to what the networks see: what cannot be seen is flagged, and units have no influence."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from alert_tables import stamps
from skyloom.errors import DataError, SpecError
from skyloom.models.alert_stamp.stamps import CUT_PX, FLAGS, Config, context, inputs_of, normalised
from skyloom.runtime.tensors import tensor_column

MASK = {flag.name: flag.mask for flag in FLAGS}


def rows_of(images, *, valid=None, sgscore=0.5, distance=1.0, drb=0.9):
    n = len(images)
    plain = {
        name: pa.array(np.broadcast_to(np.asarray(value, dtype=object), n).tolist(), pa.float64())
        for name, value in (("sgscore1", sgscore), ("distpsnr1", distance), ("drb", drb))
    }
    return pa.RecordBatch.from_arrays(
        [*plain.values(), tensor_column(images, valid), pa.array(np.ones(n, np.float32))],
        names=[*plain, "cutout", "cutout_coverage"],
    )


def flags_of(rows, **settings):
    return inputs_of(rows, Config(**settings)).flag.tolist()


def test_gain_and_level_of_a_stamp_have_no_influence():
    images = stamps(4)
    plain, _ = normalised(images)
    np.testing.assert_array_equal(normalised(images * 32.0)[0], plain)
    np.testing.assert_allclose(normalised(images + 500.0)[0], plain, atol=1e-5)
    assert plain.shape == (4, 3, CUT_PX, CUT_PX)


def test_a_brighter_neighbour_does_not_dim_the_detection():
    images = stamps(3)
    plain, _ = normalised(images)
    images[:, :, 3:6, 3:6] += 1e5
    crowded, _ = normalised(images)
    assert np.abs(crowded - plain)[:, :, 20:25, 20:25].max() < 0.02


def test_px_without_data_become_background_whatever_stands_there():
    images = stamps(4)
    plain = normalised(images)[0]
    for nothing in (np.nan, np.inf, -np.inf, -3.4e38):
        edged = images.copy()
        edged[:, :, :, :10] = nothing
        made, blank = normalised(edged)
        assert not blank.any()
        assert (made[:, :, :, 0] == 0).all()  # the cut begins 9 px from the edge
        np.testing.assert_allclose(made[:, :, :, 1:], plain[:, :, :, 1:], atol=0.05)


def test_alerts_at_a_detectors_edge_are_scored_and_say_so():
    images = stamps(3)
    images[1, :, :20] = np.nan
    images[2, 1, 0, 0] = -3.4e38
    made = inputs_of(rows_of(images), Config())
    assert made.flag.tolist() == [0, MASK["PATCHED"], MASK["PATCHED"]]
    assert made.scorable.all()
    assert np.isfinite(made.arrays["image"]).all()


def test_alerts_that_cannot_be_scored_say_why():
    images = stamps(6)
    images[1, 1] = np.nan
    images[2, 2, 40:] = images[2, 2, :22] = np.nan
    images[2, 2, 22:40, :20] = np.nan
    images[3, 0, 31, 33] = np.nan
    images[4, 1] = 7.0
    valid = np.arange(6) > 0
    made = inputs_of(rows_of(images, valid=valid), Config())
    names = ("NO_CUTOUT", "STAMP_MISSING", "LOW_COVERAGE", "CENTRE_MISSING", "BLANK")
    assert made.flag.tolist() == [*(MASK[name] for name in names), 0]
    assert made.scorable.tolist() == [False] * 5 + [True]
    assert len(made.arrays["image"]) == len(made.arrays["alert"]) == 1


def test_a_flag_that_nulls_stands_exactly_where_a_row_is_not_scored():
    nulls = sum(flag.mask for flag in FLAGS if flag.nulls)
    images = stamps(5)
    images[0, 0] = np.nan
    images[1, :, 31:33] = np.inf
    made = inputs_of(rows_of(images, valid=np.arange(5) != 3, drb=0.1), Config())
    assert (((made.flag & nulls) == 0) == made.scorable).all()


def test_caveats_are_flags_on_values_that_stand():
    images = stamps(4)
    rows = rows_of(
        images, sgscore=[0.5, None, -999.0, 0.5], distance=[1.0, 1.0, -999.0, 2.0], drb=[0.9, None, 0.7, 0.2]
    )
    made = inputs_of(rows, Config())
    assert made.flag.tolist() == [0, MASK["NO_NEIGHBOUR"], MASK["NO_NEIGHBOUR"], MASK["DOUBTFUL"]]
    assert made.scorable.all()
    assert flags_of(rows, min_drb=0.0)[3] == 0


def test_a_missing_neighbour_is_one_state_however_it_is_written():
    nan = float("nan")
    missing = context(np.array([-999.0, nan, 0.9, nan]), np.array([-999.0, nan, nan, 3.0]))
    assert (missing == missing[0]).all()
    assert missing[0, 2] == 1.0
    star, galaxy = context(np.array([1.0, 0.0]), np.array([0.0, 0.0]))
    assert star.tolist() == [1.0, 0.0, 0.0]
    assert galaxy.tolist() == [-1.0, 0.0, 0.0]


def test_no_rows_and_rows_of_nulls_are_taken():
    rows = rows_of(stamps(3))
    assert inputs_of(rows.slice(0, 0), Config()).arrays["image"].shape == (0, 3, CUT_PX, CUT_PX)
    nulls = pa.RecordBatch.from_arrays([pa.nulls(3, field.type) for field in rows.schema], schema=rows.schema)
    assert flags_of(nulls) == [MASK["NO_CUTOUT"]] * 3


def test_stamps_of_another_shape_and_settings_of_no_sense_are_refused():
    with pytest.raises(DataError, match="the model reads"):
        inputs_of(rows_of(stamps(2)[:, :, :31, :31]), Config())
    for settings in ({"min_coverage": 1.2}, {"min_drb": -0.1}, {"min_coverage": float("nan")}):
        with pytest.raises(SpecError):
            Config(**settings)
