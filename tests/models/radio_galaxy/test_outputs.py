"""Columns are probabilities, spreads vanish where nothing differs, and rows stand alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.columns import schema_of
from skyloom.models.radio_galaxy.outputs import columns_of, mean_logits, writes_of
from skyloom.training.novelty import fit_novelty

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 2, 3, 2)).astype(np.float32)
FEATURES = RNG.normal(size=(200, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def novelty():
    train = np.arange(200) < 120
    return fit_novelty(FEATURES, np.arange(200) % 2, np.arange(4), train, ~train)


def made(logits, novelty, temperature=1.0, conformal=0.3):
    features = FEATURES[: len(logits)]
    return columns_of(logits, features, temperature=temperature, conformal=conformal, novelty=novelty)


def test_every_declared_column_comes_in_its_type(novelty):
    out = made(LOGITS, novelty)
    assert list(out) == [column.name for column in writes_of()]
    for field in schema_of(writes_of()):
        assert out[field.name].shape == (6,)
        assert out[field.name].dtype.kind == "U" or out[field.name].dtype == field.type.to_pandas_dtype()
    assert all(column.description and column.ucd for column in writes_of())


def test_probabilities_add_to_one_and_the_class_is_the_larger(novelty):
    out = made(LOGITS, novelty, 2.0)
    for end in ("", "_raw"):
        assert_allclose(out[f"fr_p1{end}"] + out[f"fr_p2{end}"], 1.0, rtol=1e-6)
    assert_array_equal(out["fr_class"] == "FRII", out["fr_p2"] > out["fr_p1"])


def test_without_calibration_both_probabilities_are_the_same(novelty):
    out = made(LOGITS, novelty)
    assert_array_equal(out["fr_p2"], out["fr_p2_raw"])


def test_a_higher_temperature_is_less_sure(novelty):
    assert (made(LOGITS, novelty, 5.0)["fr_entropy"] > made(LOGITS, novelty)["fr_entropy"]).all()


def test_the_set_has_the_class_and_all_that_reach_the_threshold(novelty):
    out = made(LOGITS, novelty, conformal=0.3)
    for k in range(6):
        names = set(out["fr_set"][k].split("|"))
        reach = {name for name, p in (("FRI", out["fr_p1"][k]), ("FRII", out["fr_p2"][k])) if p >= 0.3}
        assert names == reach | {out["fr_class"][k]}
    assert (made(LOGITS, novelty, conformal=0.0)["fr_set"] == "FRI|FRII").all()


def test_members_that_agree_and_orientations_that_agree_have_no_spread(novelty):
    same_members = np.repeat(LOGITS[:, :, :1], 3, axis=2)
    same_angles = np.repeat(LOGITS[:, :1], 2, axis=1)
    assert_allclose(made(same_members, novelty)["fr_p_sd"], 0.0, atol=1e-7)
    assert_allclose(made(same_angles, novelty)["fr_p_sd_rot"], 0.0, atol=1e-7)
    assert (made(LOGITS, novelty)["fr_p_sd"] > 0).all()
    assert (made(LOGITS, novelty)["fr_p_sd_rot"] > 0).all()


def test_the_mean_is_over_members():
    assert_allclose(mean_logits(LOGITS), LOGITS.mean(axis=2), rtol=1e-5, atol=1e-6)


def test_a_row_has_the_same_bits_alone(novelty):
    whole = made(LOGITS, novelty)
    for k in range(6):
        alone = columns_of(LOGITS[k : k + 1], FEATURES[k : k + 1], temperature=1.0, conformal=0.3, novelty=novelty)
        for name, values in whole.items():
            assert_array_equal(alone[name][0], values[k])
