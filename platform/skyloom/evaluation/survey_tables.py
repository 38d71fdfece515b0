"""Variable stars of EROS-1, MACHO and LINEAR as tables of features that two of the surveys have in common.

MACHO: the catalog of Jamal & Bloom 2020's repository (classes as in Naul et al. 2018); LINEAR: the attributes of
Palaversa et al. 2013 (ads:2013AJ....146..101P) from astroML; EROS-1: `skyloom.evaluation.variable_stars`,
whose periods and statistics are computed here as jobs compute them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, NotFoundError
from skyloom.evaluation.variable_stars import EROS1_BANDS, eros1_rows
from skyloom.models import lightcurve_features, survey_shift
from skyloom.models.survey_shift import Config

__all__ = ["SHARED", "Pair", "columns_pair", "real_pair", "real_pairs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A labelled survey and another one, whose labels serve to measure alone.

    Attributes
    ----------
    name : str
    classes : tuple of str
    names : tuple of str
        Of the features.
    source, target : ndarray of float64, shape (N, D) and (M, D)
        Finite.
    label, truth : ndarray of int64, shape (N,) and (M,)
        Places in `classes`.
    source_id, target_id : ndarray of int64, shape (N,) and (M,)
        Of the stars.
    """

    name: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    source: Floats
    label: NDArray[np.int64]
    source_id: NDArray[np.int64]
    target: Floats
    truth: NDArray[np.int64]
    target_id: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Stars:
    kind: NDArray[np.str_]
    values: Mapping[str, Floats]
    number: NDArray[np.int64]


SHARED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "MACHO to EROS-1": (survey_shift.CLASSES, ("log P", "log A b", "log A r", "log sd b", "log sd r",
                                               "log chi2 b", "log chi2 r", "b", "r")),
    "MACHO to LINEAR": (("eb", "rrab", "rrc"), ("log P", "log A r", "colour")),
    "EROS-1 to LINEAR": (("eb", "rrl"), ("log P", "log A r", "colour", "skew", "kurtosis")),
}  # fmt: skip
"""Classes and features that two surveys share, by name of the pair; the labelled survey is named first."""

_MACHO = {
    "RRAB": "rrab",
    "RRC": "rrc",
    "RRE": "rre",
    "RRAB_GB": "rrab",
    "CEPH_FUND": "cep",
    "CEPH_1ST": "cep",
    "EB": "eb",
}
_LINEAR = {1: "rrab", 2: "rrc", 4: "eb", 5: "eb"}
_EROS = {"EB": "eb", "CEP": "cep", "RRL": "rrl", "MIRA": "lpv"}
_RRL = ("rrab", "rrc", "rre")
_LEAST_AMPLITUDE = 0.01


def real_pairs(folder: str | Path | None = None) -> tuple[Pair, ...]:
    """Return all pairs of `SHARED`; see `real_pair`."""
    return tuple(real_pair(name, folder) for name in SHARED)


def real_pair(name: str, folder: str | Path | None = None) -> Pair:
    """Return a pair of `SHARED`; rows that lack a feature, and stars of other classes, are left out.

    Parameters
    ----------
    name : str
    folder : path, optional
        The folder above those of the surveys; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If a table is not there; the message says which.
    """
    classes, names = SHARED[name]
    place = str(folder or os.environ.get("SKYLOOM_DATA", "."))
    source, target = (_SURVEYS[survey](place) for survey in name.split(" to "))
    (a, label, first), (b, truth, second) = (_shared(stars, classes, names) for stars in (source, target))
    return Pair(name, classes, names, a, label, first, b, truth, second)


def columns_pair(table: pa.Table, config: Config) -> Pair:
    """Return the pair of a table of one's own.

    Parameters
    ----------
    table : pyarrow.Table
        ``survey`` (``source`` or ``target``), ``class`` (of the classes of `config`), ``object_id`` and the
        columns that `config` names.
    config : Config
    """
    values = np.column_stack([table[name].cast(pa.float64()).to_numpy() for name in config.columns])
    features, kind = config.features(values), np.array(table["class"].to_pylist())
    is_source = np.array(table["survey"].to_pylist()) == "source"
    usable = np.isfinite(features).all(axis=1) & np.isin(kind, config.classes)
    place = np.array(
        [config.classes.index(each) if each in config.classes else -1 for each in kind], dtype=np.int64
    )
    number = table["object_id"].to_numpy().astype(np.int64)
    a, b = is_source & usable, ~is_source & usable
    return Pair(
        "source to target", config.classes, config.columns, features[a], place[a], number[a],
        features[b], place[b], number[b],
    )  # fmt: skip


def _shared(
    stars: _Stars, classes: tuple[str, ...], names: tuple[str, ...]
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    kind = stars.kind
    if "rrl" in classes:
        kind = np.where(np.isin(kind, _RRL), "rrl", kind)
    features = np.column_stack([stars.values[name] for name in names])
    usable = np.isin(kind, classes) & np.isfinite(features).all(axis=1)
    label = np.array([classes.index(each) for each in kind[usable]], dtype=np.int64)
    return features[usable], label, stars.number[usable]


def _table(folder: str, survey: str, file: str) -> pa.Table:
    for place in (Path(folder) / survey / file, Path(folder) / file):
        if place.is_file():
            return pq.read_table(place)
    msg = f"no {survey}/{file} in {folder}: name the folder above {survey} with --data, or set SKYLOOM_DATA to it"
    raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, folder=folder)


@lru_cache(maxsize=2)
def _macho(folder: str) -> _Stars:
    table = _table(folder, "macho_variables", "catalog.parquet")
    v = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names if name != "class_name"}
    kind = np.array([_MACHO.get(name, "lpv") for name in table["class_name"].to_pylist()])
    b, r = v["magave_kv"], v["magave_kr"]
    values = {
        "log P": _log(v["period_r"]), "log A b": _log(v["amp_b"], _LEAST_AMPLITUDE),
        "log A r": _log(v["amp_r"], _LEAST_AMPLITUDE), "log sd b": _log(v["sig_b"]), "log sd r": _log(v["sig_r"]),
        "log chi2 b": _log(v["chi2r_b"], 0.01), "log chi2 r": _log(v["chi2r_r"], 0.01), "b": b, "r": r,
        "colour": b - r,
    }  # fmt: skip
    number = (v["field"] * 100_000 + v["tile"]) * 100_000 + v["seqn"]
    return _Stars(kind, values, number.astype(np.int64))


@lru_cache(maxsize=2)
def _linear(folder: str) -> _Stars:
    table = _table(folder, "linear_attributes", "linear_6146_attributes.parquet")
    v = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names if name != "class_name"}
    kind = np.array([_LINEAR.get(int(number), "other") for number in v["LCtype"]])
    values = {
        "log P": v["logP"], "log A r": _log(v["Ampl"]), "colour": v["gi"], "skew": v["skew"],
        "kurtosis": v["kurt"],
    }  # fmt: skip
    return _Stars(kind, values, v["LINEARobjectID"].astype(np.int64))


@lru_cache(maxsize=2)
def _eros(folder: str) -> _Stars:
    """Compute the columns that a job would read, and the features of them."""
    table = eros1_rows(folder)
    rows = pa.RecordBatch.from_arrays([table["lc"].combine_chunks()], names=["lc"])
    settings = lightcurve_features.Config(bands=EROS1_BANDS, brightness="mag")
    made = lightcurve_features.inputs(settings, rows)
    columns = {name: _spread_out(values, made.scorable) for name, values in
               lightcurve_features.predict(settings, made.arrays).items()}  # fmt: skip
    columns["vs_period"] = _periods(rows)
    config = Config()
    features = config.features(np.column_stack([columns[name] for name in config.columns]))
    names = SHARED["MACHO to EROS-1"][1]
    values = {name: features[:, k] for k, name in enumerate(names)}
    values |= {
        "colour": values["b"] - values["r"],
        "skew": columns["lcf_skew_r"],
        "kurtosis": columns["lcf_kurtosis_r"],
    }
    kind = np.array([_EROS[name] for name in table["kind"].to_pylist()])
    return _Stars(kind, values, table["object_id"].to_numpy().astype(np.int64))


def _periods(rows: pa.RecordBatch) -> Floats:
    from skyloom.models import periodic_class

    config = periodic_class.Config()
    made = periodic_class.inputs(config, rows)
    return _spread_out(made.arrays["period_d"], made.scorable)


def _spread_out(values: NDArray[np.floating], scorable: NDArray[np.bool_]) -> Floats:
    """Return values of scorable rows as values of all rows, NaN for the others and where masked."""
    out = np.full(len(scorable), np.nan)
    out[scorable] = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return out


def _log(values: Floats, least: float = 0.0) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log10(np.where(values > least, values, np.nan)))


_SURVEYS: Mapping[str, Callable[[str], _Stars]] = {"MACHO": _macho, "LINEAR": _linear, "EROS-1": _eros}
