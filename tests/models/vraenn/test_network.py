"""The autoencoder: what it must not see, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.models.vraenn.curves import PHASES_D, REST_NM
from skyloom.models.vraenn.network import NetworkConfig, divergence, make_network, misfit, scaled


def batch(rows=4, *, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shape = (rows, len(PHASES_D), len(REST_NM))
    return {
        "light": 17 + 2 * torch.randn(shape, generator=draw),
        "light_sd": torch.rand(shape, generator=draw),
        "limit": 15 + torch.rand(rows, generator=draw),
        "steps": torch.tensor([32, 20, 7, 1])[:rows],
    }


def test_the_divergence_of_a_standard_normal_from_itself_is_zero_and_of_others_positive():
    zero = torch.zeros(3, 10)
    assert_allclose(divergence(zero, zero), 0.0)
    assert (divergence(zero + 0.3, zero) > 0).all()
    assert (divergence(zero, zero - 1.0) > 0).all()


def test_the_divergence_is_that_of_torch():
    mean, log_var = torch.randn(5, 10), torch.randn(5, 10)
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(
        normal(mean, torch.exp(0.5 * log_var)), normal(torch.zeros(10), torch.ones(10))
    )
    assert_allclose(divergence(mean, log_var), theirs.sum(1), rtol=1e-5)


def test_steps_after_the_last_valid_one_change_nothing():
    net = make_network(NetworkConfig(width=16)).eval()
    rows = batch()
    spoilt = {name: values.clone() for name, values in rows.items()}
    for i, steps in enumerate(rows["steps"]):
        spoilt["light"][i, steps:] = 99.0
        spoilt["light_sd"][i, steps:] = 0.5
    with torch.inference_mode():
        before, after = net(**rows), net(**spoilt)
    for name in ("mean", "log_var", "misfit"):
        assert_allclose(after[name], before[name], atol=1e-6)


def test_padding_leaves_the_encoding_as_it_is():
    net = make_network(NetworkConfig(width=16)).eval()
    rows = batch(3)
    rows["steps"] = torch.tensor([9, 10, 4])
    with torch.inference_mode():
        whole = net.encode(**rows)
        short = net.encode(rows["light"][:, :10], rows["light_sd"][:, :10], rows["limit"], rows["steps"])
    for one, other in zip(whole, short, strict=True):
        assert_allclose(one, other, atol=1e-6)


def test_a_perfect_decoder_has_no_misfit_and_unknown_values_count_little():
    rows = batch()
    perfect = scaled(rows["light"])
    assert_allclose(misfit(perfect, rows["light"], rows["light_sd"], rows["steps"]), 0.0, atol=1e-10)
    off = perfect.clone()
    off[:, 0, 0] += 1.0
    known, unknown = rows["light_sd"].clone(), rows["light_sd"].clone()
    known[:, 0, 0], unknown[:, 0, 0] = 0.01, 5.0
    sure, unsure = (misfit(off, rows["light"], sd, rows["steps"]) for sd in (known, unknown))
    assert (unsure < 0.05 * sure).all()


def test_training_draws_and_prediction_does_not():
    net, rows = make_network(NetworkConfig(width=16)), batch()
    with torch.no_grad():
        assert not torch.equal(net.train()(**rows)["decoded"], net(**rows)["decoded"])
        assert torch.equal(net.eval()(**rows)["decoded"], net(**rows)["decoded"])


def test_the_same_seed_makes_the_same_network_and_nonsense_is_refused():
    first, again, other = (make_network(NetworkConfig(width=16), seed=seed) for seed in (1, 1, 2))
    weights = [net.mean.weight for net in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    with pytest.raises(SpecError, match="positive"):
        NetworkConfig(width=0)
    assert np.diff(PHASES_D).min() > 0
