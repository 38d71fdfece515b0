"""Scores by subgroup: where a good mean hides a bad corner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.scores import bootstrap
from skyloom.models.card import Subgroup

__all__ = ["LEAST", "binned", "subgroup_scores"]

LEAST = 20
"""Objects below which a group gets no score, but its number and the reason."""


def binned(values: NDArray[np.floating], edges: Sequence[float], unit: str = "") -> NDArray[np.str_]:
    """Return the bin of each value in words, such as ``"14 to 15 mag"``; the outer bins are open.

    Parameters
    ----------
    values : ndarray, shape (N,)
        NaN is put into ``"not known"``.
    edges : sequence of float
        Ascending; K edges make K + 1 bins.
    unit : str

    Raises
    ------
    SpecError
        If the edges do not ascend, or there are none.
    """
    if not edges or any(a >= b for a, b in pairwise(edges)):
        msg = f"edges of bins must ascend, got {list(edges)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    end = f" {unit}" if unit else ""
    inner = [f"{a:g} to {b:g}{end}" for a, b in pairwise(edges)]
    names = np.array([f"below {edges[0]:g}{end}", *inner, f"{edges[-1]:g}{end} and above", "not known"])
    place = np.searchsorted(np.asarray(edges), values, side="right")
    return np.asarray(names[np.where(np.isnan(values), len(edges) + 1, place)])


def subgroup_scores(
    metric: str,
    measure: Callable[..., float],
    arrays: Sequence[NDArray[Any]],
    *,
    by: str,
    group: NDArray[np.str_],
    better: str = "higher",
) -> tuple[Subgroup, ...]:
    """Return ``measure(*arrays)`` over the rows of each group, with bootstrap errors.

    Parameters
    ----------
    metric : str
        What the measure is called.
    measure : callable
        From the arrays to a number, as those of `skyloom.evaluation.scores`.
    arrays : sequence of ndarray, shape (N, ...)
    by : str
        What divides the rows.
    group : ndarray of str, shape (N,)
        Name of each row's group; groups come in the order of their first names in sorted order.
    better : str

    Returns
    -------
    tuple of Subgroup
        One per group; one of fewer than `LEAST` rows, or whose measure is not defined, has NaN and
        the reason.
    """
    found = []
    for name in sorted(set(group.tolist()), key=_natural):
        rows = group == name
        n, value, error, reason = int(rows.sum()), math.nan, math.nan, f"fewer than {LEAST} objects"
        if n >= LEAST:
            part = [array[rows] for array in arrays]
            value, reason = measure(*part), ""
            if math.isfinite(value):
                error = bootstrap(measure, *part)
            else:
                value, reason = math.nan, "not defined: a class has no object"
        found.append(Subgroup(metric, by, str(name), n, value, error, better, reason))
    return tuple(found)


def _natural(name: str) -> tuple[int, float, str]:
    """Sort ``below`` first, then by number, ``not known`` last."""
    first = name.split(" ", maxsplit=1)[0]
    try:
        return 1, float(first), name
    except ValueError:
        return (0 if first == "below" else 2), 0.0, name
