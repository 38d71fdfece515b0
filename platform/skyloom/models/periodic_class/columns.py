"""What periodic-class reads and writes, why a row may have no class, and how rows become its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.features import periodic
from skyloom.features.periods import MIN_BAND_POINTS, Periods, PeriodSettings, PeriodStatus, find_periods
from skyloom.runtime.contract import Flag, Inputs
from skyloom.timeseries.cleaning import by_band
from skyloom.timeseries.folding import fold, largest_gap
from skyloom.timeseries.lightcurves import LightCurveFlag, LightCurves

__all__ = ["CLASSES", "DOUBLE_F", "FLAGS", "Config", "inputs_of", "period_columns", "reads_of", "writes_of"]

CLASSES = ("eb", "cep", "rrl", "mira")
"""Labels, in the order of the probability columns."""
_WORDS = ("an eclipsing binary", "a Cepheid", "an RR Lyrae star", "a Mira or other long-period variable")

DOUBLE_F = 3.0
"""`double_f` from which a light curve is taken to repeat only after twice the period that was found."""
_LOG_FAP = -2.0
_MARGIN = 1.05


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the classifier."""

    bands: tuple[str, ...] = ("b", "r")
    """Labels in ``lc.band`` of the passbands that the weights were trained on, in their order."""
    shortest_period_d: float = 0.1
    """Shortest period looked for; the longest is the time span of the light curve."""
    min_points: int = 15
    """Usable points, in passbands that have at least 5, below which a row is not scored."""
    bins: int = 64
    """Bins of phase; those of the weights."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        if not self.bands or len(set(self.bands)) != len(self.bands):
            msg = f"bands must name at least one passband, and each once, got {list(self.bands)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not self.shortest_period_d > 0.0 or self.min_points < 1 or self.bins < 1:
            msg = (
                "shortest_period_d, min_points and bins must be positive, got "
                f"{self.shortest_period_d}, {self.min_points} and {self.bins}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    @property
    def search(self) -> PeriodSettings:
        """Settings of the period search."""
        return PeriodSettings(shortest_d=self.shortest_period_d, min_points=self.min_points)


def _flag(bit: LightCurveFlag, description: str, *, nulls: bool = False) -> Flag:
    return Flag(bit.value.bit_length() - 1, str(bit.name), description, nulls=nulls)


FEW_POINTS = Flag(7, "LC_FEW", f"too few usable points in passbands that have at least {MIN_BAND_POINTS}")
CONSTANT = Flag(8, "LC_CONSTANT", "the brightness never changes: there is no period")
SHORT = Flag(9, "LC_SHORT", "the time span is no longer than the shortest period looked for")
LONG = Flag(10, "LC_LONG", "the time span is too long to be searched: a time that is far off, more often than not")
NOT_PERIODIC = Flag(
    11, "NOT_PERIODIC", "noise alone has such a peak in more than 1 of 100 light curves", nulls=False
)
AMBIGUOUS = Flag(
    12, "PERIOD_AMBIGUOUS", f"vs_period_2 fits nearly as well (vs_period_margin below {_MARGIN})", nulls=False
)
DAILY = Flag(13, "PERIOD_DAILY", "a whole number of cycles per day: the telescope's rhythm, perhaps", nulls=False)
BAND_MISSING = Flag(
    14, "BAND_MISSING", f"a passband has fewer than {MIN_BAND_POINTS} usable points: less certain", nulls=False
)

FLAGS = (
    _flag(LightCurveFlag.LC_EMPTY, "no usable point in any passband", nulls=True),
    _flag(LightCurveFlag.LC_UNSORTED, "times did not ascend; they were sorted"),
    _flag(LightCurveFlag.LC_DUPTIME, "two points of one passband share a time; both were kept"),
    _flag(LightCurveFlag.LC_BADERR, "points with a missing, infinite, zero or negative error were dropped"),
    _flag(LightCurveFlag.LC_NONFINITE, "points with a missing or infinite time or magnitude were dropped"),
    _flag(LightCurveFlag.LC_UNKNOWN_BAND, "points of passbands outside the settings were dropped"),
    _flag(LightCurveFlag.LC_UNEQUAL, "the lists of the light curve differ in length", nulls=True),
    FEW_POINTS, CONSTANT, SHORT, LONG, NOT_PERIODIC, AMBIGUOUS, DAILY, BAND_MISSING,
)  # fmt: skip

_WHY = {
    PeriodStatus.FEW_POINTS: FEW_POINTS,
    PeriodStatus.CONSTANT: CONSTANT,
    PeriodStatus.SHORT: SHORT,
    PeriodStatus.LONG: LONG,
}


def reads_of() -> tuple[Column, ...]:
    """Return the columns read: times, magnitudes, errors and labels of the points."""
    return (
        Column("lc.mjd", "d", "time of each point, days", "list<double>", "time.epoch"),
        Column("lc.flux", "mag", "magnitude of each point", "list<float>", "phot.mag"),
        Column("lc.flux_err", "mag", "1-sigma error of each point", "list<float>", "stat.error;phot.mag"),
        Column("lc.band", "", "passband of each point", "list<string>", "instr.bandpass"),
    )


def writes_of() -> tuple[Column, ...]:
    """Return the class, its probabilities and their uncertainty, and the period and its quality."""
    p, pairs = "stat.probability;src.class", tuple(zip(CLASSES, _WORDS, strict=True))
    return (
        Column("vs_class", "", "class of the highest vs_p_*_raw: all equally common", "string", "src.class"),
        *(Column(f"vs_p_{c}", "", f"calibrated probability of being {words}", "float32", p) for c, words in pairs),
        *(
            Column(f"vs_p_{c}_raw", "", f"before calibration, classes equally common: {words}", "float32", p)
            for c, words in pairs
        ),
        Column("vs_set", "", "classes: the true one is among them in 90 % of like rows", "string", "src.class"),
        Column("vs_p_sd", "", "spread over networks of the probability of vs_class", "float32", "stat.stdev"),
        Column("vs_entropy", "", "entropy of the probabilities: 0 certain, 1 all alike", "float32", "stat.value"),
        Column("vs_ood", "", "p-value of being like the training: small is unlike", "float32", "stat.probability"),
        Column("vs_period", "d", "period found, unless it is an alias", "float64", "time.period"),
        Column("vs_period_err", "d", "its 1-sigma error, if it is no alias", "float64", "stat.error;time.period"),
        Column("vs_period_2", "d", "the next best period", "float64", "time.period"),
        Column("vs_period_margin", "", "chi-square at the next best period over that at the best", "float32",
               "stat.fit.chi2"),
        Column("vs_power", "", "highest power of the normalised periodogram", "float32", "stat.fourier"),
        Column("vs_log_fap", "", "decimal logarithm of the chance that noise has such a peak", "float32",
               "stat.probability"),
        Column("vs_explained", "", "share of chi-square that a Fourier series at the period explains", "float32",
               "stat.fit.goodness"),
        Column("vs_double_f", "", "F statistic of twice the period against the period", "float32",
               "stat.fit.goodness"),
        Column("vs_period_full", "d", f"vs_period, or twice it where vs_double_f reaches {DOUBLE_F}: two unlike "
               "minima in a cycle, as of an eclipsing binary", "float64", "time.period"),
        Column("vs_phase_gap", "", "largest part of the cycle without a point", "float32", "time.phase"),
    )  # fmt: skip


def inputs_of(rows: pa.RecordBatch, config: Config) -> Inputs:
    """Find periods and fold; leave out and flag the rows that have none.

    Returns
    -------
    Inputs
        ``folded`` (M, 2 B, L): values of all passbands, then how far to trust them. ``extras`` (M, F):
        `skyloom.features.periodic`. ``gap`` (M,), and one array for each field of
        `skyloom.features.periods.Periods` but the series.

    Raises
    ------
    DataError
        If the light curves are none.
    """
    curves, flag = by_band(LightCurves.from_arrow(rows.column("lc"), config.bands))
    held = (flag & np.uint32(LightCurveFlag.LC_EMPTY)) == 0
    curves = curves.take(held)
    periods = find_periods(curves, config.search)
    of_held = flag[held]
    for status, why in _WHY.items():
        of_held[periods.status == status] |= np.uint32(why.mask)
    found = periods.status == PeriodStatus.FOUND
    missing = (curves.counts < MIN_BAND_POINTS).any(axis=0)
    for caveat, rows_with in (
        (NOT_PERIODIC, periods.log10_fap > _LOG_FAP),
        (AMBIGUOUS, periods.margin < _MARGIN),
        (DAILY, periods.daily),
        (BAND_MISSING, missing),
    ):
        of_held[found & rows_with] |= np.uint32(caveat.mask)
    flag[held] = of_held
    scorable = held.copy()
    scorable[held] = found
    period = np.where(found, periods.period_d, 1.0)
    folded = fold(curves, period, config.bins)
    arrays = {
        "folded": np.concatenate([folded.value, folded.trust], axis=1)[found],
        "extras": periodic.compute(curves, periods)[found],
        "gap": largest_gap(curves, period)[found],
        **{name: getattr(periods, name)[found] for name in Periods.__dataclass_fields__ if name != "series"},
    }
    return Inputs(arrays, flag, scorable)


def period_columns(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the columns of the period, as they are without any network."""
    alone = ~np.isfinite(arrays["margin"])
    period = arrays["period_d"]
    return {
        "vs_period": period,
        "vs_period_err": arrays["error_d"],
        "vs_period_2": np.ma.MaskedArray(np.where(alone, 0.0, arrays["second_d"]), alone),
        "vs_period_margin": np.ma.MaskedArray(np.where(alone, 0.0, arrays["margin"]).astype(np.float32), alone),
        "vs_power": arrays["power"].astype(np.float32),
        "vs_log_fap": arrays["log10_fap"].astype(np.float32),
        "vs_explained": arrays["explained"].astype(np.float32),
        "vs_double_f": arrays["double_f"].astype(np.float32),
        "vs_period_full": np.where(arrays["double_f"] >= DOUBLE_F, 2.0 * period, period),
        "vs_phase_gap": arrays["gap"].astype(np.float32),
    }
