"""Turning by right angles moves pixels and nothing else; a batch turns every image its own way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.nn.dihedral import transform
from skyloom.training.radio_augmentation import turn_at_random, turned


def images(n=5, side=9):
    return torch.rand(n, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("element", range(8))
def test_right_angles_are_the_symmetries_of_the_square(side, element):
    batch = images(2, side)
    mirror, turns = divmod(element, 4)
    angle = torch.full((2,), turns * torch.pi / 2, dtype=torch.float64)
    there = turned(batch, angle, torch.full((2,), bool(mirror)))
    assert_allclose(there, transform(batch, element), atol=1e-9)


def test_each_image_gets_its_own_turn():
    batch = images(1).repeat(2, 1, 1, 1)
    there = turned(batch, torch.tensor([0.0, torch.pi / 2], dtype=torch.float64), torch.tensor([False, False]))
    assert_allclose(there[0], batch[0], atol=1e-9)
    assert_allclose(there[1], transform(batch[1], 1), atol=1e-9)


def test_a_round_source_keeps_its_light_under_any_turn():
    offset = torch.arange(41.0, dtype=torch.float64) - 20
    source = torch.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / 32.0)[None, None].repeat(4, 1, 1, 1)
    angle = torch.tensor([0.3, 1.1, 2.5, 4.0], dtype=torch.float64)
    there = turned(source, angle, torch.tensor([True, False, True, False]))
    assert_allclose(there.sum(dim=(1, 2, 3)), source.sum(dim=(1, 2, 3)), rtol=1e-3)


def batch_of(n=5):
    return {"image": images(n).float().numpy(), "weight": np.arange(n)}


def test_every_batch_comes_in_another_way_and_nothing_but_the_image_turns():
    rng = np.random.default_rng(3)
    first, second = turn_at_random(batch_of(), rng), turn_at_random(batch_of(), rng)
    assert first["image"].shape == (5, 1, 9, 9)
    assert first["image"].dtype == np.float32
    assert not np.array_equal(first["image"], second["image"])
    assert np.array_equal(first["weight"], np.arange(5))
    assert np.array_equal(batch_of()["image"], images().float().numpy())


def test_the_same_seed_turns_the_same_way():
    first, second = (turn_at_random(batch_of(), np.random.default_rng(7))["image"] for _ in range(2))
    assert np.array_equal(first, second)


def test_what_is_not_square_is_not_turned():
    with pytest.raises(SpecError, match="square"):
        turned(torch.zeros(1, 1, 4, 5), torch.zeros(1), torch.zeros(1, dtype=torch.bool))
