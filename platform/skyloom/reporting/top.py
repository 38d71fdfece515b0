"""The first few rows of an order, kept while all rows pass by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skyloom.reporting.roles import Ranking

__all__ = ["Place", "TopRows"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A row of a layer, and of its catalog: the same place in both."""

    partition: int
    """Number of the partition, in the layer's order."""
    row: int


@dataclass(slots=True)
class TopRows:
    """The first `most` rows of an order; of equal ones the first in the layer."""

    ranking: Ranking
    most: int
    _kept: list[tuple[float, Place]] = field(default_factory=list)

    def add(self, values: NDArray[np.float64], partition: int, start: int) -> None:
        """Look at consecutive rows of a partition, from row `start` on; NaN is no value."""
        key = -values if self.ranking.highest else values
        finite = np.flatnonzero(np.isfinite(key))
        if not len(finite):
            return
        order = finite[np.argsort(key[finite], kind="stable")[: self.most]]
        new = [(float(key[i]), Place(partition, start + int(i))) for i in order]
        self._kept = sorted([*self._kept, *new])[: self.most]

    @property
    def rows(self) -> list[tuple[float, Place]]:
        """Value and place of each, first things first."""
        sign = -1.0 if self.ranking.highest else 1.0
        return [(sign * key, place) for key, place in self._kept]
