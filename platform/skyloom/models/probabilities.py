"""From raw scores to probabilities: what calibration does to them, as fixed numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibrated", "calibrated_binary", "entropy", "isotonic", "softmax", "tempered"]

_TINY = 1e-12


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities over the last axis.

    Classes are added one after the other, so that a row gives the same bits in any batch.
    """
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total = np.zeros(scores.shape[:-1])
    for k in range(scores.shape[-1]):
        total = total + shifted[..., k]
    return np.asarray(shifted / total[..., None])


def calibrated(scores: NDArray[np.float64], scale: float, bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return calibrated probabilities: ``softmax(scale * scores + bias)``.

    Parameters
    ----------
    scores : ndarray, shape (..., K)
        Raw scores (log-probabilities up to a constant).
    scale : float
        Inverse temperature.
    bias : ndarray, shape (K,)
        Shift of each class: corrects the priors that training had.

    Returns
    -------
    ndarray of float64, shape (..., K)
        Each row adds to 1.

    References
    ----------
    Guo et al. 2017, PMLR 70, 1321 (temperature scaling; the bias is from their vector scaling).
    """
    return softmax(scale * scores + bias)


def tempered(scores: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return ``softmax(scores / temperature)``: softer above 1, sharper below; the order of classes stays.

    Parameters
    ----------
    scores : ndarray, shape (..., K)
    temperature : float
        As `skyloom.evaluation.calibration.fit_temperature` finds it; positive.
    """
    return softmax(scores / temperature)


def isotonic(
    p: NDArray[np.floating], knots: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return calibrated probabilities of one event: straight lines between knots, flat outside them.

    Never decreasing in `p`, rounding included, and element by element: a row gives the same bits
    in any batch.

    Parameters
    ----------
    p : ndarray, shape (...)
        Probabilities before calibration. NaN gives NaN.
    knots, values : ndarray, shape (T,)
        As `skyloom.evaluation.calibration.fit_isotonic` finds them: both ascending, `knots` strictly.

    References
    ----------
    Zadrozny & Elkan 2002, KDD (isotonic regression as calibration).
    """
    right = np.clip(np.searchsorted(knots, p, side="right"), 1, max(1, len(knots) - 1))
    left, right = right - 1, np.minimum(right, len(knots) - 1)
    width = knots[right] - knots[left]
    with np.errstate(over="ignore"):  # knots as near as numbers can be, and a probability far from both
        share = np.divide(p - knots[left], width, out=np.where(np.isnan(p), np.nan, 0.0), where=width > 0)
    line = values[left] + np.clip(share, 0.0, 1.0) * (values[right] - values[left])
    return np.asarray(np.clip(line, values[left], values[right]))


def calibrated_binary(p: NDArray[np.float64], scale: float, bias: float) -> NDArray[np.float64]:
    """Return ``sigmoid(scale * logit(p) + bias)`` (Platt scaling of a probability), shape as `p`."""
    inside = np.clip(p, _TINY, 1.0 - _TINY)
    return np.asarray(1.0 / (1.0 + np.exp(-(scale * np.log(inside / (1.0 - inside)) + bias))))


def entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy over the last axis in units of its largest value: 0 sure, 1 no idea."""
    total = np.zeros(p.shape[:-1])
    for k in range(p.shape[-1]):
        total = total - p[..., k] * np.log(np.fmax(p[..., k], _TINY))
    return np.asarray(np.clip(total / np.log(p.shape[-1]), 0.0, 1.0))
