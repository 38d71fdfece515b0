"""The batched Gaussian process against closed forms, a slow reference, finite differences and itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.features import gaussian_process as gp

THETA = torch.tensor([[0.7, 5.5, -1.3], [1.5, 7.0, -0.5]], dtype=torch.float64)


def some_points(rows=2, n=24, *, seed=0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(-40, 90, (rows, n)), axis=1)
    wave = np.log(rng.choice([367.1, 482.7, 622.3, 754.6], (rows, n)))
    value = 4 * np.exp(-0.5 * (time / 20) ** 2) + 2 * (wave - 6.2) + rng.normal(0, 0.2, (rows, n))
    error = rng.uniform(0.1, 0.4, (rows, n))
    arrays = {"time": time, "wave": wave, "value": value, "error": error}
    return arrays, gp.Points(
        **{k: torch.from_numpy(v) for k, v in arrays.items()}, valid=torch.ones(rows, n, dtype=bool)
    )


def taken(points, places):
    return gp.Points(**{f.name: getattr(points, f.name)[:, places] for f in dataclasses.fields(points)})


def grid(rows=2):
    time = torch.linspace(-50, 100, 7, dtype=torch.float64).expand(rows, -1)
    return time, torch.full((rows, 7), 6.1, dtype=torch.float64)


def test_mean_and_variance_are_the_closed_form():
    arrays, points = some_points()
    mean, sd = gp.condition(points, THETA, *grid())
    for i in range(2):
        v, s_t, s_w = np.exp(THETA[i].numpy())

        def k(t, w, u, x, v=v, s_t=s_t, s_w=s_w):
            away = np.subtract.outer(t, u) ** 2 / s_t + np.subtract.outer(w, x) ** 2 / s_w
            return v * np.exp(-0.5 * away)

        t, w, y, e = (arrays[name][i] for name in ("time", "wave", "value", "error"))
        at, wave = (each[i].numpy() for each in grid())
        inverse = np.linalg.inv(k(t, w, t, w) + np.diag(e**2 + 1e-6 * v))
        cross = k(at, wave, t, w)
        assert_allclose(mean[i], cross @ inverse @ y, rtol=1e-9, atol=1e-10)
        variance = v - np.einsum("qn,nm,qm->q", cross, inverse, cross)
        assert_allclose(sd[i] ** 2, variance, rtol=1e-7, atol=1e-10)


def test_likelihood_and_prediction_agree_with_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    arrays, points = some_points()
    value, _ = gp.log_likelihood(points, THETA)
    mean, sd = gp.condition(points, THETA, *grid())
    for i in range(2):
        v, s_t, s_w = np.exp(THETA[i].numpy())
        kernel = ConstantKernel(v) * RBF([s_t**0.5, s_w**0.5])
        noise = arrays["error"][i] ** 2 + 1e-6 * v
        slow = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        slow.fit(np.column_stack([arrays["time"][i], arrays["wave"][i]]), arrays["value"][i])
        theirs, theirs_sd = slow.predict(np.column_stack([each[i] for each in grid()]), return_std=True)
        assert_allclose(value[i], slow.log_marginal_likelihood_value_, rtol=1e-10)
        assert_allclose(mean[i], theirs, rtol=1e-8, atol=1e-9)
        assert_allclose(sd[i], theirs_sd, rtol=1e-7)


def test_hyperparameters_are_as_likely_as_those_that_scikit_learn_finds():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    arrays, points = some_points(3, 30, seed=4)
    _, ours = gp.fit(points)
    low, high = np.exp(np.array(gp.BOUNDS)).T
    for i in range(3):
        lengths = np.sqrt(np.column_stack([low[1:], high[1:]]))
        kernel = ConstantKernel(3.0, (low[0], high[0])) * RBF([20.0, 0.6], lengths)
        slow = GaussianProcessRegressor(
            kernel, alpha=arrays["error"][i] ** 2, n_restarts_optimizer=2, random_state=0
        )
        slow.fit(np.column_stack([arrays["time"][i], arrays["wave"][i]]), arrays["value"][i])
        assert ours[i] > slow.log_marginal_likelihood_value_ - 0.05


def test_the_gradient_of_the_likelihood_is_that_of_finite_differences():
    _, points = some_points()
    _, gradient = gp.log_likelihood(points, THETA)
    for j in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[j] = 1e-5
        above, below = (gp.log_likelihood(points, THETA + sign * step)[0] for sign in (1, -1))
        assert_allclose(gradient[:, j], (above - below) / 2e-5, rtol=1e-5, atol=1e-6)


def test_points_seen_in_two_halves_tell_the_same_as_at_once():
    # Chain rule: p(y) = p(first) p(second | first), each by its own closed form.
    _, points = some_points()
    n = points.time.shape[1]
    first, second = taken(points, slice(0, n // 2)), taken(points, slice(n // 2, n))
    whole, _ = gp.log_likelihood(points, THETA)
    alone, _ = gp.log_likelihood(first, THETA)
    mean, _ = gp.condition(first, THETA, second.time, second.wave)
    for i in range(2):
        theta = THETA[i : i + 1]
        one, two = (
            gp.Points(**{f.name: getattr(p, f.name)[i : i + 1] for f in dataclasses.fields(p)})
            for p in (first, second)
        )
        k11, k12, k22 = (
            gp.kernel(a.time, a.wave, b.time, b.wave, theta)[0] for a, b in ((one, one), (one, two), (two, two))
        )
        noise = [torch.diag(p.error[0] ** 2 + 1e-6 * theta[0, 0].exp()) for p in (one, two)]
        left = k22 + noise[1] - k12.T @ torch.linalg.solve(k11 + noise[0], k12)
        away = two.value[0] - mean[i]
        given = -0.5 * (away @ torch.linalg.solve(left, away) + torch.logdet(2 * np.pi * left))
        assert_allclose(whole[i], alone[i] + given, rtol=1e-9)


def test_padding_changes_nothing():
    _, points = some_points()
    wide = {f.name: torch.nn.functional.pad(getattr(points, f.name), (0, 9)) for f in dataclasses.fields(points)}
    padded = gp.Points(**wide)
    for bare, filled in zip(gp.log_likelihood(points, THETA), gp.log_likelihood(padded, THETA), strict=True):
        assert_allclose(filled, bare, rtol=1e-10)
    for bare, filled in zip(
        gp.condition(points, THETA, *grid()), gp.condition(padded, THETA, *grid()), strict=True
    ):
        assert_allclose(filled, bare, rtol=1e-10)


def test_far_from_points_the_process_knows_nothing():
    _, points = some_points()
    mean, sd = gp.condition(points, THETA, torch.full((2, 1), 9e3, dtype=torch.float64), grid()[1][:, :1])
    assert_allclose(mean, 0.0, atol=1e-12)
    assert_allclose(sd[:, 0], torch.exp(0.5 * THETA[:, 0]))


def ragged(counts, seed=1):
    rng = np.random.default_rng(seed)
    n = sum(counts)
    values = {
        "time": rng.uniform(-40, 90, n),
        "wave": rng.uniform(5.8, 6.8, n),
        "value": rng.normal(0, 2, n),
        "error": rng.uniform(0.1, 0.4, n),
    }
    return np.concatenate(([0], np.cumsum(counts))), values


def fitted(points, filled):
    theta, top = gp.fit(points, steps=4)
    time, wave = grid(len(theta))
    return theta, top, *gp.condition(points, theta, time, wave)


def test_a_row_has_the_same_bits_alone_and_among_others():
    counts = [5, 40, 17, 1, 16, 33, 9, 70]
    offsets, values = ragged(counts)
    whole = gp.in_tiles(offsets, values, fitted)
    for i, count in enumerate(counts):
        part = {name: each[offsets[i] : offsets[i + 1]] for name, each in values.items()}
        alone = gp.in_tiles(np.array([0, count]), part, fitted)
        for one, all_rows in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(one[0], all_rows[i])


@pytest.mark.parametrize("counts", [[], [3, 0], [257]])
def test_rows_without_points_or_with_too_many_are_refused(counts):
    offsets, values = ragged(counts)
    with pytest.raises(SpecError, match="rows of 1 to 256 points"):
        gp.in_tiles(offsets, values, fitted)
