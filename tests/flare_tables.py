"""Light curves with flares, weights that were never trained, and both as rows that a system reads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skyloom.models.flares.curves import CHANNELS, KINDS
from skyloom.models.flares.estimator import shape_array
from skyloom.models.flares.network import FlareEnsemble, NetworkConfig
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import state_arrays
from skyloom.simulators.flares import CADENCE_D, integrated
from skyloom.training.novelty import fit_novelty


def untrained(members: int = 2, threshold: float = 0.5) -> Weights:
    """Return the weights of small networks that have learnt nothing."""
    config = NetworkConfig(CHANNELS, (4, 8, 8), 4)
    kinds = np.random.default_rng(0).normal(size=(60, len(KINDS))).astype(np.float32)
    first = np.arange(60) < 40
    novelty = fit_novelty(kinds, np.zeros(60, np.int64), np.arange(len(KINDS)), first, ~first)
    line = np.array([0.0, 1.0])
    arrays = {
        "shape": shape_array(config, members),
        "threshold": np.array([threshold]),
        "cadence.knots": line,
        "cadence.values": 0.5 * line,
        "event.knots": line,
        "event.values": 0.9 * line,
        **state_arrays(FlareEnsemble(config, members)),
        **novelty.to_arrays(),
    }
    return Weights(arrays, {}, "sha256:0")


def flaring(n: int = 1500, *, seed: int = 0, noise: float = 1e-3, amplitude: float = 0.05, start: float = 59000.0):
    """Return times, flux and errors of a quiet star with one flare of 10 minutes in the middle."""
    rng = np.random.default_rng(seed)
    mjd = start + np.arange(n) * CADENCE_D
    light = amplitude * integrated(mjd - start, n // 2 * CADENCE_D, 10.0 / 1440.0)
    flux = 500.0 * (1.0 + light + noise * rng.normal(size=n))
    return mjd, flux, np.full(n, 500.0 * noise)


def rows_of(*curves, bands=None, teff=None, radius=None) -> pa.RecordBatch:
    """Return rows of light curves, each given as times, flux and errors."""
    labels = bands or [["tess"] * len(mjd) for mjd, _, _ in curves]
    lists = [pa.array([list(map(float, curve[k])) for curve in curves], pa.list_(kind))
             for k, kind in enumerate((pa.float64(), pa.float32(), pa.float32()))]  # fmt: skip
    lc = pa.StructArray.from_arrays(
        [*lists, pa.array(labels, pa.list_(pa.string()))], ["mjd", "flux", "flux_err", "band"]
    )
    star = {"teff": teff or [None] * len(curves), "radius": radius or [None] * len(curves)}
    return pa.RecordBatch.from_pydict({"lc": lc, **{name: pa.array(v, pa.float64()) for name, v in star.items()}})
