"""Rows become images, or carry the reason why not; an image's unit and noise do not matter."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import DataError, SpecError
from skyloom.models.radio_galaxy.columns import FLAGS, SIDE_PX, Config, inputs_of, prepared, tensors_of
from skyloom.runtime.tensors import tensor_column

SIGMA = 5.0


def sources(n=3):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - (SIDE_PX - 1) / 2
    lobes = sum(np.exp(-((x - s) ** 2 + y**2) / 18.0) for s in (-20.0, 20.0))
    return (30.0 * lobes + rng.normal(size=(n, 1, SIDE_PX, SIDE_PX))).astype(np.float32)


def rows_of(values, valid=None, coverage=None):
    columns = {"cutout": tensor_column(values, valid)}
    if coverage is not None:
        columns["cutout_coverage"] = pa.array(coverage, type=pa.float32())
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def test_the_unit_of_the_image_does_not_matter():
    images = sources()
    here, _ = prepared(images, SIGMA)
    there, _ = prepared(images * np.float32(1e-3), SIGMA)
    assert_allclose(there, here, rtol=1e-5)


def test_noise_is_clipped_and_the_source_stays():
    scaled, blank = prepared(sources(), SIGMA)
    assert not blank.any()
    assert (scaled == 0).mean() > 0.95
    assert_allclose(scaled.max(axis=(1, 2, 3)), scaled.max(), rtol=1e-6)
    assert (scaled >= 0).all()


def test_an_image_that_was_clipped_before_is_only_scaled():
    once, _ = prepared(sources(), SIGMA)
    twice, _ = prepared(once, SIGMA)
    assert_allclose(twice, once, rtol=1e-6)


def test_noise_alone_is_blank():
    noise = np.random.default_rng(1).normal(size=(1, 1, SIDE_PX, SIDE_PX))
    for image in (noise.clip(-4, 4), np.zeros_like(noise), np.full_like(noise, np.nan), -np.ones_like(noise)):
        scaled, blank = prepared(image, SIGMA)
        assert blank.all()
        assert not scaled.any()


def test_every_reason_has_its_flag_and_the_other_rows_are_scored():
    values = sources(6)
    values[1, 0, 3, 3] = np.inf
    values[2, 0, :40] = np.nan
    values[3] = 0.0
    valid = np.array([False, True, True, True, True, True])
    made = inputs_of(rows_of(values, valid, [0.0, 1.0, 1.0, 1.0, 0.5, 1.0]), Config())
    names = [{flag.name for flag in FLAGS if bits & flag.mask} for bits in made.flag]
    assert names == [{"NO_CUTOUT"}, {"NON_FINITE"}, {"LOW_COVERAGE"}, {"BLANK_IMAGE"}, {"LOW_COVERAGE"}, set()]
    assert made.scorable.tolist() == [False] * 5 + [True]
    assert_allclose(made.arrays["image"], prepared(values[5:], SIGMA)[0])


def test_a_few_missing_pixels_count_as_empty_sky():
    values = sources(1)
    values[0, 0, :2] = np.nan
    made = inputs_of(rows_of(values), Config())
    assert made.scorable.all()
    assert not made.arrays["image"][0, 0, :2].any()
    assert np.isfinite(made.arrays["image"]).all()


def test_a_row_does_not_depend_on_its_neighbours():
    rows = rows_of(sources(4), coverage=[1.0] * 4)
    whole = inputs_of(rows, Config()).arrays["image"]
    for k in range(4):
        assert np.array_equal(inputs_of(rows.slice(k, 1), Config()).arrays["image"][0], whole[k])


def test_no_rows_give_no_images():
    made = inputs_of(rows_of(sources(1)).slice(0, 0), Config())
    assert made.arrays["image"].shape == (0, 1, SIDE_PX, SIDE_PX)


def test_rows_without_cutouts_are_refused():
    with pytest.raises(DataError, match=r"input\.tensors"):
        inputs_of(pa.RecordBatch.from_pydict({"ra": [1.0]}), Config())


def test_settings_out_of_range_are_refused():
    with pytest.raises(SpecError, match="min_coverage"):
        Config(min_coverage=0.0)
    with pytest.raises(SpecError, match="min_peak_sigma"):
        Config(min_peak_sigma=1.0)


def test_the_cutout_says_its_size_and_scale():
    (cutout,) = tensors_of()
    assert cutout.shape == (1, SIDE_PX, SIDE_PX)
    assert cutout.pixel_arcsec == 1.8
    assert cutout.description
