"""Flaring stars as rows that the job flares reads: light curves, temperatures and radii."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skyloom.simulators.flares import flare_stars
from tests.benchmarks.simulated_catalog import columns_of

__all__ = ["flaring_stars"]

_UNIT = "electron.s-1"


def flaring_stars(n: int, *, seed: int = 0, start: int = 0, days: int = 27) -> pa.Table:
    """Draw stars `start` to ``start + n - 1`` of `skyloom.simulators.flares`, in sectors of some days.

    ``teff`` (K) and ``radius`` (solar radii) are those of cool dwarfs, drawn evenly: energies need them.
    """
    rng = np.random.default_rng([seed, start])
    return (
        columns_of(flare_stars(n, seed=seed, first=start, days=float(days)), unit=_UNIT)
        .append_column(pa.field("teff", pa.float64(), metadata={"unit": "K"}), [rng.uniform(2600.0, 5000.0, n)])
        .append_column(pa.field("radius", pa.float64(), metadata={"unit": "solRad"}), [rng.uniform(0.1, 0.8, n)])
    )
