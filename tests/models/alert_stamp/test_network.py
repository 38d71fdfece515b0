"""The networks: no turn or mirror changes them, and one seed gives one network."""

from __future__ import annotations

import pytest
import torch

from alert_tables import stamps
from skyloom.errors import SpecError
from skyloom.models.alert_stamp.network import HIDDEN, StampEnsemble, build_network
from skyloom.models.alert_stamp.stamps import normalised
from skyloom.nn.dihedral import transform


@pytest.fixture(scope="module")
def seen():
    alert = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(normalised(stamps(6))[0]), alert


@pytest.mark.parametrize("n_context", [0, 3])
@pytest.mark.parametrize("element", range(8))
def test_no_turn_or_mirror_changes_the_output(seen, element, n_context):
    image, alert = seen
    net = build_network(n_context, seed=1).eval()
    with torch.inference_mode():
        plain, other = net(image, alert), net(transform(image, element), alert)
    for name in ("logits", "hidden"):
        torch.testing.assert_close(other[name], plain[name], atol=1e-5, rtol=0)


def test_a_network_in_training_sees_the_one_orientation_that_its_batch_comes_in(seen):
    image, alert = seen
    net = build_network(3, seed=1, dropout=0.0).train()
    with torch.inference_mode():
        plain, other = net(image, alert)["logits"], net(transform(image, 1), alert)["logits"]
    assert not torch.allclose(plain, other, atol=1e-5)


def test_a_network_of_stamps_alone_does_not_see_the_neighbour(seen):
    image, alert = seen
    nets = {n_context: build_network(n_context, seed=1).eval() for n_context in (0, 3)}
    with torch.inference_mode():
        same = {
            n: torch.equal(net(image, alert)["logits"], net(image, -alert)["logits"]) for n, net in nets.items()
        }
    assert same == {0: True, 3: False}


def test_the_ensemble_says_what_its_members_say(seen):
    image, alert = seen
    members = [build_network(3, seed=k) for k in range(3)]
    whole = StampEnsemble(members).eval()
    with torch.inference_mode():
        made = whole(image, alert)
        assert made["logits"].shape == (6, 3, 3)
        assert made["hidden"].shape == (6, 3, HIDDEN)
        for k, member in enumerate(members):
            assert torch.equal(made["logits"][:, k], member(image, alert)["logits"])
    with pytest.raises(SpecError):
        StampEnsemble([])


def test_one_seed_gives_one_network_and_leaves_torchs_own_alone():
    before = torch.get_rng_state()
    a, b, other = (build_network(3, seed=s).state_dict() for s in (4, 4, 5))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], other[name]) for name in a)
    assert torch.equal(before, torch.get_rng_state())
