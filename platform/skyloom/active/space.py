"""Features that every forest can read: finite, and with their gaps beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError

__all__ = ["FeatureSpace"]

_GAP_FRACTION = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSpace:
    """What is put where a feature is missing, and which gaps are features themselves.

    Attributes
    ----------
    centre, width : ndarray of float64, shape (F,)
        Median of each feature, and half of the distance between its 16th and 84th percentile
        (1 where that is 0); of a sample.
    gaps : ndarray of int64, shape (G,)
        Features that 2 to 98 per cent of the sample lack.
    """

    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    gaps: NDArray[np.int64]

    @classmethod
    def of(cls, sample: NDArray[np.floating]) -> FeatureSpace:
        """Take the medians and the gaps of a sample of rows (N, F); NaN and infinities are missing.

        Raises
        ------
        SpecError
            If the sample is empty, or no feature of it is ever there.
        """
        values = _finite(sample)
        there = np.isfinite(values)
        if not there.any():
            msg = (
                f"none of {values.shape[1]} features has a value in any of {len(values)} rows; name other features"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        known = there.any(axis=0)
        low, centre, high = np.zeros((3, values.shape[1]))
        low[known], centre[known], high[known] = np.nanpercentile(values[:, known], [16, 50, 84], axis=0)
        width = np.where(high > low, (high - low) / 2, 1.0)
        missing = 1.0 - there.mean(axis=0)
        gaps = np.flatnonzero((missing > _GAP_FRACTION) & (missing < 1.0 - _GAP_FRACTION))
        return cls(centre, width, gaps)

    def expand(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return distances from the centre in widths, 0 where missing, then gaps as 0 or 1: (N, F + G)."""
        values = _finite(features)
        missing = np.isnan(values)
        z = np.where(missing, 0.0, (values - self.centre) / self.width)
        # Beyond float32 a value would become infinite.
        z = np.clip(z, -1e30, 1e30)
        return np.ascontiguousarray(np.hstack([z, missing[:, self.gaps]]), dtype=np.float32)


def _finite(features: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(features, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
