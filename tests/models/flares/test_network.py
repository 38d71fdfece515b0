"""The network slides: one pass over a light curve is what its windows give, one by one."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from skyloom.errors import SpecError
from skyloom.models.flares.curves import CHANNELS, HALF, WINDOW
from skyloom.models.flares.network import FlareEnsemble, NetworkConfig, make_network


@pytest.fixture
def net():
    return make_network(NetworkConfig(), seed=3).double().eval()


def test_sliding_gives_what_each_window_gives(net):
    curve = torch.randn(1, CHANNELS, 320, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    slid = net.slide(curve)[0]
    windows = torch.stack([curve[0, :, k : k + WINDOW] for k in range(320 - WINDOW + 1)])
    assert slid.shape == (320 - WINDOW + 1,)
    assert_close(slid, net(windows), rtol=0.0, atol=1e-12)


def test_a_logit_depends_on_a_hundred_cadences_before_and_ninety_nine_after_and_on_all_of_them(net):
    curve = torch.randn(
        1, CHANNELS, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True
    )
    i = 300
    net.slide(curve)[0, i - HALF].backward()
    moved = curve.grad[0].abs().sum(0).nonzero().ravel()
    assert moved.min() >= i - HALF
    assert moved.max() < i + HALF
    touched = torch.zeros(600, dtype=torch.bool)
    for seed in range(24):  # a pooling looks at the higher of two: other curves, other paths
        other = torch.randn(1, CHANNELS, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        other.requires_grad_()
        net.slide(other)[0, i - HALF].backward()
        touched |= other.grad[0].abs().sum(0) > 0
    assert touched[i - HALF : i + HALF].all()
    assert touched.sum() == WINDOW


def test_the_ensemble_holds_the_probabilities_of_its_members():
    ensemble = FlareEnsemble(NetworkConfig(widths=(4, 4, 4), hidden=2), 3).eval()
    curve = torch.randn(2, CHANNELS, 230)
    p = ensemble(curve)
    assert p.shape == (2, 3, 31)
    assert ((p > 0) & (p < 1)).all()
    for k, member in enumerate(ensemble.members):
        assert_close(p[:, k], torch.sigmoid(member.slide(curve)))


def test_ten_networks_have_the_parameters_that_the_page_says():
    assert sum(p.numel() for p in make_network(NetworkConfig()).parameters()) == 16_737


@pytest.mark.parametrize("settings", [{"channels": 0}, {"hidden": 0}, {"widths": (1, 2, 0)}, {"dropout": 1.0}])
def test_nonsense_is_refused(settings):
    with pytest.raises(SpecError):
        NetworkConfig(**settings)


def test_an_ensemble_without_members_is_refused():
    with pytest.raises(SpecError):
        FlareEnsemble(NetworkConfig(), 0)
