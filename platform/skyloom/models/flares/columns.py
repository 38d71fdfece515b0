"""What flares reads and writes, why a row may have no answer, and how rows become prepared light curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import ANY_UNIT, Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.models.flares.curves import Prepared, prepare
from skyloom.runtime.contract import Flag, Inputs
from skyloom.timeseries.cleaning import clean_places
from skyloom.timeseries.lightcurves import LightCurveFlag, LightCurves

__all__ = ["EVENT_COLUMNS", "FLAGS", "Config", "inputs_of", "prepared_of", "reads_of", "writes_of"]


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the flare finder."""

    bands: tuple[str, ...] = ("tess",)
    """Labels in ``lc.band`` of the points that are read; others are dropped."""
    cadence_s: tuple[float, float] = (110.0, 130.0)
    """Median cadence, seconds, of the light curves that the weights know; no other one is scored."""
    threshold: float = 0.0
    """Probability of the ensemble from which a cadence belongs to a flare; 0: that of the weights."""
    join_cadences: int = 3
    """Cadences above the threshold that are no further apart than this are one event."""
    min_sigma: float = 3.0
    """Events whose brightest cadence stands out less, in units of the noise of one cadence, are no flares."""
    per_cadence: bool = False
    """Whether lists with the probability of every cadence are written, too."""
    star: bool = False
    """Whether ``teff`` (K) and ``radius`` (solar radii) are read, from which energies follow."""
    flare_temperature_k: float = 9000.0
    """Of the black body that a flare is taken to be."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "cadence_s", (float(self.cadence_s[0]), float(self.cadence_s[-1])))
        if not self.bands or len(set(self.bands)) != len(self.bands):
            msg = f"bands must name at least one passband, and each once, got {list(self.bands)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not 0.0 < self.cadence_s[0] < self.cadence_s[1]:
            msg = f"cadence_s is a shortest and a longest cadence in seconds, got {list(self.cadence_s)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not 0.0 <= self.threshold < 1.0 or self.join_cadences < 1 or not self.min_sigma >= 0.0:
            msg = (
                "threshold lies in [0, 1), join_cadences is positive and min_sigma not negative, got "
                f"{self.threshold}, {self.join_cadences} and {self.min_sigma}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not self.flare_temperature_k > 0.0:
            msg = f"flare_temperature_k must be positive, got {self.flare_temperature_k}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def _flag(bit: LightCurveFlag, description: str, *, nulls: bool = False) -> Flag:
    return Flag(bit.value.bit_length() - 1, str(bit.name), description, nulls=nulls)


SHORT = Flag(7, "LC_SHORT", "no stretch of 200 cadences without a gap of more than 10")
CADENCE = Flag(8, "LC_CADENCE", "the cadence is none that the weights know: they are for two-minute flux of TESS")
NOT_POSITIVE = Flag(9, "LC_NOT_POSITIVE", "the median flux is not positive: there is no relative flux")
CONSTANT = Flag(10, "LC_CONSTANT", "neighbouring points do not differ: there is no noise to measure flares in")
NO_STAR = Flag(11, "NO_STAR", "temperature or radius are missing or not positive: no energies", nulls=False)

FLAGS = (
    _flag(LightCurveFlag.LC_EMPTY, "no usable point", nulls=True),
    _flag(LightCurveFlag.LC_UNSORTED, "times did not ascend; they were sorted"),
    _flag(LightCurveFlag.LC_DUPTIME, "two points share a time; the first one counts"),
    _flag(LightCurveFlag.LC_BADERR, "points with a missing, infinite, zero or negative error were dropped"),
    _flag(LightCurveFlag.LC_NONFINITE, "points with a missing or infinite time or flux were dropped"),
    _flag(LightCurveFlag.LC_UNKNOWN_BAND, "points of passbands outside the settings were dropped"),
    _flag(LightCurveFlag.LC_UNEQUAL, "the lists of the light curve differ in length", nulls=True),
    SHORT, CADENCE, NOT_POSITIVE, CONSTANT, NO_STAR,
)  # fmt: skip
_BY_NAME = {flag.name: flag for flag in FLAGS}

_BRIGHT = "phot.flux;em.opt"
EVENT_COLUMNS = (
    Column("flare_time", "d", "of each flare: time of the brightest cadence, as lc.mjd", "list<double>",
           "time.epoch"),
    Column("flare_amp", "", "brightest cadence above the quiet star, in its median flux", "list<float>",
           f"{_BRIGHT};arith.diff"),
    Column("flare_amp_err", "", "1-sigma error of flare_amp", "list<float>", f"stat.error;{_BRIGHT}"),
    Column("flare_snr", "", "flare_amp over the noise of one cadence", "list<float>", "stat.snr"),
    Column("flare_rise", "d", "standard deviation of the Gaussian rise that was fitted", "list<float>",
           "time.duration"),
    Column("flare_fall", "d", "e-folding time of the decay that was fitted", "list<float>", "time.duration"),
    Column("flare_ed", "s", "equivalent duration: how long the quiet star shines to emit as much", "list<float>",
           "time.duration"),
    Column("flare_ed_err", "s", "1-sigma error of flare_ed, from the noise alone", "list<float>",
           "stat.error;time.duration"),
    Column("flare_p", "", "calibrated probability that the event is a flare", "list<float>", "stat.probability"),
    Column("flare_p_raw", "", "highest probability of the ensemble in the event", "list<float>",
           "stat.probability"),
    Column("flare_p_sd", "", "spread over networks at that cadence", "list<float>", "stat.stdev"),
    Column("flare_energy", "erg", "bolometric energy of a black-body flare; null: star unknown", "list<float>",
           "phys.energy"),
)  # fmt: skip
"""One element per flare, in order of time; all lists of a row are of one length."""


def reads_of(config: Config) -> tuple[Column, ...]:
    """Return the columns read: times, fluxes, errors and labels of the points, and of the star if asked."""
    star = (
        Column("teff", "K", "effective temperature of the star", "float64", "phys.temperature.effective"),
        Column("radius", "solRad", "radius of the star", "float64", "phys.size.radius"),
    )
    return (
        Column("lc.mjd", "d", "time of each point, days", "list<double>", "time.epoch"),
        Column("lc.flux", ANY_UNIT, "flux of each point, not detrended; null where it is spoilt", "list<float>",
               "phot.flux"),
        Column("lc.flux_err", ANY_UNIT, "1-sigma error of each point", "list<float>", "stat.error;phot.flux"),
        Column("lc.band", "", "passband of each point", "list<string>", "instr.bandpass"),
        *(star if config.star else ()),
    )  # fmt: skip


def writes_of(config: Config) -> tuple[Column, ...]:
    """Return the star's numbers, one list per property of its flares, and lists over cadences if asked."""
    per_cadence = (
        Column("flare_cadence_p", "", "of each point of lc: calibrated probability of being in a flare; null "
               "within 100 cadences of a gap", "list<float>", "stat.probability"),
        Column("flare_cadence_p_raw", "", "likewise, mean of the ensemble", "list<float>", "stat.probability"),
        Column("flare_cadence_p_sd", "", "likewise, spread over networks", "list<float>", "stat.stdev"),
    )  # fmt: skip
    return (
        Column("flare_n", "", "number of flares", "int32", "meta.number"),
        Column("flare_rate", "1/d", "flares per day that was judged", "float32", "arith.rate"),
        Column("flare_rate_err", "1/d", "1-sigma upper error of flare_rate (Gehrels 1986)", "float32",
               "stat.error;arith.rate"),
        Column("flare_days", "d", "time in which flares were looked for", "float32", "time.duration;obs"),
        Column("flare_noise", "", "scatter from cadence to cadence, relative flux", "float32", "stat.stdev"),
        Column("flare_p_max", "", "highest probability of the ensemble at any cadence", "float32",
               "stat.probability;stat.max"),
        Column("flare_p_max_sd", "", "spread over networks at that cadence", "float32", "stat.stdev"),
        Column("flare_ood", "", "p-value of the light curve being like the training: small is unlike", "float32",
               "stat.probability"),
        *EVENT_COLUMNS,
        *(per_cadence if config.per_cadence else ()),
    )  # fmt: skip


def prepared_of(
    curves: LightCurves, config: Config
) -> tuple[list[Prepared], NDArray[np.uint32], NDArray[np.bool_]]:
    """Prepare N light curves.

    Returns
    -------
    prepared : list of Prepared
        Of the M that can be scored.
    flag : ndarray of uint32, shape (N,)
    scorable : ndarray of bool, shape (N,)
    """
    cleaned, flag, places = clean_places(curves)
    scorable, found = np.zeros(len(curves), dtype=bool), list[Prepared]()
    for k in range(len(curves)):
        points = slice(int(cleaned.offsets[k]), int(cleaned.offsets[k + 1]))
        if points.start == points.stop:
            continue
        first, last = int(curves.offsets[k]), int(curves.offsets[k + 1])
        place = np.arange(points.start, points.stop) if places is None else places[points]
        one = prepare(
            cleaned.mjd[points],
            cleaned.flux[points],
            length=last - first,
            place=place - first,
            cadence_s=config.cadence_s,
        )
        if isinstance(one, Prepared):
            found.append(one)
            scorable[k] = True
        else:
            flag[k] |= np.uint32(_BY_NAME[one].mask)
    return found, flag, scorable


def inputs_of(rows: pa.RecordBatch, config: Config) -> Inputs:
    """Prepare the light curves of rows; flag those that cannot be.

    Returns
    -------
    Inputs
        ``curve`` (M,): `Prepared`, one object per row, since light curves differ in length; ``teff`` and
        ``radius`` (M,), NaN where not known.

    Raises
    ------
    DataError
        If the light curves are none.
    """
    curves = LightCurves.from_arrow(rows.column("lc"), config.bands)
    found, flag, scorable = prepared_of(curves, config)
    curve = np.empty(len(found), dtype=object)
    for k, one in enumerate(found):
        curve[k] = one
    teff, radius = (_star(rows, name, config) for name in ("teff", "radius"))
    if config.star:
        unknown = ~((teff > 0) & (teff < np.inf) & (radius > 0) & (radius < np.inf))
        flag[scorable & unknown] |= np.uint32(NO_STAR.mask)
        teff, radius = (np.where(unknown, np.nan, values) for values in (teff, radius))
    return Inputs({"curve": curve, "teff": teff[scorable], "radius": radius[scorable]}, flag, scorable)


def _star(rows: pa.RecordBatch, name: str, config: Config) -> NDArray[np.float64]:
    if not config.star:
        return np.full(rows.num_rows, np.nan)
    values = rows.column(name).cast(pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
