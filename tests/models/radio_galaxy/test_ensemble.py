"""An ensemble is its members; how an image is turned shows in the plain twin alone."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.models.radio_galaxy.ensemble import RadioEnsemble, angles_of
from skyloom.models.radio_galaxy.network import FEATURES, LeNetConfig, make_lenet

SMALL = {"image_px": 34, "cut_px": 34, "bin_px": 1, "fields": (2, 3)}
KINDS = ("equivariant", "plain")


def images(n=3):
    return torch.rand(n, 1, 34, 34, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def ensemble(kind, **settings):
    return RadioEnsemble.untrained(LeNetConfig(kind, **SMALL), 2, **settings).double().eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_angle_gives_what_each_member_gives_alone(kind):
    config = LeNetConfig(kind, **SMALL)
    with torch.inference_mode():
        out = ensemble(kind)(images())
        for k in range(2):
            alone = make_lenet(config, seed=k).double().eval()(images())
            assert_allclose(out["logits"][:, 0, k], alone["logits"], atol=1e-12)
            if k == 0:
                assert_allclose(out["features"], alone["features"], atol=1e-12)
    assert out["features"].shape == (3, FEATURES)


def test_the_equivariant_network_needs_a_quarter_of_the_angles():
    config = LeNetConfig("equivariant", **SMALL)
    members = [make_lenet(config, seed=k).double().eval() for k in range(2)]
    few = RadioEnsemble(members)
    all_angles = RadioEnsemble(members)
    all_angles.angles = angles_of(8, "plain")
    with torch.inference_mode():
        short, long = few(images())["logits"], all_angles(images())["logits"]
    assert short.shape[1] == 2
    assert long.shape[1] == 8
    assert_allclose(long.std(dim=1, correction=0), short.std(dim=1, correction=0), atol=1e-12)


def test_quarter_turns_spread_the_plain_twin_alone():
    with torch.inference_mode():
        plain = ensemble("plain", orientations=4)(images())["logits"]
    assert (plain.std(dim=1) > 1e-5).any()
    assert angles_of(4, "equivariant") == (0.0,)


def test_angles_that_share_no_quarter_turn_are_all_looked_at():
    assert angles_of(3, "equivariant") == angles_of(3, "plain") == (0.0, 120.0, 240.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_neighbours(kind):
    net = ensemble(kind)
    with torch.inference_mode():
        whole = net(images())["logits"]
        for k in range(3):
            assert_allclose(net(images()[k : k + 1])["logits"][0], whole[k], atol=1e-12)


def test_no_members_and_members_of_two_shapes_are_refused():
    with pytest.raises(SpecError, match="one or more"):
        RadioEnsemble([])
    with pytest.raises(SpecError, match="one shape"):
        RadioEnsemble([make_lenet(LeNetConfig(kind, **SMALL)) for kind in KINDS])
    with pytest.raises(SpecError, match="at least 1"):
        angles_of(0, "plain")
