import numpy as np
import pytest
import torch

from skyloom.nn.lrn import across_channels, cross_channel_norm


def test_a_constant_is_divided_by_the_closed_form_away_from_the_outer_channels():
    c, radius, alpha, beta = 30.0, 5, 1e-4, 0.75
    out = cross_channel_norm(radius, alpha=alpha, beta=beta)(torch.full((1, 24, 3, 3), c))
    expected = c / (1 + alpha * (2 * radius + 1) * c**2) ** beta
    torch.testing.assert_close(out[:, radius:-radius], torch.full((1, 14, 3, 3), expected))
    assert (out[:, 0] > expected).all()


def test_it_agrees_with_a_sum_written_out_over_channels():
    x = torch.randn((2, 16, 4, 5), generator=torch.Generator().manual_seed(1)) * 20
    slow = np.empty(x.shape)
    for k in range(16):
        near = x[:, max(0, k - 5) : k + 6].double()
        slow[:, k] = x[:, k].double() / (1 + 1e-4 * (near**2).sum(1)) ** 0.75
    np.testing.assert_allclose(cross_channel_norm()(x).numpy(), slow, rtol=1e-5)


def test_pixels_do_not_see_each_other():
    x = torch.randn((1, 16, 4, 4), generator=torch.Generator().manual_seed(2)) * 50
    torch.testing.assert_close(cross_channel_norm()(x)[:, :, 1:2, 2:3], cross_channel_norm()(x[:, :, 1:2, 2:3]))


@pytest.mark.parametrize("radius", [0, 1, 5, 20])
def test_the_fast_sum_agrees_with_torchs_layer_for_windows_of_any_width(radius):
    x = torch.randn((3, 16, 4, 5), generator=torch.Generator().manual_seed(3)) * 30
    norm = cross_channel_norm(radius, bias=2.0)
    torch.testing.assert_close(across_channels(norm, x), norm(x), rtol=1e-6, atol=1e-6)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(across_channels(norm, last), across_channels(norm, x))


def test_the_fast_sum_keeps_a_channel_without_a_number_among_its_neighbours():
    x = torch.ones((1, 24, 2, 2))
    x[0, 12, 0, 0] = torch.nan
    nan = across_channels(cross_channel_norm(5), x).isnan()
    assert nan[0, 7:18, 0, 0].all()
    assert nan.sum() == 11
