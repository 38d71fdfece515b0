import numpy as np
import pyarrow as pa
import pytest
import torch

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.evaluation.gamornet_galaxies import Sample
from skyloom.models import gamornet
from skyloom.models.gamornet.images import stretch
from skyloom.models.gamornet.network import FORMS, GaMorNet, build_network, copy_layers, freeze
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import load_state, state_arrays
from skyloom.runtime.scoring import score
from skyloom.runtime.tensors import tensor_column
from skyloom.training.gamornet_fit import fit_stage
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty

CONFIG = gamornet.Config()
MASK = {flag.name: flag.mask for flag in gamornet.FLAGS}


def some_images(n, seed=0):
    """Round exponential galaxies of several sizes on noise, in no unit in particular."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 31.5
    radius = rng.uniform(1.5, 6.0, n)[:, None, None]
    return (3e3 * np.exp(-np.hypot(x, y) / radius) + rng.normal(0, 20, (n, 64, 64))).astype(np.float32)[:, None]


def rows_of(images, *, valid=None, coverage=None):
    given = np.ones(len(images), dtype=np.float32) if coverage is None else coverage
    return pa.RecordBatch.from_arrays(
        [tensor_column(images, valid), pa.array(given)], names=["cutout", "cutout_coverage"]
    )


@pytest.fixture(scope="module")
def estimator():
    rng = np.random.default_rng(0)
    arrays = {}
    for k in range(gamornet.MEMBERS):
        arrays |= state_arrays(build_network(FORMS["small"], seed=k), f"net.{k}.")
    hidden = rng.normal(0, 0.3, (300, 128)).astype(np.float32)
    first = np.arange(300) < 200
    novelty = fit_novelty(hidden, rng.integers(0, 3, 300), np.arange(128), first, ~first)
    arrays |= novelty.to_arrays() | {
        "calibration": np.array([1.5, 0.1, 0.0, -0.1]),
        "thresholds": np.array([0.8, 0.8]),
        "conformal": np.array([0.2]),
    }
    return gamornet.build(CONFIG, Weights(arrays, {}, ""))


def scored(estimator, rows, batch_rows=64):
    return score(gamornet, estimator, CONFIG, rows, layer="gm", batch_rows=batch_rows)[0]


@pytest.mark.parametrize(("form", "sides"), [("sdss", (167, 42, 21, 11, 6)), ("candels", (83, 21, 11, 6, 3))])
def test_feature_maps_have_the_published_sides(form, sides):
    with torch.device("meta"):
        net = GaMorNet(FORMS[form])
        assert net.sides() == sides
        out = net(torch.empty(2, 1, sides[0], sides[0]))
    assert out["logits"].shape == (2, 3)
    assert out["hidden"].shape == (2, 4096)


@pytest.mark.parametrize(("form", "millions"), [("sdss", 58.27), ("candels", 29.96)])
def test_the_published_forms_have_the_published_number_of_parameters(form, millions):
    with torch.device("meta"):
        net = GaMorNet(FORMS[form])
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_one_seed_gives_one_network_and_leaves_torchs_own_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = (state_arrays(build_network(FORMS["small"], seed=7), "") for _ in range(2))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert torch.equal(before, torch.get_rng_state())


def test_frozen_layers_are_bit_identical_after_a_transfer_epoch_and_the_others_are_not(tmp_path):
    base, net = build_network(FORMS["small"], seed=1), build_network(FORMS["small"], seed=2)
    copy_layers(base, net, (1, 2, 3, 4, 5, 6))
    freeze(net, (1, 2, 3))
    raw = some_images(80)[:, 0]
    part = Sample(stretch(raw)[0][:, None], np.arange(80) % 3, raw, pa.table({}))
    request = TrainRequest(tmp_path / "toy", "toy")
    fit_stage(net, part, request=request, stage="transfer", epochs=1, rate=1e-3, seed=0)
    for number in range(1, 9):
        same = torch.equal(net.layer(number).weight, base.layer(number).weight)
        assert same == (number in {1, 2, 3})


def test_probabilities_add_to_one_and_the_class_follows_from_them(estimator):
    out = scored(estimator, rows_of(some_images(20))).to_pandas()
    for names in (
        ["gm_p_disk", "gm_p_indet", "gm_p_bulge"],
        ["gm_p_disk_raw", "gm_p_indet_raw", "gm_p_bulge_raw"],
    ):
        np.testing.assert_allclose(out[names].sum(axis=1), 1.0, atol=1e-6)
    p = out[["gm_p_disk", "gm_p_indet", "gm_p_bulge"]].to_numpy()
    assert [gamornet.CLASSES[k] for k in gamornet.classify(p, 0.8, 0.8)] == out["gm_class"].tolist()
    best = [gamornet.CLASSES[k] for k in p.argmax(axis=1)]
    assert all(word in each.split("|") for word, each in zip(best, out["gm_set"], strict=True))
    assert out["gm_ood"].between(0, 1).all()
    assert (out["gm_flag"] == 0).all()


def test_the_published_rules_are_two_pairs_of_thresholds():
    p = np.array([[0.81, 0.1, 0.09], [0.79, 0.2, 0.01], [0.1, 0.1, 0.8], [0.37, 0.33, 0.3], [0.4, 0.05, 0.55]])
    assert gamornet.classify(p, 0.8, 0.8).tolist() == [0, 1, 2, 1, 1]
    assert gamornet.classify(p, 0.36, 0.55).tolist() == [0, 0, 2, 0, 2]


def test_a_higher_threshold_never_adds_to_a_class():
    p = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    steps = np.linspace(0, 1, 21)
    disks = [int((gamornet.classify(p, t, 0.8) == 0).sum()) for t in steps]
    bulges = [int((gamornet.classify(p, 0.8, t) == 2).sum()) for t in steps]
    for counts in (disks, bulges):
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > counts[-1]


def test_a_row_has_the_same_bits_alone_among_others_and_in_any_order(estimator):
    rows = rows_of(some_images(70))
    whole = scored(estimator, rows)
    for size in (1, 7, 64, 100):
        assert scored(estimator, rows, size).equals(whole)
    back = pa.array(np.arange(70)[::-1])
    assert scored(estimator, rows.take(back)).equals(whole.take(back))


def test_the_unit_of_the_image_has_no_influence():
    images = some_images(5)[:, 0]
    np.testing.assert_allclose(stretch(images * 1000)[0], stretch(images)[0], atol=1e-5)
    np.testing.assert_allclose(stretch(images + 500)[0], stretch(images)[0], atol=1e-4)


def test_what_cannot_be_scored_is_null_and_says_why(estimator):
    images = some_images(7)
    images[1, 0, :20] = np.nan
    images[2, 0, 32, 32] = np.inf
    images[3] = np.random.default_rng(1).normal(0, 20, (1, 64, 64))
    images[4, 0, :2] = np.nan
    images[5] = np.roll(images[5], 9, axis=2)
    valid = np.array([False, True, True, True, True, True, True])
    coverage = np.array([0, 1, 1, 1, 1, 1, 0.5], dtype=np.float32)
    out = scored(estimator, rows_of(images, valid=valid, coverage=coverage))
    flag = out["gm_flag"].to_pylist()
    expected = ("NO_CUTOUT", "LOW_COVERAGE", "CENTRE_MISSING", "FAINT", "PATCHED", "OFF_CENTRE", "LOW_COVERAGE")
    for got, name in zip(flag, expected, strict=True):
        assert got & MASK[name]
    assert [value is None for value in out["gm_p_disk"].to_pylist()] == [
        True,
        True,
        True,
        True,
        False,
        False,
        True,
    ]


def test_weights_of_another_form_or_with_a_part_missing_are_refused():
    net = build_network(FORMS["small"], seed=0)
    arrays = state_arrays(net, "net.0.")
    for broken in (
        {name: a for name, a in arrays.items() if not name.endswith("dense.2.bias")},
        arrays | {"net.0.extra": np.zeros(1)},
        arrays | {"net.0.dense.2.bias": np.zeros(4)},
    ):
        with pytest.raises(DataError) as caught:
            load_state(net, broken, "net.0.")
        assert caught.value.kind == ErrorKind.BAD_WEIGHTS
    with pytest.raises(SpecError):
        gamornet.build(CONFIG, None)


def test_settings_that_make_no_sense_are_refused():
    for settings in ({"form": "huge"}, {"disk_threshold": 1.2}, {"min_snr": float("nan")}, {"min_coverage": -0.1}):
        with pytest.raises(SpecError):
            gamornet.Config(**settings)


def test_no_rows_and_rows_of_nulls_are_taken(estimator):
    rows = rows_of(some_images(3))
    assert scored(estimator, rows.slice(0, 0)).num_rows == 0
    nulls = pa.RecordBatch.from_arrays([pa.nulls(3, field.type) for field in rows.schema], schema=rows.schema)
    assert scored(estimator, nulls)["gm_flag"].to_pylist() == [MASK["NO_CUTOUT"]] * 3
