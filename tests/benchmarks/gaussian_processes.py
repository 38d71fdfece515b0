"""Batched Gaussian processes against scikit-learn's, one object at a time.

Run it by hand: ``python -m tests.benchmarks.gaussian_processes [--objects 60] [--rounds 3]``.
Random light curves of 60 points; one core; hyperparameters by marginal likelihood, from one start, and the
process asked at 192 places. Only ratios within a round count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
import torch

from skyloom.features import gaussian_process as gp
from tests.benchmarks.interleaved import ratios, say, take_turns

POINTS, PLACES = 60, 192


def objects(n: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return `n` light curves of 60 points each, end to end."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(-40.0, 90.0, (n, POINTS)), axis=1)
    wave = np.log(rng.choice([367.1, 482.7, 622.3, 754.6, 869.1], (n, POINTS)))
    width = rng.uniform(10.0, 30.0, (n, 1))
    value = 4.0 * np.exp(-0.5 * (time / width) ** 2) + 2.0 * (wave - 6.2) + rng.normal(0.0, 0.2, (n, POINTS))
    error = rng.uniform(0.1, 0.4, (n, POINTS))
    fields = {"time": time, "wave": wave, "value": value, "error": error}
    return {name: values.ravel() for name, values in fields.items()}


def by_skyloom(curves: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return means (N, 192) and likelihoods (N,) from the platform."""
    at = torch.linspace(-50.0, 100.0, PLACES, dtype=torch.float64)

    def compute(points: gp.Points, filled: np.ndarray) -> tuple[torch.Tensor, ...]:
        theta, top = gp.fit(points)
        places = at.expand(len(theta), -1)
        return gp.condition(points, theta, places, torch.full_like(places, 6.2))[0], top

    n = len(curves["time"]) // POINTS
    return gp.in_tiles(np.arange(n + 1) * POINTS, curves, compute)


def by_scikit_learn(curves: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the same from `GaussianProcessRegressor`, with the same kernel, bounds and start."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    (low, high), start = np.exp(np.array(gp.BOUNDS)).T, np.exp(gp.START)
    lengths = np.sqrt(np.column_stack([low[1:], high[1:]]))
    at = np.column_stack([np.linspace(-50.0, 100.0, PLACES), np.full(PLACES, 6.2)])
    means, tops = [], []
    for first in range(0, len(curves["time"]), POINTS):
        time, wave, value, error = (
            curves[name][first : first + POINTS] for name in ("time", "wave", "value", "error")
        )
        kernel = ConstantKernel(start[0], (low[0], high[0])) * RBF(np.sqrt(start[1:]), lengths)
        model = GaussianProcessRegressor(kernel, alpha=error**2).fit(np.column_stack([time, wave]), value)
        means.append(model.predict(at, return_std=True)[0])
        tops.append(model.log_marginal_likelihood_value_)
    return np.array(means), np.array(tops)


def main() -> None:
    """Print milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--objects", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    curves = objects(options.objects)
    contestants: dict[str, Callable[[int], object]] = {
        "skyloom": lambda _: by_skyloom(curves),
        "scikit-learn": lambda _: by_scikit_learn(curves),
    }
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    with threadpool_limits(1):
        taken = take_turns(contestants, options.rounds)
    sys.stdout.write(f"{options.objects} objects of {POINTS} points, one core\n")
    for name, runs in taken.items():
        say(f"{name}, ms of CPU an object", [1e3 * run.cpu_s / options.objects for run in runs], digits=1)
    say("scikit-learn / skyloom", ratios(taken["scikit-learn"], taken["skyloom"], what="cpu_s"), digits=1)


if __name__ == "__main__":
    main()
