"""Fit `skyloom.models.survey_shift.alignment.Alignment` to labelled rows of one survey and rows of another.

Expectation-maximisation of the penalised likelihood of both data sets. The M step goes in blocks, each of which
cannot lower the objective: shares, means and covariances have closed forms; maps climb by L-BFGS
(`skyloom.evaluation.alignment_maps`). Nothing of it sees a label of the target.

Source: Benavente, Protopapas & Pichara 2017 (ads:2017ApJ...845..147B) for the model. Departures: the source's
labels say which components a source row can come from; the maps have a prior that draws them together;
covariances have one, too; shares may differ between the surveys.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.alignment_maps import (
    Maps,
    Moments,
    climbed,
    expected_slope,
    log_prior,
    moments,
    rotations,
)
from skyloom.models.survey_shift.alignment import Alignment

__all__ = ["AlignmentConfig", "Fitted", "fit_alignment", "slope_at_identity"]

_LEAST_ROWS = 10
"""Source rows of a class."""
_PSEUDO = 1.0
"""Rows added to each share."""
_RIDGE = 0.05
"""Added to the variances of the first guess."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AlignmentConfig:
    """Priors and effort. Features are standardised, so lengths are in units of their spread."""

    per_class: int = 2
    """Components of each class; one for every 40 of its rows at most."""
    steps: int = 15
    """Of expectation-maximisation, at most."""
    tolerance: float = 1e-5
    """Gain in the objective per row below which no further step is made."""
    share_labels: bool = False
    """Whether components have the same shares in both surveys."""
    log_scale_sd: float = 0.5
    """Of the mean logarithm of the scales, about 0."""
    own_scale_sd: float = 0.05
    """Of a component's logarithms of scales about the mean of all components."""
    own_shift_sd: float = 0.1
    """Of a component's shift about the mean of all components."""
    angle_sd: float = 0.03
    """Of each angle of a rotation, rad, about 0."""
    covariance_rows: float = 10.0
    """Rows that the prior of a covariance is worth."""

    def __post_init__(self) -> None:
        scales = (self.log_scale_sd, self.own_scale_sd, self.own_shift_sd, self.angle_sd)
        if min(self.per_class, self.steps) < 1 or not min(*scales, self.tolerance, self.covariance_rows) > 0.0:
            msg = f"all settings of an alignment are positive, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What came out of `fit_alignment`."""

    alignment: Alignment
    objective: tuple[float, ...]
    """Penalised log-likelihood of both data sets, before the first step and after each; never falls."""


def fit_alignment(
    source: Floats,
    label: NDArray[np.integer],
    target: Floats,
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
    rows = _Rows(source, label, target, _spread_within(source, label))
    state = _start(rows, config, seed)
    values = [_objective(state, rows, config)]
    for _ in range(config.steps):
        state = _step(state, rows, config)
        values.append(_objective(state, rows, config))
        if values[-1] - values[-2] < config.tolerance * (len(source) + len(target)):
            break
    return Fitted(state.alignment(), tuple(values))


def slope_at_identity(fitted: Alignment, target: Floats) -> Floats:
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
    return expected_slope(moments(_shares(still.target_log_parts(target)), target), still.mean, still.covariance)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    source: Floats
    label: NDArray[np.integer]
    target: Floats
    spread: Floats
    """Variance within classes of the source, (D,): what the prior of covariances is about."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    log_share: Floats
    log_target_share: Floats
    mean: Floats
    covariance: Floats
    maps: Maps
    owner: NDArray[np.int64]

    def alignment(self) -> Alignment:
        rotation = rotations(self.maps.angle, self.mean.shape[1])
        shares = np.exp(self.log_share), np.exp(self.log_target_share)
        scale = np.exp(self.maps.log_scale)
        return Alignment(*shares, self.mean, self.covariance, rotation, scale, self.maps.shift, self.owner)


def _refuse(source: Floats, label: NDArray[np.integer], target: Floats) -> None:
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1] or len(label) != len(source):
        msg = f"source, labels and target have shapes {source.shape}, {label.shape} and {target.shape}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        msg = "an alignment needs finite features; leave out or fill the rows that have others"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    count = np.bincount(label) if len(label) else np.zeros(1, dtype=np.int64)
    if count.min() < _LEAST_ROWS or len(target) < _LEAST_ROWS:
        msg = f"each class needs {_LEAST_ROWS} source rows, and the target so many, got {count.tolist()}"
        raise SpecError(f"{msg} and {len(target)}", kind=ErrorKind.BAD_PARAMETER)


def _spread_within(source: Floats, label: NDArray[np.integer]) -> Floats:
    within = np.zeros(source.shape[1])
    for k in range(int(label.max()) + 1):
        rows = source[label == k]
        within += ((rows - rows.mean(axis=0)) ** 2).sum(axis=0) / len(source)
    return np.fmax(within, 1e-3)


def _start(rows: _Rows, config: AlignmentConfig, seed: int) -> _State:
    """Return components found class by class, all with the identity for a map."""
    from sklearn.mixture import GaussianMixture

    source, d = rows.source, rows.source.shape[1]
    found, owner = [], []
    for k in range(int(rows.label.max()) + 1):
        own = source[rows.label == k]
        n = max(1, min(config.per_class, len(own) // 40))
        mixture = GaussianMixture(n, covariance_type="full", reg_covar=_RIDGE, random_state=seed).fit(own)
        found.append((mixture.weights_ * len(own) / len(source), mixture.means_, mixture.covariances_))
        owner += [k] * n
    share, mean, covariance = (np.concatenate(each) for each in zip(*found, strict=True))
    maps = Maps.alike(np.ones(d), np.zeros(d), len(share))
    return _State(np.log(share), np.log(share), mean, covariance, maps, np.array(owner, dtype=np.int64))


def _step(state: _State, rows: _Rows, config: AlignmentConfig) -> _State:
    """Return the parameters after one step of expectation-maximisation."""
    alignment = state.alignment()
    of_source = _shares(_of_class(alignment.source_log_parts(rows.source), alignment.owner, rows.label))
    of_target = _shares(alignment.target_log_parts(rows.target))
    counts = [of_source.sum(axis=0), of_target.sum(axis=0)]
    if config.share_labels:
        counts = [counts[0] + counts[1]] * 2
    shares = [np.log((count + _PSEUDO) / (count + _PSEUDO).sum()) for count in counts]
    second = moments(of_target, rows.target)
    mean, covariance = _components(alignment, moments(of_source, rows.source), second, rows, config)
    maps = climbed(state.maps, second, mean, covariance, config)
    return _State(shares[0], shares[1], mean, covariance, maps, state.owner)


def _components(
    alignment: Alignment, first: Moments, second: Moments, rows: _Rows, config: AlignmentConfig
) -> tuple[Floats, Floats]:
    """Return the best means and covariances, target rows mapped back."""
    inverse = alignment.rotation.transpose(0, 2, 1) / alignment.scale[:, :, None]
    back = np.einsum("kde,ke->kd", inverse, second.mean - alignment.shift)
    total = first.count + second.count
    weighted = first.count[:, None] * first.mean + second.count[:, None] * back
    centre = weighted / np.fmax(total, 1e-300)[:, None]
    scatter = first.scatter + inverse @ second.scatter @ inverse.transpose(0, 2, 1)
    for count, where in ((first.count, first.mean), (second.count, back)):
        away = where - centre
        scatter = scatter + count[:, None, None] * away[:, :, None] * away[:, None, :]
    prior = config.covariance_rows * np.diag(rows.spread)
    return centre, (scatter + prior) / (total + config.covariance_rows)[:, None, None]


def _objective(state: _State, rows: _Rows, config: AlignmentConfig) -> float:
    alignment = state.alignment()
    known = _of_class(alignment.source_log_parts(rows.source), alignment.owner, rows.label)
    likelihood = _log_sum(known).sum() + _log_sum(alignment.target_log_parts(rows.target)).sum()
    shares = (state.log_share,) if config.share_labels else (state.log_share, state.log_target_share)
    covariance = np.linalg.slogdet(state.covariance)[1] + np.einsum(
        "kdd,d->k", np.linalg.inv(state.covariance), rows.spread
    )
    return float(
        likelihood
        + log_prior(state.maps, config)
        + _PSEUDO * sum(share.sum() for share in shares)
        - 0.5 * config.covariance_rows * covariance.sum()
    )


def _of_class(parts: Floats, owner: NDArray[np.int64], label: NDArray[np.integer]) -> Floats:
    """Return logarithms (N, K) with the components of other classes than a row's own struck out."""
    return np.where(owner == label[:, None], parts, -np.inf)


def _shares(parts: Floats) -> Floats:
    return np.asarray(np.exp(parts - _log_sum(parts)[:, None]))


def _log_sum(parts: Floats) -> Floats:
    top = parts.max(axis=1)
    return np.asarray(top + np.log(np.exp(parts - top[:, None]).sum(axis=1)))
