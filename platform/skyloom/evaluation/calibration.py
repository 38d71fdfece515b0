"""Calibration: fit it on objects that trained nothing, and say how well it holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.card import Bin
from skyloom.models.probabilities import calibrated, calibrated_binary, tempered

__all__ = [
    "expected_calibration_error",
    "fit_binary",
    "fit_isotonic",
    "fit_multiclass",
    "fit_temperature",
    "reliability",
]

_BIAS_PENALTY = 0.05
"""Weight of the squared biases: a small class must not be moved by three objects."""

_TEMPERATURES = (0.01, 100.0)


def fit_multiclass(scores: NDArray[np.float64], target: NDArray[np.integer]) -> tuple[float, NDArray[np.float64]]:
    """Fit the scale and biases of `skyloom.models.probabilities.calibrated` by maximum likelihood.

    Parameters
    ----------
    scores : ndarray, shape (N, K)
        Raw scores of rows that trained nothing.
    target : ndarray of integers, shape (N,)
        Place of the true class.

    Returns
    -------
    scale : float
    bias : ndarray, shape (K,)

    Raises
    ------
    SpecError
        If there are no rows.
    """
    _refuse_nothing(scores)
    from scipy.optimize import minimize

    hot = np.eye(scores.shape[1])[target]

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(x[0]), x[1:]
        p = calibrated(scores, scale, bias)
        away = (p - hot) / len(scores)
        value = -np.log(np.fmax((p * hot).sum(axis=1), 1e-300)).mean() + _BIAS_PENALTY * (bias**2).mean()
        slope = np.concatenate(
            ([(away * scores).sum() * scale], away.sum(axis=0) + 2 * _BIAS_PENALTY * bias / len(bias))
        )
        return float(value), slope

    found = minimize(loss, np.zeros(1 + scores.shape[1]), jac=True, method="L-BFGS-B")
    return float(np.exp(found.x[0])), np.asarray(found.x[1:], dtype=np.float64)


def fit_temperature(scores: NDArray[np.float64], target: NDArray[np.integer]) -> float:
    """Fit the temperature of `skyloom.models.probabilities.tempered` by maximum likelihood.

    Parameters
    ----------
    scores : ndarray, shape (N, K)
        Raw scores (logits) of rows that trained nothing.
    target : ndarray of integers, shape (N,)
        Place of the true class.

    Returns
    -------
    float
        Between 0.01 and 100: the likelihood of scores that are never wrong, or that tell
        nothing, grows up to the end.

    Raises
    ------
    SpecError
        If there are no rows.

    References
    ----------
    Guo et al. 2017, PMLR 70, 1321.
    """
    _refuse_nothing(scores)
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(scores))

    def loss(log_temperature: float) -> float:
        p = tempered(scores, float(np.exp(log_temperature)))
        return float(-np.log(np.fmax(p[rows, target], 1e-300)).mean())

    # One minimum: the loss is convex in 1 / temperature.
    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def fit_isotonic(
    p: NDArray[np.floating], happened: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit `skyloom.models.probabilities.isotonic`: the rising curve closest to what happened.

    Takes a few hundred rows and more; below that, `fit_binary` has less to learn.

    Parameters
    ----------
    p : ndarray, shape (N,)
        Probability of one event, of rows that trained nothing.
    happened : ndarray of bool, shape (N,)

    Returns
    -------
    knots, values : ndarray of float64, shape (T,)
        Values lie between 1 / (N + 2) and 1 - 1 / (N + 2): N rows make nobody surer than that.

    Raises
    ------
    SpecError
        If there are no rows, or a probability is NaN.
    """
    _refuse_nothing(p)
    if np.isnan(p).any():
        msg = f"{int(np.isnan(p).sum())} of {len(p)} probabilities are NaN; leave their rows out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    from sklearn.isotonic import IsotonicRegression

    least = 1.0 / (len(p) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1.0 - least).fit(
        p.astype(np.float64), happened.astype(np.float64)
    )
    return fitted.X_thresholds_.astype(np.float64), fitted.y_thresholds_.astype(np.float64)


def _refuse_nothing(rows: NDArray[np.floating]) -> None:
    if not len(rows):
        msg = "calibration needs at least one row, got none"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def fit_binary(p: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit `skyloom.models.probabilities.calibrated_binary` (Platt 1999) by maximum likelihood.

    Parameters
    ----------
    p : ndarray, shape (N,)
    positive : ndarray of bool, shape (N,)

    Returns
    -------
    scale, bias : float
    """
    from scipy.optimize import minimize

    def loss(x: NDArray[np.float64]) -> float:
        q = np.clip(calibrated_binary(p, float(np.exp(x[0])), float(x[1])), 1e-12, 1 - 1e-12)
        return float(-np.where(positive, np.log(q), np.log(1 - q)).mean())

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    return float(np.exp(found.x[0])), float(found.x[1])


def reliability(
    p: NDArray[np.floating], happened: NDArray[np.bool_], *, what: str, bins: int = 10
) -> tuple[Bin, ...]:
    """Return the reliability table: how often what got probability p happened.

    Parameters
    ----------
    p, happened : ndarray, shape (N,)
    what : str
        What the probability is of.
    bins : int
        Equal intervals of p; empty ones are left out.
    """
    place = np.clip((p * bins).astype(int), 0, bins - 1)
    return tuple(
        Bin(
            what,
            k / bins,
            (k + 1) / bins,
            int(inside.sum()),
            float(p[inside].mean()),
            float(happened[inside].mean()),
        )
        for k in range(bins)
        if (inside := place == k).any()
    )


def expected_calibration_error(p: NDArray[np.floating], happened: NDArray[np.bool_]) -> float:
    """Return the mean distance of observed fraction and mean probability over 10 bins, by number of rows."""
    table = reliability(p, happened, what="")
    return sum(b.n * abs(b.mean_p - b.observed) for b in table) / max(1, sum(b.n for b in table))
