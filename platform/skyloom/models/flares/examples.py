"""Made-up rows for tests of the contract, of devices and of exports: some flare, the others cannot be scored."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.models.flares.columns import Config
from skyloom.models.flares.curves import WINDOW
from skyloom.simulators.flares import CADENCE_D, integrated

__all__ = ["examples_of"]

_POINTS = WINDOW + 60
_EVERY = 4
_NOISE = 1e-3


def examples_of(config: Config, n: int, *, seed: int) -> pa.RecordBatch:
    """Return N rows: every fourth is a light curve of 260 cadences with a flare, the others have 40 or fewer."""
    rng = np.random.default_rng(seed)
    curves = [_curve(rng, _POINTS if k % _EVERY == 0 else int(rng.integers(20, 41)) * (k != 1)) for k in range(n)]
    lists = [
        pa.array([curve[k] for curve in curves], pa.list_(kind))
        for k, kind in enumerate((pa.float64(), pa.float32(), pa.float32()))
    ]
    labels = pa.array([[config.bands[0]] * len(curve[0]) for curve in curves], pa.list_(pa.string()))
    lc = pa.StructArray.from_arrays([*lists, labels], ["mjd", "flux", "flux_err", "band"])
    columns = {"lc": lc}
    if config.star:
        columns |= {"teff": pa.array(rng.uniform(2600.0, 5000.0, n)), "radius": pa.array(rng.uniform(0.1, 0.8, n))}
    return pa.RecordBatch.from_pydict(columns)


def _curve(rng: np.random.Generator, points: int) -> tuple[NDArray[np.float64], ...]:
    t = np.asarray(np.arange(points) * CADENCE_D, dtype=np.float64)
    height, width = 10.0 ** rng.uniform(-2.5, 0.0), rng.uniform(3.0, 15.0) / 1440.0
    light = height * integrated(t, (0.5 * _POINTS + rng.uniform(-20.0, 20.0)) * CADENCE_D, width)
    flux = 300.0 * (1.0 + light + _NOISE * rng.normal(size=points))
    mjd = 59_000.0 + rng.uniform(0.0, 100.0) + t
    return np.asarray(mjd), np.asarray(flux, dtype=np.float64), np.full(points, 300.0 * _NOISE)
