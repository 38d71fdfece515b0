"""What ZTF alerts are of, from cross-matches: the labels that alert-stamp learns and is measured on.

No person looked at these alerts one by one. A label is what a catalog says of the place: SIMBAD's
and VSX's types, Gaia's class of the variable, the Transient Name Server's type, the distance to a
known solar-system object. Three classes have enough objects to be measured: a variable star, a
source in another galaxy (supernovae and active nuclei together), a solar-system object. Real or
bogus is none of them: braai's ``drb`` is a model's output and no truth.

An object has a label where everything that is said of any of its alerts points to one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["COLUMNS", "DISTRUSTED", "UNLABELLED", "class_of", "group_of", "labels_of"]

COLUMNS = ("objectId", "source", "cdsxmatch", "tns", "gaiaClass", "vsx", "ssdistnr")
"""Columns that a label follows from."""

UNLABELLED = -1
STAR, EXTRAGALACTIC, SOLAR_SYSTEM = range(3)
"""Places in `skyloom.models.alert_stamp.CLASSES`."""

MAX_SOLAR_SYSTEM_ARCSEC = 10.0
"""Largest distance to a known solar-system object; ``ssdistnr`` is -999 where there is none."""

DISTRUSTED = ("fink-science:part-0-0-435829.parquet",)
"""Files whose types are not used. Of the two objects that this one has twice, one is called SN II and
FRB, the other ULX_Candidate and Candidate_Nova; its 53 alerts have 39 types; active nuclei lie 5 arcsec
beside their galaxies. It exercises code that reads types: they seem made up for that."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STAR_TYPES = _words(
    """
    ** AGB* AGB*_Candidate Ae* Be* BlueSG* Candidate_BSG* Candidate_CV* Candidate_HB* Candidate_Hsd
    Candidate_TTau* Candidate_WD* CataclyV* Cepheid EB*_Candidate EllipVar Eruptive* HB* HMXB Irregular_V*
    LP*_Candidate LPV* LongPeriodV* LongPeriodV*_Candidate Mira OH/IR OrionV* Orion_V* PM* Pec* PulsV*
    PulsV*bCep RRLyr RSCVnV* RedSG* SB* Star Symbiotic* V* V*? WR* YSO_Candidate YellowSG* gammaDor
    low-mass* post-AGB*
    """
)
"""SIMBAD types of stars, as these alerts have them. Left out as unclear: nebulae (PN), pulsars, globular
clusters, candidates of novae and planets, lensed images, and what only names a waveband (IR, Radio, …)."""
_EXTRAGALACTIC_TYPES = _words(
    "BLLac Galaxy GinCl GinPair LINER QSO QSO_Candidate SN Seyfert Seyfert_1 Seyfert_2 Supernova"
)
"""SIMBAD types of galaxies, their nuclei, and supernovae confirmed; a candidate supernova is none."""
_NOTHING = frozenset({"", "nan", "Unknown", "Inexistent"})
_GAIA_STARS = frozenset({"LPV", "YSO"})
_VSX_EXTRAGALACTIC = frozenset({"AGN", "BLLAC", "GALAXY", "QSO", "SN"})
_TNS_STARS = frozenset({"CV", "Nova", "Varstar"})

_GROUPS = {
    "Ampel-ZTF": "ampel",
    "fink-broker": "fink filters",
    "fink-filters:few_SLSN": "superluminous",
    "fink-filters": "fink filters",
    "fink-science:superluminous": "superluminous",
    "fink-science:part-0000": "simbad sample",
    "fink-science": "fink-science",
    "fink-utils": "fink-utils",
    "kowalski": "kowalski",
}
"""Group of files that somebody chose for one purpose, by how a source begins; the first that fits."""


def class_of(row: Mapping[str, Any]) -> frozenset[int]:
    """Return the classes that the cross-matches of one alert point to: none, one, or several.

    Parameters
    ----------
    row : mapping
        `COLUMNS` of the alert; None or NaN where a packet has no such match.

    Examples
    --------
    >>> class_of({"source": "x", "cdsxmatch": "RRLyr", "ssdistnr": -999.0}) == {0}
    True
    """
    found = set()
    distance = row.get("ssdistnr")
    if distance is not None and 0.0 <= distance <= MAX_SOLAR_SYSTEM_ARCSEC:
        found.add(SOLAR_SYSTEM)
    if row["source"] in DISTRUSTED:
        return frozenset(found)
    simbad, tns, gaia, vsx = (_word(row.get(name)) for name in ("cdsxmatch", "tns", "gaiaClass", "vsx"))
    if simbad in _STAR_TYPES:
        found.add(STAR)
    if simbad in _EXTRAGALACTIC_TYPES:
        found.add(EXTRAGALACTIC)
    if tns not in _NOTHING:
        found.add(STAR if tns in _TNS_STARS else EXTRAGALACTIC)
    if gaia in _GAIA_STARS:
        found.add(STAR)
    if vsx not in _NOTHING and not vsx.startswith("Fail"):
        found.add(EXTRAGALACTIC if vsx.rstrip(":") in _VSX_EXTRAGALACTIC else STAR)
    return frozenset(found)


def labels_of(alerts: pa.Table) -> NDArray[np.int64]:
    """Return the class of each alert's object, shape (N,); `UNLABELLED` where none or several are said.

    Parameters
    ----------
    alerts : pyarrow.Table
        N alerts with `COLUMNS`.
    """
    rows = alerts.select(COLUMNS).to_pylist()
    said: dict[str, set[int]] = {}
    for row in rows:
        said.setdefault(row["objectId"], set()).update(class_of(row))
    return np.array([_only(said[row["objectId"]]) for row in rows], dtype=np.int64)


def group_of(sources: Iterable[str]) -> NDArray[np.str_]:
    """Return the group of files that each alert comes from; of a file in none, its own name."""
    return np.array(
        [
            next((group for begin, group in _GROUPS.items() if source.startswith(begin)), source)
            for source in sources
        ],
        dtype=np.str_,
    )


def _only(classes: set[int]) -> int:
    return next(iter(classes)) if len(classes) == 1 else UNLABELLED


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
