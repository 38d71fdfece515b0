"""Group convolutions commute with the symmetries of the square, and agree with slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.nn.dihedral import ORDERS, inverse, product, transform
from skyloom.nn.group_convolution import BlurPool, GroupConv, GroupPool, LiftingConv


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def moved(maps, element, order):
    """What the symmetry does to a feature field: every map turns, and the maps change places."""
    fields = maps.unflatten(1, (-1, order))
    places = [product(inverse(element), g) for g in range(order)]
    return transform(fields[:, :, places], element).flatten(1, 2)


def test_the_symmetries_form_a_group():
    image = torch.arange(9.0).reshape(3, 3)
    for a in range(8):
        assert torch.equal(transform(transform(image, a), inverse(a)), image)
        for b in range(8):
            assert torch.equal(transform(transform(image, b), a), transform(image, product(a, b)))
    assert len({tuple(transform(image, a).flatten().tolist()) for a in range(8)}) == 8


def test_there_is_no_ninth_symmetry():
    with pytest.raises(SpecError, match="0 to 7, got 8"):
        transform(torch.zeros(2, 2), 8)


@pytest.mark.parametrize("size, padding", [(5, 1), (3, 0), (4, 2)])
@pytest.mark.parametrize("order", ORDERS)
def test_lifting_turns_the_maps_and_permutes_them_when_the_image_turns(order, size, padding):
    layer = LiftingConv(2, 3, size, order=order, padding=padding).double()
    torch.nn.init.normal_(layer.bias)
    image = torch.randn(2, 2, 9, 9, dtype=torch.float64)
    for g in range(order):
        assert_allclose(
            layer(transform(image, g)).detach(), moved(layer(image), g, order).detach(), atol=1e-12, rtol=0
        )


@pytest.mark.parametrize("order", ORDERS)
def test_group_convolution_commutes_with_every_symmetry(order):
    layer = GroupConv(2, 3, 3, order=order, padding=1).double()
    torch.nn.init.normal_(layer.bias)
    maps = torch.randn(2, 2 * order, 7, 7, dtype=torch.float64)
    for g in range(order):
        there = layer(moved(maps, g, order)).detach()
        assert_allclose(there, moved(layer(maps), g, order).detach(), atol=1e-12, rtol=0)


def test_turns_alone_do_not_commute_with_mirrors():
    layer = GroupConv(1, 1, 3, order=4).double()
    maps = torch.randn(1, 4, 7, 7, dtype=torch.float64)
    pooled = GroupPool(order=4)(layer(maps))
    mirrored = GroupPool(order=4)(layer(maps.flip(-1)))
    assert (mirrored.flip(-1) - pooled).abs().max() > 0.1


@pytest.mark.parametrize("layer", [GroupPool(), BlurPool()])
def test_pooling_commutes_with_every_symmetry(layer):
    maps = torch.randn(2, 16, 8, 8, dtype=torch.float64)
    for g in range(8):
        there = layer(moved(maps, g, 8))
        here = layer(maps)
        expected = transform(here, g) if isinstance(layer, GroupPool) else moved(here, g, 8)
        assert_allclose(there, expected, atol=1e-14, rtol=0)


def test_convolution_agrees_with_loops_over_the_definition():
    layer = GroupConv(2, 2, 3).double()
    maps = torch.randn(1, 16, 5, 5, dtype=torch.float64)
    weight, field = layer.weight.detach().numpy(), maps.numpy().reshape(2, 8, 5, 5)
    slow = np.zeros((2, 8, 3, 3))
    for out in range(2):
        for g in range(8):
            for inside in range(2):
                for h in range(8):
                    kernel = weight[out, inside, product(inverse(g), h)]
                    kernel = np.rot90(kernel[:, ::-1] if g >= 4 else kernel, g % 4)
                    for y in range(3):
                        for x in range(3):
                            slow[out, g, y, x] += (kernel * field[inside, h, y : y + 3, x : x + 3]).sum()
    assert_allclose(layer(maps).detach().numpy().reshape(2, 8, 3, 3), slow, atol=1e-12)


def test_smoothing_keeps_a_flat_map_inside_and_its_sum_is_that_of_the_image():
    flat = BlurPool()(torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_allclose(flat[..., 1:-1, 1:-1], 1.0)
    point = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    point[..., 3, 4] = 4.0
    assert_allclose(BlurPool()(point).sum(), 1.0)


def test_a_size_that_does_not_divide_evenly_breaks_the_symmetry_and_is_refused():
    maps = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    taps = BlurPool().taps.double()

    def halved(maps):
        return torch.nn.functional.conv2d(maps, taps, stride=2, padding=1)

    assert (halved(maps.flip(-1)) - halved(maps).flip(-1)).abs().max() > 0.1
    with pytest.raises(SpecError, match="do not divide evenly"):
        BlurPool()(maps)


def test_what_is_no_field_or_no_square_is_refused():
    with pytest.raises(SpecError, match="no whole number of fields"):
        GroupPool()(torch.zeros(1, 9, 4, 4))
    with pytest.raises(SpecError, match="square maps"):
        LiftingConv(1, 1, 3)(torch.zeros(1, 1, 6, 8))
    with pytest.raises(SpecError, match="4 \\(p4\\) or 8"):
        LiftingConv(1, 1, 3, order=6)


@pytest.mark.parametrize("change", ["in place", "cast"])
def test_kept_filters_follow_the_weights(change):
    layer = GroupConv(1, 1, 3).eval()
    maps = torch.randn(1, 8, 5, 5)
    with torch.inference_mode():
        before = layer(maps)
        assert torch.equal(layer(maps), before)
    if change == "in place":
        with torch.no_grad():
            layer.weight.mul_(2.0)
        with torch.inference_mode():
            assert_allclose(layer(maps), 2 * before, rtol=1e-6)
    else:
        layer.double()
        with torch.inference_mode():
            assert_allclose(layer(maps.double()), before, atol=1e-5)


def test_gradients_flow_after_inference():
    layer = LiftingConv(1, 1, 3).eval()
    image = torch.randn(1, 1, 5, 5)
    with torch.inference_mode():
        layer(image)
    layer(image).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_weights_made_in_inference_mode_are_never_stale():
    with torch.inference_mode():
        layer = GroupConv(1, 1, 3).eval()
        maps = torch.randn(1, 8, 5, 5)
        before = layer(maps)
        layer.weight.mul_(2.0)
        assert_allclose(layer(maps), 2 * before, rtol=1e-6)
