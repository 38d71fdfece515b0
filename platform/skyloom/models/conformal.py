"""Split-conformal sets and intervals: coverage that holds whatever the model, as fixed numbers.

Both rest on one fact: among n calibration rows and one new one, drawn alike and in any order, the
new one's score is equally likely to take any of the n + 1 ranks. They promise coverage *on average
over rows like the calibration rows*, not for each class or magnitude, and nothing where the sky
differs from them.

References
----------
Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World (the principle);
Sadinle, Lei & Wasserman 2019, JASA 114, 223 (the sets: least ones for a coverage);
Lei et al. 2018, JASA 113, 1094 (the intervals).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError

__all__ = [
    "interval_columns",
    "interval_half_width",
    "intervals",
    "prediction_sets",
    "set_names",
    "set_threshold",
]

_DIGITS = 9
"""Ranks are rounded to it first: 10 * (1 - 0.9) is 0.9999999999999998 and means 1."""


def set_threshold(p_true: NDArray[np.floating], coverage: float) -> float:
    """Return the probability from which a class is in the set, so that sets hold the true class.

    Parameters
    ----------
    p_true : ndarray, shape (N,)
        Probability of the true class, of rows that neither trained nor calibrated anything.
    coverage : float
        Share of rows whose set shall hold the true class; between 0 and 1.

    Returns
    -------
    float
        The ``floor((N + 1) (1 - coverage))``-th smallest; 0 (every class is in) where N is too
        small for the coverage.

    Raises
    ------
    SpecError
        If `coverage` is not between 0 and 1, or a probability is NaN.
    """
    ordered = _ordered(p_true, coverage)
    place = math.floor(round((len(ordered) + 1) * (1.0 - coverage), _DIGITS))
    return float(ordered[place - 1]) if place else 0.0


def prediction_sets(p: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Return which classes are in each row's set.

    Parameters
    ----------
    p : ndarray, shape (M, C)
        Probabilities as those that `set_threshold` saw.
    threshold : float

    Returns
    -------
    ndarray of bool, shape (M, C)
        Never an empty row: the most probable class (the first of equals) is always in, which
        only adds to the coverage.
    """
    return np.asarray((p >= threshold) | (np.arange(p.shape[1]) == p.argmax(axis=1)[:, None]))


def set_names(inside: NDArray[np.bool_], classes: tuple[str, ...]) -> NDArray[np.str_]:
    """Return sets (M, C) as text, shape (M,): the names of the classes, joined by a bar."""
    words = ["|".join(name for name, there in zip(classes, row, strict=True) if there) for row in inside]
    return np.array(words, dtype=np.str_)


def interval_half_width(scores: NDArray[np.floating], coverage: float) -> float:
    """Return how far about a prediction the truth lies, in the unit of the scores.

    Parameters
    ----------
    scores : ndarray, shape (N,)
        Distance of truth and prediction, of rows that trained nothing. Divided by a predicted
        uncertainty, the half width is in units of it, and intervals follow it from row to row.
    coverage : float
        Share of rows whose interval shall hold the truth; between 0 and 1.

    Returns
    -------
    float
        The ``ceil((N + 1) coverage)``-th smallest; infinite where N is too small for the coverage.

    Raises
    ------
    SpecError
        If `coverage` is not between 0 and 1, or a score is NaN.
    """
    ordered = _ordered(scores, coverage)
    place = math.ceil(round((len(ordered) + 1) * coverage, _DIGITS))
    return float(ordered[place - 1]) if place <= len(ordered) else math.inf


def intervals(
    prediction: NDArray[np.floating], half_width: float, spread: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the ends of the intervals about predictions (M,): two float32 arrays (M,).

    Parameters
    ----------
    prediction : ndarray, shape (M,)
    half_width : float
        As `interval_half_width` gives it.
    spread : ndarray, shape (M,), optional
        Predicted uncertainties, where the scores of `interval_half_width` were divided by them.
    """
    away = half_width if spread is None else half_width * spread
    return (prediction - away).astype(np.float32), (prediction + away).astype(np.float32)


def interval_columns(name: str, unit: str, what: str, ucd: str) -> tuple[Column, Column]:
    """Return the columns ``<name>_lo90`` and ``<name>_hi90`` of 90 % intervals.

    Parameters
    ----------
    name : str
        Of the predicted column.
    unit, ucd : str
        Of the predicted column.
    what : str
        The predicted quantity in words.
    """
    said = (("lo90", "lower", "stat.min"), ("hi90", "upper", "stat.max"))
    low, high = (
        Column(f"{name}_{end}", unit, f"{word} end of the 90 % interval of {what}: holds in 90 % of like rows",
               "float32", f"{more};{ucd}")
        for end, word, more in said
    )  # fmt: skip
    return low, high


def _ordered(scores: NDArray[np.floating], coverage: float) -> NDArray[np.floating]:
    if not 0.0 < coverage < 1.0:
        msg = f"coverage must lie between 0 and 1, got {coverage}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, coverage=coverage)
    if np.isnan(scores).any():
        msg = f"{int(np.isnan(scores).sum())} of {len(scores)} conformal scores are NaN; leave their rows out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    return np.sort(scores)
