"""lightcurve-features: about 20 statistics of a light curve in each passband.

Source: Malanchev et al. 2021, MNRAS 502, 5147 (ads:2021MNRAS.502.5147M), as the
`light-curve` library has them. Departures: bad points are dropped before, and marked;
passbands are treated one by one; features that a passband is too poor for are null
instead of an error. ``transient = true`` adds our own peak and phase-window features
(`skyloom.features.transient`).

The features are exact numbers computed from the points as given: they carry no uncertainty
of their own (`linear_fit_slope_err` and the like excepted), and nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import ANY_UNIT, Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.features import lightcurve, transient
from skyloom.features.lightcurve import Feature
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights
from skyloom.timeseries.cleaning import by_band
from skyloom.timeseries.lightcurves import LightCurveFlag, LightCurves

NAME = "lightcurve-features"
TITLE = "Light-curve features, passband by passband"
QUESTION = "describe"

_PREFIX, _ALL = "lcf", "all"
_BRIGHTNESS = ("flux", "mag")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the feature job."""

    bands: tuple[str, ...] = ("u", "g", "r", "i", "z", "y")
    """Labels in ``lc.band``; points with other labels are dropped and flagged."""
    brightness: str = "flux"
    """What ``lc.flux`` holds: ``"flux"``, or ``"mag"`` (where smaller is brighter)."""
    transient: bool = False
    """Add the peak and phase-window features that transient-class and transient-anomaly read."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        if _ALL in self.bands:
            msg = f"band {_ALL!r} is taken: it names what belongs to no passband"
            raise SpecError(msg, kind=ErrorKind.BAD_NAME)
        if not self.bands or len(set(self.bands)) != len(self.bands):
            msg = f"bands must name at least one passband, and each once, got {list(self.bands)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        odd = [b for b in self.bands if not b.replace("_", "").isalnum()]
        if odd:
            msg = f"bands become parts of column names: letters, digits and _ only, got {odd}"
            raise SpecError(msg, kind=ErrorKind.BAD_NAME)
        if self.brightness not in _BRIGHTNESS:
            msg = f"brightness must be one of {', '.join(_BRIGHTNESS)}, got {self.brightness!r}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if self.transient and self.brightness != "flux":
            msg = "transient features need fluxes whose zero is no source; set transient = false for magnitudes"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def _flag(bit: LightCurveFlag, description: str, *, nulls: bool = False) -> Flag:
    return Flag(bit.value.bit_length() - 1, str(bit.name), description, nulls=nulls)


_FEW = Flag(7, "LC_FEW", f"a passband has fewer than {lightcurve.MIN_POINTS} usable points; its features are null")

FLAGS = (
    _flag(LightCurveFlag.LC_EMPTY, "no usable point in any passband", nulls=True),
    _flag(LightCurveFlag.LC_UNSORTED, "times did not ascend; they were sorted"),
    _flag(LightCurveFlag.LC_DUPTIME, "two points of one passband share a time; both were kept"),
    _flag(LightCurveFlag.LC_BADERR, "points with a missing, infinite, zero or negative error were dropped"),
    _flag(LightCurveFlag.LC_NONFINITE, "points with a missing or infinite time or flux were dropped"),
    _flag(LightCurveFlag.LC_UNKNOWN_BAND, "points of passbands outside the settings were dropped"),
    _flag(LightCurveFlag.LC_UNEQUAL, "the lists of the light curve differ in length", nulls=True),
    _FEW,
)


def reads(config: Config) -> tuple[Column, ...]:
    """Return the columns read: times, brightness, errors and labels of the points."""
    what = "flux density" if config.brightness == "flux" else "magnitude"
    return (
        Column("lc.mjd", "d", "time of each point, MJD", "list<double>", "time.epoch"),
        Column("lc.flux", ANY_UNIT, f"{what} of each point", "list<float>", f"phot.{config.brightness}"),
        Column("lc.flux_err", ANY_UNIT, "1-sigma error of each point", "list<float>", "stat.error"),
        Column("lc.band", "", "passband of each point", "list<string>", "instr.bandpass"),
    )


def writes(config: Config) -> tuple[Column, ...]:
    """Return ``lcf_<feature>_<band>`` for each passband and feature, passband by passband."""
    features = lightcurve.features_of() + (transient.features_of() if config.transient else ())
    columns = [_column(config, f, band) for band in config.bands for f in features]
    return (*columns, *([_column(config, transient.REFERENCE, _ALL)] if config.transient else []))


def _column(config: Config, feature: Feature, band: str) -> Column:
    return Column(
        name=f"{_PREFIX}_{feature.name}_{band}",
        unit=feature.unit,
        description=f"{feature.description}, {'all passbands' if band == _ALL else f'passband {band}'}",
        dtype=feature.dtype,
        ucd=feature.ucd.format(phot=f"phot.{config.brightness}"),
    )


def build(config: Config, weights: Weights | None = None) -> Config:
    """Return the settings: there is nothing to load.

    Raises
    ------
    SpecError
        If `weights` are given.
    """
    refuse_weights(NAME, weights)
    return config


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Take the light curves apart by passband and drop the points that cannot be used."""
    curves, flag = by_band(LightCurves.from_arrow(rows.column("lc"), config.bands))
    scorable = (flag & np.uint32(LightCurveFlag.LC_EMPTY)) == 0
    few = (curves.counts < lightcurve.MIN_POINTS).any(axis=0)
    flag[few & scorable] |= np.uint32(_FEW.mask)
    return Inputs(arrays={"curves": curves.take(scorable)}, flag=flag, scorable=scorable)


def predict(estimator: Config, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Compute the features: masked where a passband has too few points for one."""
    curves = arrays["curves"]
    values = dict(lightcurve.compute(curves))
    out: dict[str, NDArray[Any]] = {}
    if estimator.transient:
        more, out[f"{_PREFIX}_{transient.REFERENCE.name}_{_ALL}"] = transient.compute(curves)
        values.update(more)
    for name, value in values.items():
        missing = np.isnan(value)
        gaps = np.asarray(missing.any(axis=1))
        for b, band in enumerate(estimator.bands):
            column = np.ma.MaskedArray(value[b], missing[b]) if gaps[b] else value[b]
            out[f"{_PREFIX}_{name}_{band}"] = column
    return out
