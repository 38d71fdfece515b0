"""Where the mixture of survey-shift lives: standardised features, source rows after a global map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.models.novelty import standardise
from skyloom.models.survey_shift.alignment import Alignment

__all__ = ["Space", "mapped_source"]


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where the mixture lives: standardised features, source rows after the global map.

    Attributes
    ----------
    centre, width : ndarray of float64, shape (D,)
        Of `skyloom.models.novelty.standardise`, both surveys alike.
    linear : ndarray of float64, shape (D, D)
    offset : ndarray of float64, shape (D,)
        ``z @ linear + offset`` is a standardised source row in the target, to first order.
    """

    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    linear: NDArray[np.float64]
    offset: NDArray[np.float64]

    def standardised(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return features (N, D) of either survey, standardised."""
        return standardise(features.astype(np.float64), self.centre, self.width)

    def source(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return source features (N, D) standardised and mapped to first order."""
        return _times(self.standardised(features), self.linear) + self.offset

    def source_features(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features of which `source` gives `rows`."""
        z = _times(rows - self.offset, np.linalg.inv(self.linear))
        return np.asarray(np.sinh(z) * self.width + self.centre)


def mapped_source(
    space: Space, alignment: Alignment, features: NDArray[np.floating], label: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return labelled source features (N, D) in the target, standardised: by the map of the likeliest component.

    Among the components of a row's own class.
    """
    rows = space.source(features)
    parts = np.where(alignment.owner == label[:, None], alignment.source_log_parts(rows), -np.inf)
    return np.take_along_axis(alignment.forward(rows), parts.argmax(axis=1)[:, None, None], axis=1)[:, 0]


def _times(rows: NDArray[np.float64], matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Multiply rows (N, D) with a matrix, one feature after the other: a row has the same bits in any batch."""
    out = np.zeros((len(rows), matrix.shape[1]))
    for d in range(rows.shape[1]):
        out = out + rows[:, d, None] * matrix[d]
    return out
