import numpy as np
import torch

from skyloom.nn.lrn import cross_channel_norm


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
