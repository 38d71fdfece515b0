"""Adapt a labelled survey to another one: CORAL, and the mixture that starts from it or from the identity.

CORAL gives source rows the mean and covariance of the target (Sun, Feng & Saenko 2016, arXiv:1511.05547):
whiten, colour, shift, in closed form.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.alignment import AlignmentConfig, fit_alignment
from skyloom.evaluation.domains import spread_of
from skyloom.models.novelty import standardise
from skyloom.models.survey_shift import Space, mapped_source
from skyloom.models.survey_shift.alignment import Alignment

__all__ = ["Adaptation", "adapt", "coral", "fit_space"]

RIDGE = 0.1
"""Added to the variances of standardised features: directions that hardly vary are left alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """A fitted map from a source survey to a target."""

    space: Space
    alignment: Alignment
    objective: tuple[float, ...]
    """Of the fit, step by step."""
    start: str
    """``coral`` or ``identity``: the first guess that was kept."""

    def mapped(self, features: NDArray[np.floating], label: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return labelled source features (N, D) in the target, standardised."""
        return mapped_source(self.space, self.alignment, features, label)


def coral(
    source: NDArray[np.float64], target: NDArray[np.float64], *, ridge: float = RIDGE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix (D, D) and offset (D,): ``source @ matrix + offset`` has the target's mean and covariance.

    Parameters
    ----------
    source, target : ndarray, shape (N, D) and (M, D)
    ridge : float
        Added to all variances first; at 0 the covariances agree exactly.
    """
    unit = ridge * np.eye(source.shape[1])
    whiten, color = (
        _power(np.cov(rows.T).reshape(unit.shape) + unit, power) for rows, power in ((source, -0.5), (target, 0.5))
    )
    linear = whiten @ color
    return linear, target.mean(axis=0) - source.mean(axis=0) @ linear


def fit_space(source: NDArray[np.floating], target: NDArray[np.floating], *, ridge: float = RIDGE) -> Space:
    """Return the standardisation by the source's spread, and CORAL between the standardised surveys."""
    centre, width = spread_of(source)
    a, b = (standardise(rows.astype(np.float64), centre, width) for rows in (source, target))
    return Space(centre, width, *coral(a, b, ridge=ridge))


def adapt(
    source: NDArray[np.floating],
    label: NDArray[np.integer],
    target: NDArray[np.floating],
    config: AlignmentConfig | None = None,
    *,
    seed: int = 0,
) -> Adaptation:
    """Fit the mixture, with a map for each component, from two first guesses of a global map; keep the likelier.

    The guesses are CORAL and the identity: where the shares of classes differ much, CORAL takes that for a shift.
    What decides is the penalised likelihood of both data sets, in which no label of the target has a part.

    Parameters
    ----------
    source : ndarray, shape (N, D)
    label : ndarray of integers, shape (N,)
    target : ndarray, shape (M, D)
        Without labels.
    config, seed
        As `skyloom.evaluation.alignment.fit_alignment` takes them.

    Raises
    ------
    SpecError
        As `fit_alignment`.
    """
    coral_start, d = fit_space(source, target), source.shape[1]
    still = dataclasses.replace(coral_start, linear=np.eye(d), offset=np.zeros(d))
    found = []
    for name, space in (("coral", coral_start), ("identity", still)):
        fitted = fit_alignment(space.source(source), label, space.standardised(target), config, seed=seed)
        # Densities of source rows are of mapped ones: put them into one space.
        joint = fitted.objective[-1] + len(source) * float(np.linalg.slogdet(space.linear)[1])
        found.append((joint, Adaptation(space, fitted.alignment, fitted.objective, name)))
    return max(found, key=lambda each: each[0])[1]


def _power(matrix: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Return a power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.fmax(values, 1e-12) ** power) @ vectors.T)
