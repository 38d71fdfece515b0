"""colors: differences of magnitudes, with their errors, for any catalog.

Source: first-order error propagation; sigma_m = 2.5 / ln(10) / (S/N). Departures: none.
Errors of the two passbands are taken as independent. Nothing is learnt, so there is no
training domain; the numbers mean what the catalog's magnitudes mean (their system and
their extinction are not changed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.runtime.contract import Flag, Inputs, Weights, refuse_weights

NAME = "colors"
TITLE = "Colours and their errors from catalog magnitudes"
QUESTION = "describe"

POGSON = 2.5 / np.log(10.0)
"""Magnitudes per unit of relative flux error."""

FLAGS = (
    Flag(0, "NO_COLOR", "no two successive magnitudes are there"),
    Flag(1, "MAG_MISSING", "a magnitude is missing or not finite; the colours with it are null", nulls=False),
    Flag(
        2, "BAD_SNR", "a signal-to-noise is missing, not finite or not positive; its errors are null", nulls=False
    ),
)
_NO_COLOR, _MAG_MISSING, _BAD_SNR = (np.uint32(flag.mask) for flag in FLAGS)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the colour job."""

    magnitudes: tuple[str, ...] = ()
    """Columns with magnitudes, from blue to red; each successive pair gives a colour."""
    snrs: tuple[str, ...] = ()
    """Columns with the signal-to-noise ratio of each; leave out for colours without errors."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "magnitudes", tuple(self.magnitudes))
        object.__setattr__(self, "snrs", tuple(self.snrs))
        if len(self.magnitudes) < 2 or len(set(self.magnitudes)) != len(self.magnitudes):
            msg = (
                f"magnitudes must name at least two columns, each once, got {list(self.magnitudes)}; "
                "name them in [model_config], as jobs/colors-gaia.toml does"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if self.snrs and len(self.snrs) != len(self.magnitudes):
            msg = f"snrs must name one column per magnitude or none: {len(self.magnitudes)} and {len(self.snrs)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def reads(config: Config) -> tuple[Column, ...]:
    """Return the magnitudes, then the signal-to-noise ratios."""
    mags = (Column(name, "mag", "magnitude", "float64", "phot.mag") for name in config.magnitudes)
    snrs = (Column(name, "", "signal-to-noise ratio", "float64", "stat.snr") for name in config.snrs)
    return (*mags, *snrs)


def writes(config: Config) -> tuple[Column, ...]:
    """Return ``color_<blue>_<red>`` for each successive pair, and ``…_err`` where S/N are read."""
    columns = []
    for blue, red in pairwise(config.magnitudes):
        name = f"color_{blue}_{red}"
        columns.append(Column(name, "mag", f"{blue} minus {red}", "float64", "phot.color"))
        if config.snrs:
            error = f"1-sigma error of {name}, passbands taken as independent"
            columns.append(Column(f"{name}_err", "mag", error, "float64", "stat.error;phot.color"))
    return tuple(columns)


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
    """Take the columns as float64, NaN where a value is null, infinite or (S/N) not positive."""
    mags = np.stack([_finite(rows.column(name)) for name in config.magnitudes])
    snrs = np.stack([_finite(rows.column(name)) for name in config.snrs]) if config.snrs else None
    there = np.isfinite(mags)
    scorable: NDArray[np.bool_] = np.any(there[:-1] & there[1:], axis=0)
    flag = np.where(scorable, np.uint32(0), _NO_COLOR)
    flag[~there.all(axis=0)] |= _MAG_MISSING
    arrays: dict[str, Any] = {"mags": mags[:, scorable]}
    if snrs is not None:
        with np.errstate(invalid="ignore"):
            snrs = np.where(snrs > 0, snrs, np.nan)
        flag[np.isnan(snrs).any(axis=0)] |= _BAD_SNR
        arrays["snrs"] = snrs[:, scorable]
    return Inputs(arrays=arrays, flag=flag.astype(np.uint32), scorable=scorable)


def _finite(column: pa.Array) -> NDArray[np.float64]:
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def predict(estimator: Config, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Subtract successive magnitudes; masked where one is missing."""
    mags = arrays["mags"]
    errors = POGSON / arrays["snrs"] if "snrs" in arrays else None
    out: dict[str, NDArray[Any]] = {}
    for i, (blue, red) in enumerate(pairwise(estimator.magnitudes)):
        color = mags[i] - mags[i + 1]
        out[f"color_{blue}_{red}"] = np.ma.masked_invalid(color)
        if errors is not None:
            error = np.where(np.isnan(color), np.nan, np.hypot(errors[i], errors[i + 1]))
            out[f"color_{blue}_{red}_err"] = np.ma.masked_invalid(error)
    return out
