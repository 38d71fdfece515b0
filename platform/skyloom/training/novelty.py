"""Fit the out-of-distribution p-value of `skyloom.models.novelty`."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from numpy.typing import NDArray

from skyloom.models.novelty import Novelty, standardise

__all__ = ["fit_novelty", "robust_scale"]

_SHRINKAGE = 0.1
"""Share of the unit matrix in the covariance: keeps it invertible and the directions few."""


def robust_scale(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median and 75th percentile of the distance from it, of each column (N, D); NaN left out."""
    values = values.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value
        centre = np.nan_to_num(np.nanmedian(values, axis=0))
        width = np.nan_to_num(np.nanpercentile(np.abs(values - centre), 75, axis=0))
    return centre, np.where(width > 0, width, 1.0)


def fit_novelty(
    features: NDArray[np.float32],
    target: NDArray[np.integer],
    columns: NDArray[np.int64],
    train: NDArray[np.bool_],
    reference: NDArray[np.bool_],
) -> Novelty:
    """Fit class centres and one covariance on `train`, the distances' distribution on `reference`.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
    target : ndarray of integers, shape (N,)
    columns : ndarray of int64, shape (D,)
        Features to look at.
    train, reference : ndarray of bool, shape (N,)
        Disjoint.
    """
    values = features[:, columns].astype(np.float64)
    centre, width = robust_scale(values[train])
    z = standardise(values, centre, width)
    z = np.where(np.isnan(z), 0.0, z)
    classes = np.unique(target[train])
    means = np.stack([z[train & (target == k)].mean(axis=0) for k in classes])
    within = z[train] - means[np.searchsorted(classes, target[train])]
    covariance = within.T @ within / len(within)
    scale = np.trace(covariance) / len(covariance)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * scale * np.eye(len(covariance))
    whiten = np.linalg.cholesky(np.linalg.inv(covariance))
    novelty = Novelty(columns, centre, width, whiten, means @ whiten, np.empty(0))
    return dataclasses.replace(novelty, reference=np.sort(novelty.distance(features[reference])))
