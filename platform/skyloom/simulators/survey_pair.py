"""One population of variable stars, as two surveys see it: a long one in V that has labels, a short one in r.

Nine kinds: pulsators, eclipsing binaries and long-period variables with the shapes of
`skyloom.simulators.variables`, quasars (damped random walk) and stars that do not vary. The first survey has
1,000 epochs in 8 years and errors from 0.02 mag; the second 120 in 2 years, at nearly the same hour of each
night (so that daily aliases are strong), errors from 0.05 mag, and a limit 2 mag brighter: faint kinds
are rarer in it. Amplitudes are smaller in r, and colours differ from kind to kind. The numbers are settings of a
simulation, not measurements. Each star has a random stream of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError, close_matches
from skyloom.simulators.variables import KINDS
from skyloom.timeseries.lightcurves import BandLightCurves

__all__ = ["CLASSES", "SURVEYS", "PairSurvey", "SurveySample", "observe"]

CLASSES = ("rrab", "rrc", "cep", "dsct", "ec", "ed", "lpv", "qso", "const")
"""Kinds of object, in the order of labels."""


@dataclass(frozen=True, slots=True)
class PairSurvey:
    """How a survey looks."""

    band: str
    epochs: int
    span_d: float
    night_d: float
    """Within so much of a day the star is observed: the smaller, the stronger the daily aliases."""
    error_mag: float
    """Of a bright star; a star at `limit_mag` has 4 times as much."""
    limit_mag: float
    """Mean magnitude beyond which a star is not in the catalog."""
    bluer: float
    """Of the colour V - r that is added to r: 1 observes V."""


SURVEYS: Mapping[str, PairSurvey] = {
    "long": PairSurvey("V", 1000, 2922.0, 0.35, 0.02, 20.0, 1.0),
    "short": PairSurvey("r", 120, 730.0, 0.05, 0.05, 18.0, 0.0),
}
"""The surveys there are, by name."""

_SHARES = (0.18, 0.09, 0.12, 0.08, 0.14, 0.12, 0.10, 0.09, 0.08)
_MEAN_MAG: Mapping[str, tuple[float, float]] = {
    # In r, with scatter: distances of a galaxy's halo and disk together.
    "rrab": (17.0, 1.0), "rrc": (17.0, 1.0), "cep": (15.5, 1.0), "dsct": (16.0, 1.0), "ec": (16.5, 1.0),
    "ed": (16.5, 1.0), "lpv": (14.5, 1.0), "qso": (18.2, 0.7), "const": (17.0, 1.2),
}  # fmt: skip
_QSO_COLOR, _CONST_COLOR = (0.25, 0.1), (0.6, 0.3)
_QSO_MEMORY_D, _QSO_SCATTER = (2.3, 0.3), (0.12, 0.3)
"""Decimal logarithm of the damping time; median and (in decades) scatter of the long-term deviation."""
_REDDER = (0.65, 0.85)
"""Amplitude in r over that in V."""
_SEASON, _YEAR_D = 0.65, 365.25


@dataclass(frozen=True, slots=True, eq=False)
class SurveySample:
    """N objects that a survey has in its catalog."""

    curves: BandLightCurves
    """Magnitudes in the survey's one passband."""
    kind: NDArray[np.int64]
    """Place in `CLASSES`, (N,)."""
    star: NDArray[np.int64]
    """Number of the object in the population, (N,)."""


def observe(name: str, n: int, *, seed: int, start: int = 0) -> SurveySample:
    """Observe objects of the population, from number `start` on, until the catalog of a survey has `n`.

    Parameters
    ----------
    name : str
        Of `SURVEYS`.
    n : int
        Objects that are bright enough.
    seed : int
        Of the population: an object of the same number is the same one in both surveys.
    start : int

    Raises
    ------
    SpecError
        If there is no such survey, or a number is negative.
    """
    if name not in SURVEYS:
        msg = f"there is no survey {name!r}; {close_matches(name, SURVEYS)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, survey=name)
    if min(n, seed, start) < 0:
        msg = f"n, seed and start are not negative, got {n}, {seed} and {start}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    survey, place = SURVEYS[name], list(SURVEYS).index(name)
    found: list[tuple[int, int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = []
    star = start
    while len(found) < n:
        of_star, of_visit = np.random.default_rng([seed, star]), np.random.default_rng([seed, star, place])
        seen = _object(survey, of_star, of_visit)
        if seen is not None:
            found.append((star, *seen))
        star += 1
    lengths = np.array([len(each[2]) for each in found], dtype=np.int64)
    columns = (np.concatenate([each[k] for each in found]) if found else np.empty(0) for k in (2, 3, 4))
    mjd, mag, error = columns
    return SurveySample(
        curves=BandLightCurves(
            offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            mjd=mjd,
            flux=mag,
            flux_err=error,
            bands=(survey.band,),
            rows=len(found),
        ),
        kind=np.array([each[1] for each in found], dtype=np.int64),
        star=np.array([each[0] for each in found], dtype=np.int64),
    )


_Seen = tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _object(survey: PairSurvey, star: np.random.Generator, visit: np.random.Generator) -> _Seen | None:
    """Return kind, times, magnitudes and errors of one object; None if it is too faint for the survey."""
    place = int(np.searchsorted(np.cumsum(_SHARES), star.random() * sum(_SHARES), side="right"))
    name = CLASSES[place]
    color = star.normal(*(KINDS[name].color if name in KINDS else _QSO_COLOR if name == "qso" else _CONST_COLOR))
    mean = star.normal(*_MEAN_MAG[name]) + survey.bluer * color
    redder = star.uniform(*_REDDER)
    if mean > survey.limit_mag:
        return None
    mjd = _visits(survey, visit)
    mag = mean + _variation(name, mjd, star) * (1.0 if survey.bluer else redder)
    error = survey.error_mag * np.clip(10 ** (0.2 * (mag - survey.limit_mag + 3.0)), 1.0, 8.0)
    away = visit.normal(0.0, 1.0, len(mjd))
    far = visit.random(len(mjd)) < 0.005
    away[far] *= 5.0
    return place, mjd, mag + away * error, error


def _visits(survey: PairSurvey, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return times of visits: nights of the yearly season, at most a few in one night."""
    night = np.floor(rng.uniform(0.0, survey.span_d, 4 * survey.epochs))
    night = night[(night % _YEAR_D) < _SEASON * _YEAR_D][: survey.epochs]
    return np.sort(night + rng.uniform(0.0, survey.night_d, len(night)))


def _variation(name: str, mjd: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return magnitudes about the mean, in V."""
    if name == "const":
        return np.zeros(len(mjd))
    if name == "qso":
        memory_d = 10 ** rng.normal(*_QSO_MEMORY_D)
        scatter = _QSO_SCATTER[0] * 10 ** rng.normal(0.0, _QSO_SCATTER[1])
        kept = np.exp(-np.diff(mjd, prepend=mjd[:1]) / memory_d)
        steps = rng.normal(0.0, scatter, len(mjd))
        out = np.empty(len(mjd))
        last = rng.normal(0.0, scatter)
        for k, (keep, step) in enumerate(zip(kept, steps, strict=True)):
            last = keep * last + math.sqrt(max(0.0, 1.0 - keep**2)) * step
            out[k] = last
        return out
    kind = KINDS[name]
    period = 10 ** rng.normal(*kind.log_period)
    amplitude = rng.uniform(*kind.amplitude)
    return kind.shape(kind, period, mjd, rng) * amplitude
