"""An estimator's networks are found wherever they lie, and are those of the card or refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from skyloom.errors import DataError, ErrorKind
from skyloom.models import gamornet
from skyloom.models.architecture import architecture_of, build_checked, check_architecture, networks_of
from skyloom.models.card import Card
from skyloom.models.weights import load_weights
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import Network, architecture_digest, load_state, state_arrays

CARD = Card(
    name="toy", variant="one", title="", question="predict", source="", intended_use="", limits="", licence="",
    command="make toy", evaluate="",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    networks: Any
    other: Any = 3


def convolution(stride=1, slope=0.1):
    return nn.Sequential(nn.Conv2d(1, 2, 3, stride=stride), nn.LeakyReLU(slope))


class Toy:
    """A system of one network, whose stride is not in its arrays."""

    def __init__(self, stride):
        self.stride = stride

    def build(self, config, weights):
        module = convolution(self.stride)
        if weights is not None:
            load_state(module, weights.arrays)
        return Network(module)


def test_networks_are_found_in_dataclasses_lists_and_mappings():
    a, b, c = (Network(convolution()) for _ in range(3))
    held = Holder(networks=(a, b), other={"deep": [Holder(c)], "text": "none"})
    assert networks_of(held) == {"networks.0": a, "networks.1": b, "other.deep.0.networks": c}
    assert networks_of(a) == {"net": a}
    assert networks_of(Holder(None)) == {}


def test_the_digest_tells_networks_of_equal_arrays_apart():
    plain = architecture_digest(convolution())
    assert architecture_digest(convolution()) == plain
    others = (convolution(stride=2), convolution(slope=0.2), nn.Sequential(convolution()[0], nn.ReLU()))
    assert len({plain, *map(architecture_digest, others)}) == 4


def test_what_is_trained_does_not_change_the_digest():
    module = convolution()
    before = architecture_digest(module)
    with torch.no_grad():
        module[0].weight += 1.0
    module.requires_grad_(False)
    module.eval()
    assert architecture_digest(module) == before


def test_weights_whose_architecture_is_another_are_refused_although_every_array_fits():
    weights = Weights(state_arrays(convolution()), {}, "")
    card = dataclasses.replace(CARD, architecture=architecture_of(Toy(1).build(None, weights)))
    assert isinstance(build_checked(Toy(1), None, (card, weights)), Network)
    with pytest.raises(DataError, match=r"another architecture.*net differ.*make toy") as caught:
        build_checked(Toy(2), None, (card, weights))
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


def test_a_network_more_or_less_is_another_architecture():
    one, two = Holder((Network(convolution()),)), Holder((Network(convolution()), Network(convolution())))
    card = dataclasses.replace(CARD, architecture=architecture_of(one))
    check_architecture(card, one)
    with pytest.raises(DataError, match=r"networks\.1 differ"):
        check_architecture(card, two)
    with pytest.raises(DataError, match=r"networks\.0 differ"):
        check_architecture(card, Holder(None))


def test_a_card_that_pins_nothing_lets_its_networks_pass():
    check_architecture(CARD, Network(convolution()))
    assert isinstance(build_checked(Toy(2), None, None), Network)


def test_the_shipped_networks_are_those_of_their_card():
    card, weights = load_weights(gamornet.NAME)
    estimator = build_checked(gamornet, gamornet.Config(), (card, weights))
    assert dict(card.architecture) == architecture_of(estimator)
    assert set(card.architecture) == {f"networks.{k}" for k in range(gamornet.MEMBERS)}
