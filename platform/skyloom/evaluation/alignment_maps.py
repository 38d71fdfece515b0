"""The step of the fit of an alignment that has no closed form: rotations, scales and shifts, by L-BFGS.

Target rows enter by their moments alone, so a step costs the same for any number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from skyloom.evaluation.alignment import AlignmentConfig

__all__ = ["Maps", "Moments", "climbed", "expected_slope", "log_prior", "moments", "rotations"]

_STEPS = 20
"""Of L-BFGS."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """Maps of K components in D features, and what they have in common.

    Attributes
    ----------
    angle : ndarray, shape (K, D (D - 1) / 2)
        Rotations are exponentials of the skew matrices whose lower triangles they are.
    log_scale, shift : ndarray, shape (K, D)
    common_log_scale, common_shift : ndarray, shape (D,)
    """

    angle: Floats
    log_scale: Floats
    shift: Floats
    common_log_scale: Floats
    common_shift: Floats

    @classmethod
    def alike(cls, scale: Floats, shift: Floats, k: int) -> Maps:
        """Return `k` equal maps that turn nothing."""
        d = len(scale)
        log_scale = np.log(scale)
        return cls(
            np.zeros((k, d * (d - 1) // 2)), np.tile(log_scale, (k, 1)), np.tile(shift, (k, 1)), log_scale, shift
        )

    def packed(self) -> torch.Tensor:
        """Return the components' own numbers, (K, D (D - 1) / 2 + 2 D)."""
        return torch.from_numpy(np.hstack([self.angle, self.log_scale, self.shift]))


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Number (K,), mean (K, D) and scatter (K, D, D) of the rows of each component."""

    count: Floats
    mean: Floats
    scatter: Floats


def moments(share: Floats, rows: Floats) -> Moments:
    """Return the moments of rows (N, D) that belong to components by `share` (N, K)."""
    count = share.sum(axis=0)
    mean = (share.T @ rows) / np.fmax(count, 1e-300)[:, None]
    scatter = [
        ((rows - centre) * each[:, None]).T @ (rows - centre) for centre, each in zip(mean, share.T, strict=True)
    ]
    return Moments(count, mean, np.stack(scatter))


def rotations(angle: Floats, d: int) -> Floats:
    """Return rotations (K, D, D) of angles (K, D (D - 1) / 2)."""
    return np.asarray(_rotation(torch.from_numpy(angle), d).numpy())


def climbed(maps: Maps, target: Moments, mean: Floats, covariance: Floats, config: AlignmentConfig) -> Maps:
    """Return maps under which target rows are likelier, or the same ones.

    Parameters
    ----------
    maps : Maps
    target : Moments
        Of the target rows.
    mean, covariance : ndarray, shape (K, D) and (K, D, D)
        Of the source.
    config : AlignmentConfig
        Its priors.
    """
    packed = maps.packed().requires_grad_()
    rows, d = max(1.0, float(target.count.sum())), mean.shape[1]

    def loss() -> torch.Tensor:
        return -(_expected(packed, target, mean, covariance) + _own_prior(packed, maps, config)) / rows

    before = loss().item()
    optimiser = torch.optim.LBFGS([packed], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    if not loss().item() <= before:
        return maps
    own = packed.detach().numpy()
    angle, log_scale, shift = np.split(own, [own.shape[1] - 2 * d, own.shape[1] - d], axis=1)
    return _with_common(angle, log_scale, shift, config)


def log_prior(maps: Maps, config: AlignmentConfig) -> float:
    """Return the logarithm of the prior of maps, up to a constant."""
    whole = ((maps.common_log_scale / config.log_scale_sd) ** 2).sum()
    return float(_own_prior(maps.packed(), maps, config) - 0.5 * whole)


def expected_slope(target: Moments, mean: Floats, covariance: Floats) -> Floats:
    """Return the derivative of the target's likelihood with respect to maps that are the identity."""
    k, d = mean.shape
    packed = torch.zeros((k, d * (d - 1) // 2 + 2 * d), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(_expected(packed, target, mean, covariance), packed)
    return np.asarray(slope.numpy())


def _with_common(angle: Floats, log_scale: Floats, shift: Floats, config: AlignmentConfig) -> Maps:
    """Set what the maps have in common to its best."""
    own, whole = config.own_scale_sd**-2, config.log_scale_sd**-2
    common = own * log_scale.sum(axis=0) / (len(log_scale) * own + whole)
    return Maps(angle, log_scale, shift, common, shift.mean(axis=0))


def _rotation(angle: torch.Tensor, d: int) -> torch.Tensor:
    skew = torch.zeros((len(angle), d, d), dtype=angle.dtype)
    row, column = torch.tril_indices(d, d, -1)
    skew[:, row, column] = angle
    turned: torch.Tensor = torch.linalg.matrix_exp(skew - skew.transpose(1, 2))
    return turned


def _parts(packed: torch.Tensor, d: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return angles, logarithms of scales and shifts of `Maps.packed`."""
    return packed[:, : -2 * d], packed[:, -2 * d : -d], packed[:, -d:]


def _expected(packed: torch.Tensor, target: Moments, mean: Floats, covariance: Floats) -> torch.Tensor:
    """Return the expected log-likelihood of target rows, but for what no map changes."""
    d = mean.shape[1]
    count, centre, scatter = map(torch.from_numpy, (target.count, target.mean, target.scatter))
    angle, log_scale, shift = _parts(packed, d)
    inverse = _rotation(angle, d).transpose(1, 2) * torch.exp(-log_scale)[:, :, None]
    away = torch.einsum("kde,ke->kd", inverse, centre - shift) - torch.from_numpy(mean)
    square = inverse @ scatter @ inverse.transpose(1, 2)
    square = square + count[:, None, None] * away[:, :, None] * away[:, None, :]
    fit = torch.einsum("kde,ked->k", torch.linalg.inv(torch.from_numpy(covariance)), square)
    total: torch.Tensor = (-0.5 * fit - count * log_scale.sum(dim=1)).sum()
    return total


def _own_prior(packed: torch.Tensor, maps: Maps, config: AlignmentConfig) -> torch.Tensor:
    """Return the logarithm of the prior of what is each component's own, given what all have in common."""
    d = len(maps.common_shift)
    angle, log_scale, shift = _parts(packed, d)
    total: torch.Tensor = -0.5 * (
        (angle / config.angle_sd).square().sum()
        + ((log_scale - torch.from_numpy(maps.common_log_scale)) / config.own_scale_sd).square().sum()
        + ((shift - torch.from_numpy(maps.common_shift)) / config.own_shift_sd).square().sum()
    )
    return total
