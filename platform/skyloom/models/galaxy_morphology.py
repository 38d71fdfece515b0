"""galaxy-morphology: concentration, asymmetry, Gini, M20 and sizes of a galaxy, without learning.

Source: Conselice 2003 (ads:2003ApJS..147....1C), Lotz et al. 2004 (ads:2004AJ....128..163L). The columns
are `skyloom.features.morphology.light_moments`, an approximation that costs about a millisecond;
``statmorph = true`` adds those of statmorph (Rodriguez-Gomez et al. 2019,
ads:2019MNRAS.483.4140R), about a hundred times slower, with its own quality flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.features.morphology import MOMENTS, STATMORPH, light_moments_of, statmorph_values
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights
from skyloom.runtime.tensors import TensorInput, tensor_values

__all__ = ["FLAGS", "NAME", "Config", "build", "inputs", "predict", "reads", "tensors", "writes"]

NAME = "galaxy-morphology"
TITLE = "Concentration, asymmetry, Gini, M20 and size of a galaxy from its image"
QUESTION = "describe"

_NO_CUTOUT = Flag(0, "NO_CUTOUT", "no image covers the object")
_LOW_COVERAGE = Flag(1, "LOW_COVERAGE", "too few px of the cutout have data")
_NO_SOURCE = Flag(2, "NO_SOURCE", "no source of at least 12 px in the middle of the cutout")
FLAGS = (_NO_CUTOUT, _LOW_COVERAGE, _NO_SOURCE)

_UNITS = {"half_light_px": "pix", "sersic_rhalf": "pix"}
_WORDS = {
    "half_light_px": "radius that holds half of the light, not corrected for the PSF",
    "concentration": "5 log10 of the radii that hold 80 % and 20 % of the light",
    "asymmetry": "light that a turn by 180 degrees changes, over all light; noise included",
    "gini": "Gini coefficient of the light over px: 0 even, 1 all in one",
    "m20": "log10 of the second moment of the brightest fifth of the light over that of all",
    "axis_ratio": "minor over major axis, from second moments",
    "surface_ratio": "log10 of the surface brightness inside half the half-light radius over that outside it",
    "log_snr": "log10 of the light over the noise of one row of px",
    "smoothness": "light in clumps, over all light",
    "sersic_n": "Sersic index of the best fit, not corrected for the PSF",
    "sersic_rhalf": "half-light radius of the Sersic fit",
}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the measurements."""

    size: int = 64
    """Side of the cutouts in px."""
    statmorph: bool = False
    """Add statmorph's measurements (needs the extra ``morphology``)."""
    min_coverage: float = 0.9
    """Share of px with data below which a cutout is not measured."""

    def __post_init__(self) -> None:
        if self.size < 16:
            msg = f"size must be at least 16 px, got {self.size}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, size=self.size)
        if not 0.0 <= self.min_coverage <= 1.0:
            msg = f"min_coverage must lie between 0 and 1, got {self.min_coverage}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, min_coverage=self.min_coverage)


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """Return the image that is read."""
    return (TensorInput("cutout", (1, config.size, config.size), "*", "the galaxy in the middle"),)


def reads(config: Config) -> tuple[Column, ...]:
    """Return no column: the image is all."""
    return ()


def writes(config: Config) -> tuple[Column, ...]:
    """Return one column per measurement."""
    columns = [_column("morph", name) for name in MOMENTS]
    if config.statmorph:
        columns += [_column("statmorph", name) for name in STATMORPH]
        words = "statmorph's quality: 0 good, 1 suspect, 2 bad, 4 failed"
        columns.append(Column("statmorph_quality", "", words, "int32", "meta.code.qual"))
    return tuple(columns)


def build(config: Config, weights: Weights | None) -> Config:
    """Return the settings: there is nothing else to know.

    Raises
    ------
    SpecError
        If there are weights.
    """
    refuse_weights(NAME, weights)
    return config


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Measure the light moments; rows without a source are left out and flagged."""
    values, valid = tensor_values(rows, "cutout", (1, config.size, config.size))
    coverage = rows.column("cutout_coverage").fill_null(0.0).to_numpy(zero_copy_only=False)
    flag = np.where(valid, 0, _NO_CUTOUT.mask).astype(np.uint32)
    flag[valid & (coverage < config.min_coverage)] |= np.uint32(_LOW_COVERAGE.mask)
    moments = np.full((len(flag), len(MOMENTS)), np.nan, dtype=np.float32)
    moments[flag == 0] = light_moments_of(values[flag == 0, 0])
    flag[(flag == 0) & np.isnan(moments).all(axis=1)] |= np.uint32(_NO_SOURCE.mask)
    scorable = flag == 0
    return Inputs({"moments": moments[scorable], "image": values[scorable, 0]}, flag, scorable)


def predict(estimator: Config, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Return one array of shape (M,) per column of `writes`; null where a measurement failed."""
    moments = np.ma.masked_invalid(arrays["moments"])
    out: dict[str, NDArray[Any]] = {f"morph_{name}": moments[:, k] for k, name in enumerate(MOMENTS)}
    if estimator.statmorph:
        pairs = [statmorph_values(image) for image in arrays["image"]]
        measured = np.ma.masked_invalid(np.stack([values for values, _ in pairs]))
        out |= {f"statmorph_{name}": measured[:, k] for k, name in enumerate(STATMORPH)}
        out["statmorph_quality"] = np.array([quality for _, quality in pairs], dtype=np.int32)
    return out


def _column(prefix: str, name: str) -> Column:
    return Column(f"{prefix}_{name}", _UNITS.get(name, ""), _WORDS[name], "float32", "src.morph.param")
