"""Radio galaxies are split by object, the classes alike, and no object is in two parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.errors import DataError, NotFoundError
from skyloom.evaluation.radio import RADIO_FRACTIONS, RadioSet, object_names, radio_parts, read_radio


@pytest.fixture
def made():
    n = 200
    target = (np.arange(n) % 5 < 2).astype(np.int64)
    return RadioSet(
        np.zeros((n, 1, 2, 2), np.float32), target, np.array([f"s{k}" for k in range(n)]), np.full(n, "b")
    )


def test_the_parts_have_their_share_of_each_class(made):
    parts = radio_parts(made)
    for label in (0, 1):
        of = made.target == label
        for part, share in zip((parts.train, parts.calibration, parts.held_out), RADIO_FRACTIONS, strict=True):
            assert abs((part & of).sum() - share * of.sum()) <= 1


def test_every_row_is_in_one_part_wherever_it_stands(made):
    parts = radio_parts(made)
    assert (parts.train.astype(int) + parts.calibration + parts.held_out == 1).all()
    back = RadioSet(made.images[::-1], made.target[::-1], made.objects[::-1], made.batch[::-1])
    assert np.array_equal(radio_parts(back).train, parts.train[::-1])
    assert not np.array_equal(radio_parts(made, seed=1).train, parts.train)


def test_images_of_one_object_stay_together_even_under_two_labels(made):
    pairs = dataclasses.replace(made, objects=np.array([f"s{k // 2}" for k in range(200)]))
    held_out = radio_parts(pairs).held_out
    assert np.array_equal(held_out[::2], held_out[1::2])


def test_names_that_differ_by_survey_or_show_one_image_are_one_object():
    images = np.zeros((4, 1, 2, 2), np.uint8)
    images[0], images[1], images[2] = 1, 2, 1
    names = object_names(["42_FRICAT_FR1_.png", "7_example.png", "99a.png", "5_FRICAT_FR1_example.png"], images)
    assert names.tolist() == ["42_FRICAT_FR1", "7", "42_FRICAT_FR1", "5_FRICAT_FR1"]


def test_blank_images_do_not_make_one_object():
    names = object_names(["a.png", "b.png"], np.zeros((2, 1, 2, 2), np.uint8))
    assert names.tolist() == ["a", "b"]


def test_missing_and_odd_files_are_explained(tmp_path):
    with pytest.raises(NotFoundError, match="fmporter/MiraBest"):
        read_radio("mirabest", tmp_path)
    file = tmp_path / "mirabest" / "mirabest_batches_792_150x150.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"filename": ["a.png"], "label": [0]}), file)
    with pytest.raises(DataError, match="batch, image_u8"):
        read_radio("mirabest", tmp_path)
    short = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4, np.uint8)), 4)
    pq.write_table(pa.table({"filename": ["a.png"], "batch": ["b"], "label": [0], "image_u8": short}), file)
    with pytest.raises(DataError, match="150 x 150"):
        read_radio("mirabest", tmp_path)


@pytest.mark.survey_data
def test_the_published_sets_have_both_classes_in_every_part(skyloom_data):
    for name, rows in (("mirabest", 704), ("frdeep-first", 600), ("frdeep-nvss", 600)):
        data = read_radio(name, skyloom_data)
        parts = radio_parts(data)
        assert data.images.shape == (rows, 1, 150, 150)
        assert data.images.max() == 255.0
        for part in (parts.train, parts.calibration, parts.held_out):
            assert set(data.target[part]) == {0, 1}
            others = data.objects[~part]
            assert not set(data.objects[part].tolist()) & set(others.tolist())


@pytest.mark.survey_data
def test_mirabest_sources_do_not_share_sky(skyloom_data):
    names = read_radio("mirabest", skyloom_data).objects
    ra, dec = np.radians([[float(word) for word in name.split("_")[1:3]] for name in names.tolist()]).T
    at = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    apart = np.degrees(np.arccos(np.clip(at @ at.T, -1.0, 1.0))) * 3600.0
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 150 * 1.8
