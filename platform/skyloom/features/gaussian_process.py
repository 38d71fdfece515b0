"""Gaussian processes in two dimensions, time and log wavelength, for thousands of light curves at once.

Zero mean, squared-exponential kernel ``v exp(-(dt^2 / s_t + dw^2 / s_w) / 2)``, exact: a Cholesky
factor per object, batched. The three hyperparameters are those of the highest marginal likelihood,
object by object (BFGS with analytic gradients), within bounds. Rows are padded with points that say
nothing, exactly: they add neither to the likelihood nor to a prediction. Rows go through in tiles of
one shape, and those of like length together, so that a row has the same bits in any batch.

References
----------
.. [1] Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, chapters 2 and 5.
.. [2] Villar et al. 2021, ads:2021ApJS..255...24V: this kernel, over time and filter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyloom.errors import ErrorKind, SpecError
from skyloom.features.padding import LENGTHS

__all__ = ["BOUNDS", "LENGTHS", "START", "Points", "condition", "fit", "in_tiles", "kernel", "log_likelihood"]

_TILE_POINTS = 512
"""Points of a tile: its rows times their length."""

START = (1.0, 6.0, -1.0)
"""Where the search for hyperparameters begins: ``log(v, s_t, s_w)``."""

BOUNDS = ((-4.0, 6.0), (2.2, 9.6), (-4.0, 2.0))
"""Of ``log v``, ``log s_t`` (3 to 120 days) and ``log s_w``: beyond them the kernel is constant or noise."""

_STEPS = 12
_JITTER = 1e-6
"""Of the variance, added to the diagonal: two points at one place must not make the matrix singular."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of B rows, padded to N; all float64.

    Attributes
    ----------
    time, wave : Tensor, shape (B, N)
        Coordinates: days and natural logarithm of wavelength.
    value, error : Tensor, shape (B, N)
        What was measured, and its 1-sigma error (positive where `valid`).
    valid : Tensor of bool, shape (B, N)
        Which are points, and not padding.
    """

    time: Tensor
    wave: Tensor
    value: Tensor
    error: Tensor
    valid: Tensor


def kernel(time: Tensor, wave: Tensor, other_time: Tensor, other_wave: Tensor, theta: Tensor) -> Tensor:
    """Return the covariance between two sets of places.

    Parameters
    ----------
    time, wave : Tensor, shape (B, N)
    other_time, other_wave : Tensor, shape (B, Q)
    theta : Tensor, shape (B, 3)
        ``log(v, s_t, s_w)``.

    Returns
    -------
    Tensor, shape (B, N, Q)
    """
    v, s_t, s_w = theta.exp().unbind(1)
    dt = (time[:, :, None] - other_time[:, None, :]).square_().div_(-2.0 * s_t[:, None, None])
    dw = (wave[:, :, None] - other_wave[:, None, :]).square_().div_(-2.0 * s_w[:, None, None])
    return dt.add_(dw).exp_().mul_(v[:, None, None])


def _factor(points: Points, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the kernel between points (zero at padding), the Cholesky factor with noise, and its solution."""
    both = points.valid[:, :, None] & points.valid[:, None, :]
    clean = kernel(points.time, points.wave, points.time, points.wave, theta) * both
    noise = points.error.square() + _JITTER * theta[:, :1].exp()
    diagonal = torch.where(points.valid, noise, torch.ones_like(noise))
    factor = torch.linalg.cholesky_ex(clean + torch.diag_embed(diagonal)).L
    value = torch.where(points.valid, points.value, torch.zeros_like(points.value))
    return clean, factor, torch.cholesky_solve(value[:, :, None], factor)[:, :, 0]


def log_likelihood(points: Points, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log marginal likelihood, shape (B,), and its gradient by `theta`, shape (B, 3)."""
    clean, factor, alpha = _factor(points, theta)
    n = points.valid.sum(1, dtype=theta.dtype)
    value = torch.where(points.valid, points.value, torch.zeros_like(points.value))
    fits = -0.5 * (value * alpha).sum(1)
    size = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    inner = alpha[:, :, None] * alpha[:, None, :] - torch.cholesky_inverse(factor)
    by_v = inner * clean
    _, s_t, s_w = theta.exp().unbind(1)
    dt = (points.time[:, :, None] - points.time[:, None, :]).square_()
    dw = (points.wave[:, :, None] - points.wave[:, None, :]).square_()
    jitter = _JITTER * theta[:, 0].exp() * (inner.diagonal(dim1=1, dim2=2) * points.valid).sum(1)
    gradient = torch.stack(
        [
            0.5 * (by_v.sum((1, 2)) + jitter),
            0.25 * (by_v * dt).sum((1, 2)) / s_t,
            0.25 * (by_v * dw).sum((1, 2)) / s_w,
        ],
        dim=1,
    )
    return fits - size - 0.5 * n * np.log(2.0 * np.pi), gradient


def fit(points: Points, *, steps: int = _STEPS) -> tuple[Tensor, Tensor]:
    """Return the hyperparameters of the highest marginal likelihood found, shape (B, 3), and it, shape (B,).

    Projected BFGS, each row with its own matrix and step length; a step that does not climb is undone and
    the next one is a quarter as long. All rows take `steps` steps: none waits for another, none stops
    because of another.
    """
    low, high = torch.tensor(BOUNDS, dtype=torch.float64, device=points.time.device).unbind(1)
    best = torch.tensor(START, dtype=torch.float64, device=points.time.device).repeat(len(points.time), 1)
    top, slope = log_likelihood(points, best)
    unit = torch.eye(3, dtype=torch.float64, device=best.device).expand(len(best), 3, 3)
    inverse, length = 0.1 * unit, torch.ones_like(top)
    for _ in range(steps):
        at_wall = ((best <= low) & (slope < 0)) | ((best >= high) & (slope > 0))
        free = torch.where(at_wall, torch.zeros_like(slope), slope)
        step = (inverse * free[:, None, :]).sum(2) * ~at_wall
        uphill = (step * free).sum(1) > 0
        step = torch.where(uphill[:, None], step, 0.1 * free)
        step = (step * length[:, None]).clamp(-1.5, 1.5)
        tried = torch.minimum(torch.maximum(best + step, low), high)
        value, gradient = log_likelihood(points, tried)
        climbs = value > top
        moved, change = tried - best, slope - gradient
        inverse = torch.where(climbs[:, None, None], _bfgs(inverse, moved, change), inverse)
        best = torch.where(climbs[:, None], tried, best)
        slope = torch.where(climbs[:, None], gradient, slope)
        top = torch.where(climbs, value, top)
        length = torch.where(climbs, torch.ones_like(length), 0.25 * length)
    return best, top


def _bfgs(inverse: Tensor, moved: Tensor, change: Tensor) -> Tensor:
    """Return the updated inverse Hessian of what is minimised; unchanged where the curvature is not positive."""
    curved = (moved * change).sum(1)
    sound = curved > 1e-10
    rho = 1.0 / torch.where(sound, curved, torch.ones_like(curved))
    hy = (inverse * change[:, None, :]).sum(2)
    yhy = (change * hy).sum(1)
    outer = moved[:, :, None] * hy[:, None, :]
    new = (
        inverse
        - rho[:, None, None] * (outer + outer.transpose(1, 2))
        + (rho * (1.0 + rho * yhy))[:, None, None] * moved[:, :, None] * moved[:, None, :]
    )
    return torch.where(sound[:, None, None], new, inverse)


def condition(points: Points, theta: Tensor, time: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (without noise) at other places, shape (B, Q) each.

    Parameters
    ----------
    points : Points
    theta : Tensor, shape (B, 3)
    time, wave : Tensor, shape (B, Q)
    """
    _, factor, alpha = _factor(points, theta)
    cross = kernel(time, wave, points.time, points.wave, theta) * points.valid[:, None, :]
    mean = (cross * alpha[:, None, :]).sum(2)
    half = torch.linalg.solve_triangular(factor, cross.transpose(1, 2), upper=False)
    variance = theta[:, :1].exp() - half.square().sum(1)
    return mean, variance.clamp_min(0.0).sqrt()


def in_tiles(
    offsets: NDArray[np.int64],
    values: dict[str, NDArray[np.float64]],
    compute: Callable[[Points, NDArray[np.int64]], tuple[Tensor, ...]],
    *,
    device: torch.device | str = "cpu",
) -> tuple[NDArray[np.float64], ...]:
    """Pad the points of B rows and compute them tile by tile.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        The points of row i are ``[offsets[i], offsets[i + 1])``.
    values : dict of str to ndarray, shape (P,)
        ``time``, ``wave``, ``value`` and ``error`` of the points.
    compute : callable
        From the points of a tile, and the places of its rows among the B (a row that fills a tile up is
        some row again), to tensors with the rows of the tile first.
    device : torch.device or str
        Where tiles are computed.

    Returns
    -------
    tuple of ndarray of float64, shape (B, ...)

    Raises
    ------
    SpecError
        If a row has no point, or more than the last of `LENGTHS`, or there is no row.
    """
    count = np.diff(offsets)
    if not len(count) or count.min() < 1 or count.max() > LENGTHS[-1]:
        least, most = (int(count.min()), int(count.max())) if len(count) else (0, 0)
        msg = f"a Gaussian process takes rows of 1 to {LENGTHS[-1]} points, got {len(count)} of {least} to {most}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    names = [field.name for field in fields(Points) if field.name != "valid"]
    out: list[NDArray[np.float64]] = []
    place = np.searchsorted(LENGTHS, count)
    for k, length in enumerate(LENGTHS):
        rows = np.flatnonzero(place == k)
        tile_rows = _TILE_POINTS // length
        for start in range(0, len(rows), tile_rows):
            tile = rows[start : start + tile_rows]
            filled = np.concatenate([tile, np.full(tile_rows - len(tile), tile[0])])
            at = offsets[filled, None] + np.arange(length)
            valid = np.arange(length) < count[filled, None]
            at = np.where(valid, at, offsets[filled, None])
            padded = {name: torch.from_numpy(values[name][at]).to(device) for name in names}
            found = compute(Points(**padded, valid=torch.from_numpy(valid).to(device)), filled)
            arrays = [tensor.cpu().numpy()[: len(tile)] for tensor in found]
            if not out:
                out = [np.empty((len(count), *array.shape[1:])) for array in arrays]
            for whole, array in zip(out, arrays, strict=True):
                whole[tile] = array
    return tuple(out)
