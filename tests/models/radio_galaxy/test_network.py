"""The equivariant LeNet does not see how an image is turned; its plain twin does."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.models.radio_galaxy.network import FEATURES, LeNetConfig, circular_mask, make_lenet
from skyloom.nn.dihedral import transform

SMALL = {"image_px": 34, "cut_px": 34, "bin_px": 1, "fields": (3, 4)}
CUT = {"image_px": 82, "cut_px": 68, "bin_px": 2, "fields": (2, 3)}


def images(side, dtype=torch.float64):
    return torch.rand(3, 1, side, side, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [SMALL, CUT], ids=["whole", "cut and binned"])
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_equivariant_network_is_invariant_under_all_eight_symmetries(shape, dtype, atol):
    net = make_lenet(LeNetConfig(**shape)).to(dtype).eval()
    batch = images(shape["image_px"], dtype)
    with torch.inference_mode():
        here = net(batch)
        for g in range(8):
            there = net(transform(batch, g))
            for name in here:
                assert_allclose(there[name], here[name], atol=atol, rtol=0)
    assert (here["logits"][0] - here["logits"][1]).abs().max() > 1e-4


def test_the_plain_twin_is_not_invariant():
    net = make_lenet(LeNetConfig("plain", **SMALL)).double().eval()
    batch = images(34)
    with torch.inference_mode():
        assert (net(transform(batch, 1))["logits"] - net(batch)["logits"]).abs().max() > 1e-4


def test_invariance_holds_with_random_biases_as_after_training():
    net = make_lenet(LeNetConfig(**SMALL)).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = images(34)
    with torch.inference_mode():
        assert_allclose(net(transform(batch, 6))["logits"], net(batch)["logits"], atol=1e-12)


def test_the_twins_have_the_same_number_of_weights_within_five_percent():
    sizes = [
        sum(p.numel() for p in make_lenet(LeNetConfig(kind)).parameters()) for kind in ("equivariant", "plain")
    ]
    assert abs(sizes[0] / sizes[1] - 1) < 0.05


@pytest.mark.parametrize("kind", ["equivariant", "plain"])
def test_shapes_seed_and_mode(kind):
    config = LeNetConfig(kind, **SMALL)
    net, twin, other = make_lenet(config), make_lenet(config), make_lenet(config, seed=1)
    batch = images(34, torch.float32)
    with torch.inference_mode():
        out = net.eval()(batch)
        assert out["logits"].shape == (3, 2)
        assert out["features"].shape == (3, FEATURES)
        assert torch.equal(out["logits"], twin.eval()(batch)["logits"])
        assert not torch.equal(out["logits"], other.eval()(batch)["logits"])


def test_corners_are_not_seen():
    net = make_lenet(LeNetConfig(**SMALL)).eval()
    batch = images(34, torch.float32)
    changed = batch.clone()
    changed[..., :3, :3] += 5.0
    with torch.inference_mode():
        assert_allclose(net(changed)["logits"], net(batch)["logits"], atol=1e-6)


def test_the_mask_is_symmetric_one_inside_and_zero_in_the_corners():
    mask = circular_mask(50)
    for g in range(8):
        assert torch.equal(transform(mask, g), mask)
    assert mask[25, 25] == 1.0
    assert mask[25, 2] == 1.0
    assert mask[0, 0] < 1e-6


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"cut_px": 75, "image_px": 75, "bin_px": 1}, "pool evenly"),
        ({"cut_px": 64, "image_px": 64, "bin_px": 1}, "pool evenly"),
        ({"cut_px": 131}, "centred"),
        ({"bin_px": 5}, "does not divide"),
        ({"dropout": 1.0}, "dropout"),
        ({"architecture": "round"}, "equivariant or plain"),
    ],
)
def test_a_shape_that_breaks_the_symmetry_is_refused(wrong, words):
    with pytest.raises(SpecError, match=words):
        LeNetConfig(**wrong)


def test_images_of_another_size_are_refused():
    with pytest.raises(SpecError, match="reads images"):
        make_lenet(LeNetConfig(**SMALL))(images(50))
