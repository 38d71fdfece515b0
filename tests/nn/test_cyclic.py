"""Layers on a circle: what wraps turns with its input, what pads with zeros does not."""

from __future__ import annotations

import pytest
import torch

from skyloom.errors import SpecError
from skyloom.nn.cyclic import ConvBlock, SequenceConv, SequencePool, summary, wrap


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def sequences(length, channels=3, rows=2):
    return torch.randn(rows, channels, length, dtype=torch.float64)


@pytest.mark.parametrize("before", [0, 1, 6, 7, 8, 30])
def test_wrapping_goes_round_however_short_the_sequence_is(before):
    x = sequences(7)
    wrapped = wrap(x, before)
    assert wrapped.shape[-1] == 7 + before
    for place in range(7 + before):
        assert torch.equal(wrapped[..., place], x[..., (place - before) % 7])


def test_wrapping_agrees_with_torchs_circular_padding_where_torch_can():
    x = sequences(20)
    assert torch.equal(wrap(x, 5), torch.nn.functional.pad(x, (5, 0), mode="circular"))


@pytest.mark.parametrize("dilation", [1, 2, 8, 64])
@pytest.mark.parametrize("length", [1, 7, 25, 64])
def test_a_cyclic_convolution_turns_with_its_input(length, dilation):
    layer = SequenceConv(3, 4, 5, dilation=dilation).double()
    x = sequences(length)
    out = layer(x)
    assert out.shape == (2, 4, length)
    for shift in range(length):
        torch.testing.assert_close(layer(x.roll(shift, -1)), out.roll(shift, -1), rtol=0, atol=1e-12)


def test_a_zero_padded_convolution_sees_the_past_alone_and_does_not_turn():
    layer = SequenceConv(3, 4, 3, dilation=2, padding="zero").double()
    x = sequences(16)
    out = layer(x)
    later = x.clone()
    later[..., 9:] += 1.0
    torch.testing.assert_close(layer(later)[..., :9], out[..., :9], rtol=0, atol=0)
    assert (layer(x.roll(1, -1)) - out.roll(1, -1)).abs().max() > 1e-3


def test_cyclic_and_zero_padding_agree_where_no_sample_is_padded():
    cyclic = SequenceConv(2, 2, 3, dilation=4)
    zero = SequenceConv(2, 2, 3, dilation=4, padding="zero")
    zero.load_state_dict(cyclic.state_dict())
    x = torch.randn(1, 2, 40)
    torch.testing.assert_close(cyclic(x)[..., 8:], zero(x)[..., 8:])


@pytest.mark.parametrize("outputs", [3, 6])
def test_a_block_turns_with_its_input_and_keeps_the_length(outputs):
    block = ConvBlock(3, outputs, 3, dilation=4, dropout=0.2).double().eval()
    x = sequences(25)
    for shift in range(25):
        torch.testing.assert_close(block(x.roll(shift, -1)), block(x).roll(shift, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("length, pooled", [(8, 4), (25, 13), (1, 1)])
def test_strided_pooling_halves_and_survives_even_shifts_of_even_lengths_alone(length, pooled):
    pool = SequencePool(stride=2)
    x = sequences(length)
    out = pool(x)
    assert out.shape[-1] == pooled
    for shift in range(1, length):
        turned = pool(x.roll(shift, -1))
        same = [torch.equal(turned, out.roll(k, -1)) for k in range(pooled)]
        assert any(same) == (length % 2 == 0 and shift % 2 == 0)


@pytest.mark.parametrize("dilation", [1, 2, 8])
def test_pooling_without_stride_turns_with_its_input(dilation):
    pool = SequencePool(stride=1, dilation=dilation)
    x = sequences(25)
    for shift in range(25):
        assert torch.equal(pool(x.roll(shift, -1)), pool(x).roll(shift, -1))


def test_the_mean_over_phase_forgets_the_turn_and_the_last_sample_does_not():
    x = sequences(25)
    torch.testing.assert_close(summary(x.roll(9, -1), "cyclic"), summary(x, "cyclic"), rtol=0, atol=1e-13)
    assert torch.equal(summary(x, "zero"), x[..., -1])


def test_nonsense_is_refused():
    with pytest.raises(SpecError, match="at least 1"):
        SequenceConv(3, 4, 0)
    with pytest.raises(SpecError, match="cyclic or zero"):
        SequenceConv(3, 4, 3, padding="reflect")
