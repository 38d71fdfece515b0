"""The shipped networks: what they do not see, and weights that are refused."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.models import radio_galaxy
from skyloom.models.weights import SHIPPED, load_weights, read_bundle, variants
from skyloom.nn.dihedral import ORDERS, transform
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import Network
from skyloom.runtime.scoring import score
from skyloom.runtime.tensors import tensor_column
from two_lobes import two_lobes

FORMS = ("equivariant", "plain")
IMAGES = two_lobes(6, seed=4)[0].astype(np.float32)[:, None]
NUMBERS = ("fr_p1", "fr_p2", "fr_p1_raw", "fr_p2_raw", "fr_p_sd", "fr_p_sd_rot", "fr_entropy", "fr_ood")
SYMMETRIES = ORDERS[-1]


@pytest.fixture(scope="module")
def built():
    return {
        form: radio_galaxy.build(radio_galaxy.Config(form=form), load_weights("radio-galaxy", form)[1])
        for form in FORMS
    }


def scored(estimator, form, images=IMAGES, **how):
    rows = pa.RecordBatch.from_arrays([tensor_column(np.ascontiguousarray(images))], names=["cutout"])
    out = score(radio_galaxy, estimator, radio_galaxy.Config(form=form), rows, layer="fr", batch_rows=64, **how)[0]
    return {name: out[name].to_numpy(zero_copy_only=False) for name in out.schema.names}


def moved(images, element):
    import torch

    return transform(torch.from_numpy(images), element).numpy()


def test_both_forms_are_shipped_and_the_equivariant_one_comes_first():
    assert variants("radio-galaxy") == FORMS


def test_no_column_of_the_equivariant_form_depends_on_how_the_sky_is_turned(built):
    here = scored(built["equivariant"], "equivariant")
    for element in range(1, SYMMETRIES):
        there = scored(built["equivariant"], "equivariant", moved(IMAGES, element))
        for name in set(NUMBERS) - {"fr_ood"}:
            assert_allclose(there[name], here[name], atol=1e-5, err_msg=name)
        # An empirical p-value moves in steps of its reference.
        assert_allclose(there["fr_ood"], here["fr_ood"], atol=0.02)
        assert (there["fr_class"] == here["fr_class"]).all()
        assert (there["fr_set"] == here["fr_set"]).all()


def test_the_plain_twin_sees_it(built):
    here, there = (scored(built["plain"], "plain", images)["fr_p2_raw"] for images in (IMAGES, moved(IMAGES, 1)))
    assert np.abs(there - here).max() > 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_outside_the_circle_has_no_influence(built, form):
    offset = np.arange(150) - 74.5
    corner = np.hypot(offset[:, None], offset[None]) > 78.0
    assert corner.sum() > 2000
    bright = np.where(corner, np.float32(200.0), IMAGES)
    for name, values in scored(built[form], form, bright).items():
        if name in NUMBERS and name != "fr_ood":
            assert_allclose(values, scored(built[form], form)[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("form", FORMS)
def test_members_that_differ_show_in_the_spread_and_probabilities_add_to_one(built, form):
    out = scored(built[form], form)
    assert_allclose(out["fr_p1"] + out["fr_p2"], 1.0, rtol=1e-6)
    assert (out["fr_p_sd"] > 0).all()
    assert (out["fr_flag"] == 0).all()
    assert ((out["fr_ood"] > 0) & (out["fr_ood"] <= 1)).all()


@pytest.mark.parametrize("form", FORMS)
def test_core_bright_sources_are_called_fri_more_than_edge_bright_ones(built, form):
    images, label = two_lobes(24, seed=9)
    p2 = scored(built[form], form, images[:, None].astype(np.float32))["fr_p2"]
    assert p2[label == 1].mean() > p2[label == 0].mean() + 0.2


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_the_twin_are_refused_with_the_setting_that_takes_them(form):
    other = FORMS[1 - FORMS.index(form)]
    with pytest.raises(DataError, match=f"set form = '{other}'") as caught:
        radio_galaxy.build(radio_galaxy.Config(form=form), load_weights("radio-galaxy", other)[1])
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


@pytest.mark.parametrize("lost", ["temperature", "conformal", "net.members.4.head.bias", "ood.whiten"])
def test_weights_with_a_part_missing_are_refused(lost):
    arrays = dict(load_weights("radio-galaxy", "plain")[1].arrays)
    del arrays[lost]
    with pytest.raises(DataError) as caught:
        radio_galaxy.build(radio_galaxy.Config(form="plain"), Weights(arrays, {}, ""))
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


def test_a_member_of_another_shape_is_refused():
    arrays = dict(load_weights("radio-galaxy", "plain")[1].arrays)
    arrays["net.members.0.hidden.weight"] = arrays["net.members.0.hidden.weight"][:, :-1]
    with pytest.raises(DataError, match=r"members\.0\.hidden\.weight"):
        radio_galaxy.build(radio_galaxy.Config(form="plain"), Weights(arrays, {}, ""))


def test_a_flipped_byte_of_the_shipped_weights_is_found(tmp_path):
    folder = shutil.copytree(SHIPPED / "radio-galaxy" / "plain", tmp_path / "plain")
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(DataError, match="not the file of its card") as caught:
        read_bundle(folder)
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


def test_without_weights_the_way_to_make_them_is_said():
    with pytest.raises(SpecError, match="skyloom model train radio-galaxy"):
        radio_galaxy.build(radio_galaxy.Config(), None)
    with pytest.raises(SpecError, match="equivariant or plain"):
        radio_galaxy.Config(form="round")


def test_the_networks_are_float32_and_no_bundle_is_large():
    for form in FORMS:
        card, weights = load_weights("radio-galaxy", form)
        assert {a.dtype for name, a in weights.arrays.items() if name.startswith("net.")} == {np.dtype("float32")}
        assert sum(a.nbytes for a in weights.arrays.values()) < 7.5e6
        assert card.training["form"] == form


def test_an_estimator_holds_one_network_of_all_members(built):
    for form in FORMS:
        assert isinstance(built[form].network, Network)
        found = built[form].network(image=IMAGES / IMAGES.max())
        assert found["logits"].shape == (6, {"equivariant": 2, "plain": 8}[form], radio_galaxy.MEMBERS, 2)
