"""What the transient systems read, and how it becomes their inputs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.features import lightcurve, transient
from skyloom.features.derived import METADATA, derive, source_features
from skyloom.runtime.contract import Flag, Inputs

__all__ = ["BANDS", "FLAGS", "NO_FEATURES", "NO_PHOTOZ", "TOO_FEW_POINTS", "inputs_of", "measured", "reads_of"]

BANDS = ("u", "g", "r", "i", "z", "y")
"""LSST's passbands: the ones that both systems were trained on."""

_PREFIX = "lcf"

_METADATA = (
    Column("hostgal_photoz", "", "photometric redshift of the host; 0 in the Milky Way", ucd="src.redshift.phot"),
    Column("hostgal_photoz_err", "", "its error", ucd="stat.error;src.redshift.phot"),
    Column("mwebv", "mag", "Milky Way extinction E(B-V)", ucd="phot.color.excess"),
)

NO_FEATURES = Flag(0, "NO_FEATURES", "the light-curve features of the row are null")
TOO_FEW_POINTS = Flag(1, "TOO_FEW_POINTS", "fewer usable points than min_points in all passbands together")
NO_PHOTOZ = Flag(2, "NO_PHOTOZ", "no host redshift: scored without it, which is less certain", nulls=False)
FLAGS = (NO_FEATURES, TOO_FEW_POINTS, NO_PHOTOZ)


def reads_of() -> tuple[Column, ...]:
    """Return the feature columns (layer `lightcurve-features`, ``transient = true``) and metadata."""
    known = {f.name: f for f in (*lightcurve.features_of(), *transient.features_of())}
    features = (
        Column(
            f"{_PREFIX}_{name}_{band}",
            known[name].unit.replace("{lc.flux}", "nJy").strip(),
            f"{known[name].description}, passband {band}",
            known[name].dtype,
            known[name].ucd.format(phot="phot.flux"),
        )
        for name in source_features()
        for band in BANDS
    )
    return (*features, *_METADATA)


def inputs_of(rows: pa.RecordBatch, min_points: int) -> Inputs:
    """Turn N rows of `reads_of` into derived features of the M rows that can be scored.

    Returns
    -------
    Inputs
        ``arrays["features"]``: float32, shape (M, F), in the order of `derived_names`.
    """
    features = {
        name: np.stack([measured(rows, f"{_PREFIX}_{name}_{band}") for band in BANDS])
        for name in source_features()
    }
    metadata = {name: measured(rows, name) for name in METADATA}
    points = np.where(np.isnan(features["n_obs"]), 0.0, features["n_obs"]).sum(axis=0)
    flag = np.zeros(rows.num_rows, dtype=np.uint32)
    no_features = np.isnan(features["n_obs"]).all(axis=0) | np.isnan(features["peak"]).all(axis=0)
    flag[no_features] |= np.uint32(NO_FEATURES.mask)
    flag[~no_features & (points < min_points)] |= np.uint32(TOO_FEW_POINTS.mask)
    scorable = flag == 0
    flag[scorable & ~np.isfinite(metadata["hostgal_photoz"])] |= np.uint32(NO_PHOTOZ.mask)
    kept = {name: values[:, scorable] for name, values in features.items()}
    flat = {name: values[scorable] for name, values in metadata.items()}
    return Inputs(arrays={"features": derive(kept, flat, BANDS)}, flag=flag, scorable=scorable)


def measured(rows: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    """Return a column; what is null or infinite is NaN: nothing was measured."""
    values = rows.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)
