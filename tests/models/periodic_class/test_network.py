"""Networks on folded light curves: invariant exactly where they say so."""

from __future__ import annotations

import pytest
import torch

from skyloom.errors import SpecError
from skyloom.models.periodic_class.network import HIDDEN, NetworkConfig, PhaseEnsemble, make_network


def network(architecture, **settings):
    config = NetworkConfig(channels=4, extras=3, classes=5, architecture=architecture, **settings)
    return make_network(config, seed=1).eval()


def changes(net, length, *, dtype=torch.float64):
    """Largest change of a logit by each cyclic shift but none, over the logits' own size."""
    net = net.to(dtype)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 4, length, generator=generator, dtype=dtype)
    extras = torch.randn(2, 3, generator=generator, dtype=dtype)
    with torch.no_grad():
        logits = net(x, extras)["logits"]
        scale = logits.abs().max()
        return [
            float((net(x.roll(k, -1), extras)["logits"] - logits).abs().max() / scale) for k in range(1, length)
        ]


@pytest.mark.parametrize("length", [200, 64, 25, 7])
@pytest.mark.parametrize("architecture", ["itcn", "iresnet-exact"])
def test_invariant_networks_give_the_same_logits_at_every_phase_origin(architecture, length):
    net = network(architecture, depth=5)
    assert max(changes(net, length)) < 1e-12
    assert max(changes(net, length, dtype=torch.float32)) < 1e-5


@pytest.mark.parametrize(
    "length, depth, period", [(200, 4, 8), (200, 5, None), (256, 5, 16), (64, 3, 4), (50, 2, 2), (25, 2, None)]
)
def test_the_plain_iresnet_is_invariant_to_shifts_by_a_power_of_two_that_divides_evenly_and_no_other(
    length, depth, period
):
    found = changes(network("iresnet", depth=depth, size=3, width=6, max_width=8), length)
    exact = [shift for shift, change in enumerate(found, 1) if change < 1e-12]
    assert exact == ([] if period is None else list(range(period, length, period)))
    assert min(change for shift, change in enumerate(found, 1) if shift not in exact) > 1e-8


@pytest.mark.parametrize("architecture", ["tcn", "resnet", "gru"])
def test_the_twins_are_invariant_to_no_shift(architecture):
    depth = 2 if architecture == "gru" else 4
    assert min(changes(network(architecture, depth=depth), 64)) > 1e-8


@pytest.mark.parametrize("architecture, twin", [("itcn", "tcn"), ("iresnet", "resnet")])
def test_a_network_and_its_twin_have_the_same_parameters(architecture, twin):
    one, other = network(architecture).state_dict(), network(twin).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_tcn_sees_as_far_as_its_config_says():
    net = network("tcn", size=3, depth=3)
    length = 40
    config = net.config
    assert config.receptive_bins == 1 + 2 * 2 * 7
    x = torch.randn(1, 4, length, requires_grad=True)
    net(x, torch.zeros(1, 3))["logits"].sum().backward()
    seen = (x.grad.abs().sum(dim=(0, 1)) > 0).nonzero().ravel()
    assert length - int(seen.min()) <= config.receptive_bins
    assert NetworkConfig(4, 3, 5, size=5, depth=7).receptive_bins == 1017


@pytest.mark.parametrize("architecture", ["itcn", "tcn", "iresnet", "iresnet-exact", "resnet", "gru"])
def test_outputs_have_their_shapes_and_the_extras_count(architecture):
    net = network(architecture, depth=2)
    x, extras = torch.randn(3, 4, 64), torch.randn(3, 3)
    out = net(x, extras)
    assert (out["logits"].shape, out["features"].shape) == ((3, 5), (3, HIDDEN))
    assert not torch.allclose(net(x, extras + 1.0)["logits"], out["logits"])


def test_an_ensemble_stacks_its_members():
    config = NetworkConfig(channels=4, extras=3, classes=5, depth=2)
    ensemble = PhaseEnsemble(config, 3).eval()
    x, extras = torch.randn(2, 4, 32), torch.randn(2, 3)
    out = ensemble(x, extras)
    assert out["logits"].shape == (2, 3, 5)
    for k in range(3):
        alone = make_network(config, seed=k).eval()(x, extras)
        torch.testing.assert_close(out["logits"][:, k], alone["logits"])


def test_the_same_seed_gives_the_same_network_and_leaves_torchs_own_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = network("itcn").state_dict(), network("itcn").state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.rand(1), expected)


def test_nonsense_is_refused():
    with pytest.raises(SpecError, match="architecture"):
        NetworkConfig(4, 3, 5, architecture="lstm")
    with pytest.raises(SpecError, match="positive"):
        NetworkConfig(4, 3, 5, depth=0)
    with pytest.raises(SpecError, match="at least one member"):
        PhaseEnsemble(NetworkConfig(4, 3, 5), 0)
