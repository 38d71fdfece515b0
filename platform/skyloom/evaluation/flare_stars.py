"""Real light curves of TESS in which others have found flares, and the tables of what they found.

The folder is ``flares``: two-minute light curves of ultracool dwarfs (github ekaterinailin/TESS_UCD_flares) and of
some other stars, the flares of Günther et al. 2020 (ads:2020AJ....159...60G) in sectors 1 and 2, and a table of
flares on the dwarfs that people looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, NotFoundError

__all__ = ["BAD_QUALITY", "MJD_OF_BTJD", "STELLA", "Flares", "flares_folder", "listed_flares", "tess_rows"]

MJD_OF_BTJD = 56999.5
"""Barycentric TESS Julian date, BJD - 2,457,000, to MJD."""
BAD_QUALITY = 1 + 2 + 4 + 8 + 32 + 128 + 4096
"""Bits of TESS's quality column that spoil a flux: pointing, momentum dumps, exclusion by hand, stray light.
Bit 512, an outlier that was taken for a cosmic ray, is not among them: it is set on flares, too."""

_JD_OF_BTJD = 2_457_000.0
_DWARFS, _OTHERS = "tess_ucd_lightcurves.parquet", "tess_other_lightcurves.parquet"
_GUNTHER, _VETTED = "gunther2020_tess_flares.parquet", "tess_ucd_20200218_vetted_flares.parquet"
STELLA = "stella_ensemble_predtest.parquet"
_SECTORS = 1000
"""Ids are ``tic * 1000 + sector``."""
_SAME_TIME_D = 2e-5
"""Barycentric times of one exposure differ from star to star by up to minutes: what agrees so well is one star."""


@dataclass(frozen=True, slots=True, eq=False)
class Flares:
    """Flares that others list; every array has shape (F,)."""

    lightcurve_id: NDArray[np.int64]
    peak_mjd: NDArray[np.float64]
    """Time of the peak; of vetted flares, the middle of `start_mjd` and `stop_mjd`."""
    start_mjd: NDArray[np.float64]
    stop_mjd: NDArray[np.float64]
    energy_erg: NDArray[np.float64]
    """Bolometric; NaN where the list has none."""

    def of(self, lightcurve_id: int) -> Flares:
        """Return the flares of one light curve."""
        here = self.lightcurve_id == lightcurve_id
        return Flares(*(getattr(self, name)[here] for name in self.__dataclass_fields__))


def flares_folder(data: str | Path | None = None) -> Path:
    """Return the folder of the light curves.

    Parameters
    ----------
    data : path, optional
        The folder itself, or the one above it; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If it is not there.
    """
    start = Path(data if data is not None else os.environ.get("SKYLOOM_DATA", "."))
    for place in (start, start / "flares"):
        if (place / _DWARFS).is_file():
            return place
    msg = f"no {_DWARFS} in {start} or {start / 'flares'}; name the folder with --data, or set SKYLOOM_DATA"
    raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(start / _DWARFS))


def tess_rows(data: str | Path | None = None) -> pa.Table:
    """Return the light curves, one row per star and sector, by id.

    Parameters
    ----------
    data : path, optional
        As for `flares_folder`.

    Returns
    -------
    pyarrow.Table
        ``lightcurve_id`` (int64: TIC number times 1000, plus sector), ``tic``, ``sector``, ``source``, ``teff``
        (K) and ``radius`` (solar radii) where Günther et al. have the star, and ``lc`` (``mjd``, ``flux``, NaN
        where its quality is bad, ``flux_err``, ``band``). A cadence that the files have twice is there once.

    Raises
    ------
    NotFoundError
        If the files are not there.
    """
    place = flares_folder(data)
    parts = [pq.read_table(place / _DWARFS).append_column("src", _text("custom apertures, 120 s", place))]
    if (place / _OTHERS).is_file():
        parts.append(pq.read_table(place / _OTHERS))
    names = ("tic", "sector", "time_btjd", "flux", "flux_err", "quality", "src")
    points = pa.concat_tables([part.select(list(names)) for part in parts], promote_options="permissive")
    key = points["tic"].to_numpy() * _SECTORS + points["sector"].to_numpy().astype(np.int64)
    time = points["time_btjd"].to_numpy() + MJD_OF_BTJD
    order = np.lexsort((time, key))
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (np.diff(key[order]) == 0) & (np.diff(time[order]) == 0)
    order = order[~same]
    ids, first = np.unique(key[order], return_index=True)
    good = (points["quality"].to_numpy() & BAD_QUALITY) == 0
    flux = np.where(good, points["flux"].to_numpy(), np.nan).astype(np.float32)
    error = points["flux_err"].to_numpy().astype(np.float32)
    offsets = pa.array(np.append(first, len(order)).astype(np.int32))
    lists = {
        "mjd": pa.array(time[order]),
        "flux": pa.array(flux[order], from_pandas=True),
        "flux_err": pa.array(error[order], from_pandas=True),
        "band": pa.array(["tess"] * len(order)),
    }
    lc = pa.StructArray.from_arrays(
        [pa.ListArray.from_arrays(offsets, each) for each in lists.values()], list(lists)
    )
    teff, radius = _stars(place, ids // _SECTORS)
    return pa.table(
        {
            "lightcurve_id": ids,
            "tic": ids // _SECTORS,
            "sector": (ids % _SECTORS).astype(np.int32),
            "source": points["src"].take(pa.array(order[first])),
            "teff": pa.array(teff, from_pandas=True),
            "radius": pa.array(radius, from_pandas=True),
            "lc": lc,
        }
    )


def _text(words: str, place: Path) -> pa.Array:
    return pa.array([words] * pq.read_metadata(place / _DWARFS).num_rows)


def _stars(place: Path, tic: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return temperatures and radii, NaN where Günther et al. have none."""
    table = pq.read_table(place / _GUNTHER, columns=["TESS", "Teff", "Radius"])
    known, index = np.unique(table["TESS"].to_numpy(), return_index=True)
    spot = np.searchsorted(known, tic).clip(0, len(known) - 1)
    there = known[spot] == tic
    teff, radius = (table[name].cast(pa.float64()).to_numpy()[index][spot] for name in ("Teff", "Radius"))
    return np.where(there, teff, np.nan), np.where(there, radius, np.nan)


def listed_flares(data: str | Path | None = None) -> tuple[Flares, Flares]:
    """Return the flares that others list on these light curves: Günther et al., and those that people vetted.

    The vetted table has no names of stars. Its cadence numbers and barycentric times tell them: a row whose time
    at its first cadence is that of exactly one light curve belongs to it; others, of light curves that are not
    there, are left out.

    Raises
    ------
    NotFoundError
        If the files are not there.
    """
    place = flares_folder(data)
    table = pq.read_table(place / _GUNTHER, columns=["TESS", "sector", "tpeak", "FWHM", "Ebol"])
    key = table["TESS"].to_numpy() * _SECTORS + table["sector"].to_numpy()
    peak = table["tpeak"].to_numpy() - _JD_OF_BTJD + MJD_OF_BTJD
    half = 0.5 * table["FWHM"].to_numpy()
    gunther = Flares(key, peak, peak - half, peak + half, table["Ebol"].cast(pa.float64()).to_numpy())
    return gunther, _vetted(place)


def _vetted(place: Path) -> Flares:
    table = pq.read_table(place / _VETTED)
    # The file has no header: its first row became the names of the columns.
    rows = np.column_stack(
        [
            np.concatenate(([float(table.column_names[k])], table.column(k).to_numpy().astype(np.float64)))
            for k in (1, 8, 9)
        ]
    )
    points = pq.read_table(place / _DWARFS, columns=["tic", "sector", "cadenceno", "time_btjd"])
    cadence, time = points["cadenceno"].to_numpy(), points["time_btjd"].to_numpy()
    key = points["tic"].to_numpy() * _SECTORS + points["sector"].to_numpy().astype(np.int64)
    order = np.argsort(cadence, kind="stable")
    found = []
    for number, start, stop in rows:
        low, high = np.searchsorted(cadence[order], (number, number + 1))
        here = order[low:high]
        curves = np.unique(key[here][np.abs(time[here] - start) < _SAME_TIME_D])
        if len(curves) == 1:
            found.append((float(curves[0]), start + MJD_OF_BTJD, stop + MJD_OF_BTJD))
    kept = np.array(found, dtype=np.float64).reshape(-1, 3)
    nan = np.full(len(kept), np.nan)
    return Flares(kept[:, 0].astype(np.int64), 0.5 * (kept[:, 1] + kept[:, 2]), kept[:, 1], kept[:, 2], nan)
