"""Fit `skyloom.models.survey_shift.alignment.Alignment` to labelled rows of one survey and rows of another.

Expectation-maximisation of the penalised likelihood of both data sets. The M step goes in blocks, each of which
cannot lower the objective: shares, means and covariances have closed forms, and so has what the maps have in
common; rotations, scales and shifts climb by L-BFGS. Nothing of it sees a label of the target.

Source: Benavente, Protopapas & Pichara 2017 (ads:2017ApJ...845..147B) for the model. Departures: the source's labels
say which components a source row can come from; the maps have a prior that draws them together; covariances have one,
too; shares may differ between the surveys.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.survey_shift.alignment import Alignment

__all__ = ["AlignmentConfig", "Fitted", "fit_alignment", "slope_at_identity"]

_LEAST_ROWS = 10
"""Source rows of a class."""
_STEPS = 20
"""Of L-BFGS in each M step."""
_PSEUDO = 1.0
"""Rows added to each share."""


@dataclass(frozen=True, slots=True)
class AlignmentConfig:
    """Priors and effort. Features are standardised, so lengths are in units of their spread."""

    per_class: int = 2
    """Components of each class, or fewer where it has fewer than 40 rows for each."""
    steps: int = 40
    """Of expectation-maximisation, at most."""
    tolerance: float = 1e-5
    """Gain in the objective per row below which no further step is made."""
    share_labels: bool = False
    """Whether components have the same shares in both surveys."""
    log_scale_sd: float = 0.5
    """Of the mean logarithm of the scales, about 0."""
    own_scale_sd: float = 0.2
    """Of a component's logarithms of scales about the mean of all components."""
    own_shift_sd: float = 0.3
    """Of a component's shift about the mean of all components."""
    angle_sd: float = 0.1
    """Of each angle of a rotation, rad, about 0."""
    covariance_rows: float = 10.0
    """Rows that the prior of a covariance is worth."""

    def __post_init__(self) -> None:
        positive = (
            self.tolerance, self.log_scale_sd, self.own_scale_sd, self.own_shift_sd, self.angle_sd,
            self.covariance_rows,
        )  # fmt: skip
        if min(self.per_class, self.steps) < 1 or not min(positive) > 0.0:
            msg = f"all settings of an alignment are positive, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What came out of `fit_alignment`."""

    alignment: Alignment
    objective: tuple[float, ...]
    """Before the first step and after each; never falls."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """Parameters, with maps as angles, logarithms of scales, and shifts."""

    log_share: NDArray[np.float64]
    log_target_share: NDArray[np.float64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    angle: NDArray[np.float64]
    log_scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    common_log_scale: NDArray[np.float64]
    common_shift: NDArray[np.float64]
    owner: NDArray[np.int64]

    def alignment(self) -> Alignment:
        return Alignment(
            np.exp(self.log_share), np.exp(self.log_target_share), self.mean, self.covariance,
            _rotation(torch.from_numpy(self.angle), self.mean.shape[1]).numpy(), np.exp(self.log_scale),
            self.shift, self.owner,
        )  # fmt: skip


def fit_alignment(
    source: NDArray[np.float64],
    label: NDArray[np.integer],
    target: NDArray[np.float64],
    config: AlignmentConfig | None = None,
    *,
    seed: int = 0,
) -> Fitted:
    """Fit the mixture and its maps.

    Parameters
    ----------
    source : ndarray, shape (N, D)
        Standardised and finite.
    label : ndarray of integers, shape (N,)
        Classes of the source rows, from 0.
    target : ndarray, shape (M, D)
        In the units of the source.
    config : AlignmentConfig, optional
    seed : int
        Of the first guess of the components within a class.

    Raises
    ------
    SpecError
        If a class has fewer than 10 rows, the shapes do not fit, or a number is not finite.
    """
    config = config or AlignmentConfig()
    _refuse(source, label, target)
    state, spread = _start(source, label, target, config, seed)
    values = [_objective(state, source, label, target, config, spread)]
    for _ in range(config.steps):
        state = _step(state, source, label, target, config, spread)
        values.append(_objective(state, source, label, target, config, spread))
        if values[-1] - values[-2] < config.tolerance * (len(source) + len(target)):
            break
    return Fitted(state.alignment(), tuple(values))


def _objective(
    state: _State,
    source: NDArray[np.float64],
    label: NDArray[np.integer],
    target: NDArray[np.float64],
    config: AlignmentConfig,
    spread: NDArray[np.float64],
) -> float:
    """Return the penalised log-likelihood of both data sets."""
    alignment = state.alignment()
    known = _of_class(alignment.source_log_parts(source), alignment.owner, label)
    likelihood = _log_sum(known).sum() + _log_sum(alignment.target_log_parts(target)).sum()
    return float(likelihood + _log_prior(state, config, spread))


def slope_at_identity(fitted: Alignment, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivative of the target's log-likelihood with respect to all maps, where they are the identity.

    Shape (K, D (D - 1) / 2 + 2 D): angles, logarithms of scales, shifts.

    Parameters
    ----------
    fitted : Alignment
        Whose shares, means and covariances are taken; its maps are not.
    target : ndarray, shape (M, D)
    """
    k, d = fitted.mean.shape
    still = dataclasses.replace(
        fitted, rotation=np.tile(np.eye(d), (k, 1, 1)), scale=np.ones((k, d)), shift=np.zeros((k, d))
    )
    parts = still.target_log_parts(target)
    count, mean, scatter = _moments(np.exp(parts - _log_sum(parts)[:, None]), target)
    packed = torch.zeros((k, d * (d - 1) // 2 + 2 * d), dtype=torch.float64, requires_grad=True)
    expected = _expected(packed, *map(torch.from_numpy, (count, mean, scatter, still.mean, still.covariance)))
    (slope,) = torch.autograd.grad(expected, packed)
    return np.asarray(slope.numpy())


def _refuse(source: NDArray[np.float64], label: NDArray[np.integer], target: NDArray[np.float64]) -> None:
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1] or len(label) != len(source):
        msg = f"source, labels and target have shapes {source.shape}, {label.shape} and {target.shape}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        msg = "an alignment needs finite features; leave out or fill the rows that have others"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    count = np.bincount(label) if len(label) else np.zeros(1, dtype=np.int64)
    if count.min() < _LEAST_ROWS or len(target) < _LEAST_ROWS:
        msg = f"each class needs {_LEAST_ROWS} source rows, and so many are needed of the target, got {count.tolist()}"
        raise SpecError(f"{msg} and {len(target)}", kind=ErrorKind.BAD_PARAMETER)


def _start(
    source: NDArray[np.float64],
    label: NDArray[np.integer],
    target: NDArray[np.float64],
    config: AlignmentConfig,
    seed: int,
) -> tuple[_State, NDArray[np.float64]]:
    """Return components found class by class, all with the map that fits the spread and mean of the whole."""
    from sklearn.mixture import GaussianMixture

    d = source.shape[1]
    within = np.zeros(d)
    weight, mean, covariance, owner = [], [], [], []
    for k in range(int(label.max()) + 1):
        rows = source[label == k]
        within += ((rows - rows.mean(axis=0)) ** 2).sum(axis=0) / len(source)
        n = max(1, min(config.per_class, len(rows) // 40))
        found = GaussianMixture(n, covariance_type="full", reg_covar=0.05, random_state=seed).fit(rows)
        weight += (found.weights_ * len(rows) / len(source)).tolist()
        mean.append(found.means_)
        covariance.append(found.covariances_)
        owner += [k] * n
    share = np.log(np.array(weight))
    scale = np.clip(target.std(axis=0) / np.fmax(source.std(axis=0), 1e-12), 0.2, 5.0)
    shift = target.mean(axis=0) - scale * source.mean(axis=0)
    same = len(share)
    state = _State(
        share, share, np.concatenate(mean), np.concatenate(covariance), np.zeros((same, d * (d - 1) // 2)),
        np.tile(np.log(scale), (same, 1)), np.tile(shift, (same, 1)), np.log(scale), shift,
        np.array(owner, dtype=np.int64),
    )  # fmt: skip
    return state, np.fmax(within, 1e-3)


def _step(
    state: _State,
    source: NDArray[np.float64],
    label: NDArray[np.integer],
    target: NDArray[np.float64],
    config: AlignmentConfig,
    spread: NDArray[np.float64],
) -> _State:
    """Return the parameters after one step of expectation-maximisation."""
    alignment = state.alignment()
    known = _of_class(alignment.source_log_parts(source), alignment.owner, label)
    parts = alignment.target_log_parts(target)
    of_source = np.exp(known - _log_sum(known)[:, None])
    of_target = np.exp(parts - _log_sum(parts)[:, None])
    state = _with_shares(state, of_source.sum(axis=0), of_target.sum(axis=0), config)
    first, second = _moments(of_source, source), _moments(of_target, target)
    state = _with_components(state, first, second, config, spread)
    state = _with_maps(state, second, config)
    return _with_common(state, config)


def _with_shares(
    state: _State, of_source: NDArray[np.float64], of_target: NDArray[np.float64], config: AlignmentConfig
) -> _State:
    counts = (of_source, of_target) if not config.share_labels else (of_source + of_target,) * 2
    shares = [np.log((count + _PSEUDO) / (count + _PSEUDO).sum()) for count in counts]
    return dataclasses.replace(state, log_share=shares[0], log_target_share=shares[1])


_Moments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _moments(share: NDArray[np.float64], rows: NDArray[np.float64]) -> _Moments:
    """Return number (K,), mean (K, D) and scatter (K, D, D) of rows (N, D) that belong to components by `share`."""
    count = share.sum(axis=0)
    mean = (share.T @ rows) / np.fmax(count, 1e-300)[:, None]
    scatter = np.stack([
        ((rows - centre) * each[:, None]).T @ (rows - centre) for centre, each in zip(mean, share.T, strict=True)
    ])  # fmt: skip
    return count, mean, scatter


def _with_components(
    state: _State, first: _Moments, second: _Moments, config: AlignmentConfig, spread: NDArray[np.float64]
) -> _State:
    """Set means and covariances to their best, target rows mapped back."""
    alignment = state.alignment()
    inverse = alignment.rotation.transpose(0, 2, 1) / alignment.scale[:, :, None]
    (n, mean, scatter), (m, away, other) = first, second
    back = np.einsum("kde,ke->kd", inverse, away - alignment.shift)
    other = inverse @ other @ inverse.transpose(0, 2, 1)
    total = n + m
    centre = (n[:, None] * mean + m[:, None] * back) / np.fmax(total, 1e-300)[:, None]
    for rows, where in ((n, mean), (m, back)):
        scatter = scatter + rows[:, None, None] * (where - centre)[:, :, None] * (where - centre)[:, None, :]
    prior = config.covariance_rows * np.diag(spread)
    covariance = (scatter + other + prior) / (total + config.covariance_rows)[:, None, None]
    return dataclasses.replace(state, mean=centre, covariance=covariance)


def _with_maps(state: _State, second: _Moments, config: AlignmentConfig) -> _State:
    """Climb in rotations, scales and shifts; stay where nothing is gained."""
    fixed = tuple(map(torch.from_numpy, (*second, state.mean, state.covariance)))
    packed = torch.from_numpy(np.hstack([state.angle, state.log_scale, state.shift])).requires_grad_()
    common = torch.from_numpy(np.concatenate([state.common_log_scale, state.common_shift]))
    rows = max(1.0, float(second[0].sum()))

    def loss() -> torch.Tensor:
        return -(_expected(packed, *fixed) + _map_prior(packed, common, config)) / rows

    before, kept = loss().item(), packed.detach().clone()
    optimiser = torch.optim.LBFGS([packed], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    if not loss().item() <= before:
        packed = kept
    d = state.mean.shape[1]
    angle, log_scale, shift = np.split(packed.detach().numpy(), [packed.shape[1] - 2 * d, packed.shape[1] - d], axis=1)
    return dataclasses.replace(state, angle=angle, log_scale=log_scale, shift=shift)


def _with_common(state: _State, config: AlignmentConfig) -> _State:
    """Set what the maps have in common to its best."""
    k = len(state.log_scale)
    own, whole = config.own_scale_sd**-2, config.log_scale_sd**-2
    log_scale = own * state.log_scale.sum(axis=0) / (k * own + whole)
    return dataclasses.replace(state, common_log_scale=log_scale, common_shift=state.shift.mean(axis=0))


def _rotation(angle: torch.Tensor, d: int) -> torch.Tensor:
    """Return rotations (K, D, D) from their angles (K, D (D - 1) / 2): the exponential of a skew matrix."""
    skew = torch.zeros((len(angle), d, d), dtype=angle.dtype)
    row, column = torch.tril_indices(d, d, -1)
    skew[:, row, column] = angle
    return torch.linalg.matrix_exp(skew - skew.transpose(1, 2))


def _expected(
    packed: torch.Tensor,
    count: torch.Tensor,
    mean: torch.Tensor,
    scatter: torch.Tensor,
    centre: torch.Tensor,
    covariance: torch.Tensor,
) -> torch.Tensor:
    """Return the expected log-likelihood of target rows with given moments, but for what no map changes."""
    d = centre.shape[1]
    angle, log_scale, shift = packed.split([packed.shape[1] - 2 * d, d, d], dim=1)
    inverse = _rotation(angle, d).transpose(1, 2) * torch.exp(-log_scale)[:, :, None]
    away = torch.einsum("kde,ke->kd", inverse, mean - shift) - centre
    square = inverse @ scatter @ inverse.transpose(1, 2) + count[:, None, None] * away[:, :, None] * away[:, None, :]
    fit = torch.einsum("kde,ked->k", torch.linalg.inv(covariance), square)
    return (-0.5 * fit - count * log_scale.sum(dim=1)).sum()


def _map_prior(packed: torch.Tensor, common: torch.Tensor, config: AlignmentConfig) -> torch.Tensor:
    d = len(common) // 2
    angle, own = packed[:, : packed.shape[1] - 2 * d], packed[:, packed.shape[1] - 2 * d :] - common
    log_scale, shift = own.split([d, d], dim=1)
    return -0.5 * (
        (angle / config.angle_sd).square().sum()
        + (log_scale / config.own_scale_sd).square().sum()
        + (shift / config.own_shift_sd).square().sum()
    )


def _log_prior(state: _State, config: AlignmentConfig, spread: NDArray[np.float64]) -> float:
    packed, common = (
        torch.from_numpy(np.concatenate(each, axis=-1))
        for each in (
            [state.angle, state.log_scale, state.shift],
            [state.common_log_scale, state.common_shift],
        )
    )
    shares = (state.log_share, state.log_target_share) if not config.share_labels else (state.log_share,)
    covariance = np.linalg.slogdet(state.covariance)[1] + np.einsum(
        "kdd,d->k", np.linalg.inv(state.covariance), spread
    )
    return float(
        _map_prior(packed, common, config)
        - 0.5 * ((state.common_log_scale / config.log_scale_sd) ** 2).sum()
        + _PSEUDO * sum(share.sum() for share in shares)
        - 0.5 * config.covariance_rows * covariance.sum()
    )


def _of_class(
    parts: NDArray[np.float64], owner: NDArray[np.int64], label: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return logarithms (N, K) with the components of other classes than a row's own struck out."""
    return np.where(owner == label[:, None], parts, -np.inf)


def _log_sum(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    top = parts.max(axis=1)
    return np.asarray(top + np.log(np.exp(parts - top[:, None]).sum(axis=1)))


