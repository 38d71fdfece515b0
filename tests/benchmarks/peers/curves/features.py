"""The work of the job on light curves: fifteen statistics of each. Imports light-curve, numpy and pyarrow only."""

from __future__ import annotations

from typing import Any

import light_curve
import numpy as np
import pyarrow as pa

__all__ = ["POINTS", "WRITTEN", "Extractor", "one"]

POINTS = {"mjd": pa.float64(), "flux": pa.float64(), "flux_err": pa.float64()}
"""Lists of a light curve, as the library takes them."""
EACH = (
    light_curve.Amplitude(),
    light_curve.BeyondNStd(1.0),
    light_curve.Cusum(),
    light_curve.EtaE(),
    light_curve.Kurtosis(),
    light_curve.LinearFit(),
    light_curve.Mean(),
    light_curve.Median(),
    light_curve.MedianAbsoluteDeviation(),
    light_curve.ReducedChi2(),
    light_curve.Skew(),
    light_curve.StandardDeviation(),
    light_curve.WeightedMean(),
)
WRITTEN = tuple(f"f_{name}" for name in light_curve.Extractor(*EACH).names)


class Extractor:
    """Statistics of many light curves at once, on one thread."""

    def __init__(self) -> None:
        self.extractor: Any = light_curve.Extractor(*EACH)

    def __call__(self, curves: pa.StructArray) -> np.ndarray:
        """Return statistics, float32 (15, N), of N light curves: lists mjd, flux, flux_err of one length a row."""
        first = curves.field("mjd")
        values = [curves.field(name).flatten().cast(kind) for name, kind in POINTS.items()]
        offsets = pa.array(np.asarray(first.offsets) - first.offsets[0].as_py(), pa.int32())
        lists = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(values, names=list(POINTS)))
        fields = {"t": "mjd", "m": "flux", "sigma": "flux_err"}
        found = self.extractor.many(
            lists, arrow_fields=fields, fill_value=np.nan, sorted=True, check=False, n_jobs=1
        )
        return np.ascontiguousarray(found.T, dtype=np.float32)


def one(column: pa.ChunkedArray | pa.Array) -> pa.StructArray:
    """Return a column as one array."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
