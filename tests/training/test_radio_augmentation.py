"""Turning by right angles moves pixels and nothing else; an epoch sees every image once."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.nn.dihedral import transform
from skyloom.training.radio_augmentation import turned, turned_batches


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


def test_an_epoch_sees_every_image_once_and_the_next_one_in_another_way():
    generator = torch.Generator().manual_seed(3)
    target = torch.arange(5)
    first = list(turned_batches(images(), target, batch_rows=2, generator=generator))
    second = list(turned_batches(images(), target, batch_rows=2, generator=generator))
    assert [len(y) for _, y in first] == [2, 2, 1]
    assert sorted(torch.cat([y for _, y in first]).tolist()) == target.tolist()
    assert not torch.equal(first[0][0], second[0][0])


def test_the_same_seed_gives_the_same_epoch():
    epochs = [
        torch.cat(
            [
                x
                for x, _ in turned_batches(
                    images(), torch.arange(5), batch_rows=2, generator=torch.Generator().manual_seed(7)
                )
            ]
        )
        for _ in range(2)
    ]
    assert torch.equal(*epochs)


def test_what_cannot_be_turned_or_cut_is_refused():
    with pytest.raises(SpecError, match="square"):
        turned(torch.zeros(1, 1, 4, 5), torch.zeros(1), torch.zeros(1, dtype=torch.bool))
    with pytest.raises(SpecError, match="batch_rows"):
        next(turned_batches(images(), torch.arange(5), batch_rows=0, generator=torch.Generator()))
