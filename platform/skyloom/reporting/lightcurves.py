"""Light curves of single objects: which columns hold them, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.reporting.charts import scatter
from skyloom.reporting.svg import number

__all__ = ["Bands", "LightCurveColumns", "draw_light_curve", "light_curve_of"]

MOST_POINTS = 500
"""Points of a light curve that are drawn; of more, the lowest and the highest of every so many are, so that
what is short is seen, or, where they are folded, every so many-th."""
_FLUXES = ("flux", "mag")
_ROLES = ("mjd", "flux", "flux_err", "band")


@dataclass(frozen=True, slots=True)
class LightCurveColumns:
    """Names of the fields of a nested column."""

    parent: str
    mjd: str
    flux: str
    flux_err: str = ""
    band: str = ""
    unit: str = ""
    """Of `flux`."""

    @property
    def names(self) -> list[str]:
        """Dotted names to read."""
        return [f"{self.parent}.{name}" for name in (self.mjd, self.flux, self.flux_err, self.band) if name]


def light_curve_of(read: Mapping[str, Sequence[str]], columns: Sequence[Column]) -> LightCurveColumns | None:
    """Find the light curves of a catalog: those that the model read, else any there are.

    Parameters
    ----------
    read : mapping of str to (layer, found name, unit)
        As the identity of a job has it, by the model's names.
    columns : sequence of Column
        Of the catalog, nested ones field by field.
    """
    units = {column.name: column.unit for column in columns}
    asked = {}
    for name, (layer, found, _) in read.items():
        child = name.partition(".")[2]
        if child in _ROLES and not layer and found in units:
            asked[child] = found
    if "mjd" in asked and "flux" in asked:
        return _named(asked, units)
    for parent in dict.fromkeys(column.parent for column in columns if column.child):
        flux = next((name for name in _FLUXES if f"{parent}.{name}" in units), "")
        if flux and f"{parent}.mjd" in units:
            found_names = {
                "mjd": f"{parent}.mjd",
                "flux": f"{parent}.{flux}",
                "flux_err": f"{parent}.{flux}_err",
                "band": f"{parent}.band",
            }
            return _named({role: name for role, name in found_names.items() if name in units}, units)
    return None


def _named(found: Mapping[str, str], units: Mapping[str, str]) -> LightCurveColumns:
    parent = found["mjd"].partition(".")[0]
    fields = {role: name.partition(".")[2] for role, name in found.items() if name.startswith(f"{parent}.")}
    return LightCurveColumns(
        parent=parent,
        mjd=fields["mjd"],
        flux=fields["flux"],
        flux_err=fields.get("flux_err", ""),
        band=fields.get("band", ""),
        unit=units[found["flux"]],
    )


class Bands:
    """Gives every passband of a report its colour: the same one in every drawing."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """Return the number of a passband."""
        return self.codes.setdefault(name, len(self.codes))


def draw_light_curve(
    points: Mapping[str, Any] | None, columns: LightCurveColumns, bands: Bands, *, period_d: float | None = None
) -> tuple[tuple[Markup, ...], str]:
    """Draw a light curve over time, and over phase where there is a period.

    Parameters
    ----------
    points : mapping of str to list, or None
        The nested value of a row.
    columns : LightCurveColumns
    bands : Bands
    period_d : float, optional
        Days.

    Returns
    -------
    tuple of Markup
        One or two drawings; none of an empty light curve.
    str
        What there is to say of it.
    """
    read = {name: (points or {}).get(name) or [] for name in (columns.mjd, columns.flux)}
    n = min(len(values) for values in read.values())
    if not n:
        return (), "the light curve is empty"
    has_period = period_d is not None and np.isfinite(period_d) and period_d > 0
    mjd, flux = (_floats(read[name], n) for name in (columns.mjd, columns.flux))
    kept, said = _thinned(flux, folded=has_period)
    error = _floats((points or {}).get(columns.flux_err) or [], n)[kept] if columns.flux_err else None
    words = ((points or {}).get(columns.band) or [])[:n] if columns.band else []
    labels = [str(word) for word in words] + [""] * (n - len(words))
    code = np.array([bands.code(labels[k]) for k in kept.tolist()], np.int64)
    mjd, flux = mjd[kept], flux[kept]
    names = {number_: name for name, number_ in bands.codes.items()}
    magnitudes = columns.unit == "mag" or columns.flux.startswith("mag")
    label = f"{columns.flux} ({columns.unit})" if columns.unit else columns.flux
    common: dict[str, Any] = {"y_label": label, "upside_down": magnitudes, "names": names}
    drawn = [scatter(mjd, flux, error, code, title="light curve", x_label=f"{columns.mjd} (d)", **common)]
    if period_d is not None and has_period:
        phase = mjd / period_d % 1.0
        twice = [np.concatenate([a, b]) for a, b in ((phase, phase + 1), (flux, flux), (code, code))]
        both = None if error is None else np.concatenate([error, error])
        label = f"phase at {number(period_d)} d, two cycles"
        drawn.append(scatter(twice[0], twice[1], both, twice[2], title="folded", x_label=label, **common))
    return tuple(drawn), f"{n:,} points{said}"


def _thinned(flux: NDArray[np.float64], *, folded: bool) -> tuple[NDArray[np.int64], str]:
    """Return which points are drawn, ascending, and what is said of it."""
    n = len(flux)
    if n <= MOST_POINTS:
        return np.arange(n), ""
    if folded:
        step = -(-n // MOST_POINTS)
        return np.arange(0, n, step), f", every {step}th drawn"
    step = -(-2 * n // MOST_POINTS)
    padded = np.full(-(-n // step) * step, np.nan)
    padded[:n] = flux
    runs = padded.reshape(-1, step)
    first = step * np.arange(len(runs))
    low = first + np.where(np.isnan(runs), np.inf, runs).argmin(axis=1)
    high = first + np.where(np.isnan(runs), -np.inf, runs).argmax(axis=1)
    return np.unique(np.concatenate([low, high])), f", of every {step} the lowest and the highest drawn"


def _floats(values: Sequence[Any], n: int) -> NDArray[np.float64]:
    found = np.array([np.nan if v is None else float(v) for v in values[:n]], np.float64)
    return found if len(found) == n else np.full(n, np.nan)
