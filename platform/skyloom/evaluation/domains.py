"""Fit `skyloom.models.domain_classifier`, and say how well two sets of rows can be told apart at all."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.scores import area_under_roc
from skyloom.models.domain_classifier import DomainClassifier
from skyloom.models.novelty import standardise

__all__ = ["domain_auc", "fit_domain_classifier", "spread_of"]

_PENALTY = 1.0
"""Weight of the squared coefficients against the sum of losses."""
_LEAST = 4


def spread_of(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median and half of the central two thirds (1 sigma of a normal) of columns (N, D); NaN left out.

    A column without spread, or without a value, has 1.
    """
    values = values.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value
        low, centre, high = np.nanpercentile(values, [15.865, 50.0, 84.135], axis=0)
    width = np.nan_to_num((high - low) / 2.0)
    return np.nan_to_num(centre), np.where(width > 0.0, width, 1.0)


def fit_domain_classifier(
    training: NDArray[np.floating], target: NDArray[np.floating], *, penalty: float = _PENALTY
) -> DomainClassifier:
    """Fit a logistic regression that tells target rows from training rows, both sets weighing the same.

    Parameters
    ----------
    training : ndarray, shape (N, D)
        NaN is missing.
    target : ndarray, shape (M, D)
    penalty : float
        Weight of half the squared coefficients, in rows; not negative.

    Raises
    ------
    SpecError
        If the sets have other numbers of features, or fewer than 4 rows.
    """
    if training.ndim != 2 or training.shape[1:] != target.shape[1:] or min(len(training), len(target)) < _LEAST:
        msg = f"two sets of at least {_LEAST} rows with the same features are needed, got {training.shape}"
        raise SpecError(f"{msg} and {target.shape}", kind=ErrorKind.BAD_PARAMETER)
    from scipy.optimize import minimize

    centre, width = spread_of(training)
    z = np.nan_to_num(standardise(np.vstack([training, target]).astype(np.float64), centre, width))
    inputs = np.column_stack([z, z**2])
    middle, scale = inputs.mean(axis=0), inputs.std(axis=0)
    inputs = (inputs - middle) / np.where(scale > 0.0, scale, 1.0)
    is_target = np.arange(len(inputs)) >= len(training)
    weight = np.where(is_target, 0.5 / len(target), 0.5 / len(training))
    sign = np.where(is_target, 1.0, -1.0)

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (inputs @ x[1:] + x[0])
        value = weight @ np.logaddexp(0.0, -margin)
        slope = -weight * sign / (1.0 + np.exp(np.clip(margin, -500.0, 500.0)))
        pull = penalty / len(inputs)
        gradient = np.concatenate(([slope.sum()], inputs.T @ slope + pull * x[1:]))
        return float(value + 0.5 * pull * (x[1:] ** 2).sum()), gradient

    found = minimize(loss, np.zeros(1 + inputs.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    coefficients = found[1:] / np.where(scale > 0.0, scale, 1.0)
    d = training.shape[1]
    intercept = float(found[0] - coefficients @ middle)
    return DomainClassifier(centre, width, coefficients[:d], coefficients[d:], intercept)


def domain_auc(first: NDArray[np.floating], second: NDArray[np.floating], *, seed: int = 0) -> float:
    """Return how well rows (N, D) and (M, D) are told apart: 0.5 not at all, 1 without error.

    The area under the ROC curve of a domain classifier, each half of the rows scored by one that was
    fitted on the other half; NaN where a set has fewer than 8 rows.

    Parameters
    ----------
    first, second : ndarray
        NaN is missing.
    seed : int
        Of the halves.
    """
    if min(len(first), len(second)) < 2 * _LEAST:
        return float("nan")
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(len(rows)) % 2 == 0 for rows in (first, second)]
    areas = []
    for a, b in (halves, [~half for half in halves]):
        classifier = fit_domain_classifier(first[a], second[b])
        score = np.concatenate([classifier.logit(first[~a]), classifier.logit(second[~b])])
        areas.append(area_under_roc(score, np.arange(len(score)) >= int((~a).sum())))
    return float(np.mean(areas))
