"""One object: its values in words, its light curves, its cutouts and spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.catalog.nesting import fields_of, is_nested
from skyloom.columns import Column
from skyloom.errors import ConflictError, DataError, ErrorKind
from skyloom.explorer.points import Points
from skyloom.explorer.rows import Cell, read_row
from skyloom.tensors import TensorStore, open_tensors
from skyloom.timeseries.nested import lists_of

__all__ = ["LightCurve", "Sight", "Stamp", "open_stores", "read_object", "said"]

TIMES = ("mjd", "hmjd", "jd", "hjd", "bjd", "time", "t")
VALUES = ("flux", "mag", "magnitude", "psfflux", "psfmag", "magpsf")
BANDS = ("band", "filter", "fid", "passband", "filtercode")
LIST_SHOWN = 4


@dataclass(frozen=True, eq=False)
class LightCurve:
    """The points of a light curve that are finite."""

    name: str
    mjd: NDArray[np.float64]
    value: NDArray[np.float64]
    error: NDArray[np.float64]
    """0 where it is not known."""
    band: tuple[str, ...]
    """One per point; all ``""`` where there is none."""
    time: Column
    brightness: Column

    @property
    def is_magnitude(self) -> bool:
        """Whether brighter is less."""
        return self.brightness.unit == "mag" or "mag" in self.brightness.child.lower()


@dataclass(frozen=True, eq=False)
class Stamp:
    """A cutout, shape (C, H, W), or a spectrum, shape (C, L)."""

    store: TensorStore
    values: NDArray[np.float32]
    fault: str
    """Why there is none; empty where there is."""


@dataclass(frozen=True, eq=False)
class Sight:
    """All that is known of one object."""

    point: int
    id: str
    cells: tuple[Cell, ...]
    curves: tuple[LightCurve, ...]
    stamps: tuple[Stamp, ...]


def open_stores(places: Sequence[str], points: Points) -> tuple[TensorStore, ...]:
    """Open tensor stores of a catalog.

    Raises
    ------
    NotFoundError
        If there is none at a place.
    ConflictError
        SNAPSHOT_CHANGED if a store was made of another catalog, or of another state of it.
    """
    stores = tuple(open_tensors(place) for place in places)
    for store in stores:
        if store.layout.snapshot != points.view.base.snapshot():
            msg = (
                f"store {store.location} was made for snapshot {store.layout.snapshot} of {store.layout.catalog}, "
                f"and {points.view.base.root} is {points.view.base.snapshot()}: make it again for this catalog"
            )
            raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, store=store.location)
    return stores


def read_object(points: Points, point: int, stores: Sequence[TensorStore] = ()) -> Sight:
    """Read all that there is about one point, from the files.

    Raises
    ------
    ConflictError, DataError
        If they are not what they were when the page was started.
    """
    partition, row = points.place(point)
    id_ = points.ids[point].as_py()
    cells = tuple(read_row(points.view, partition, row, id_))
    curves = tuple(curve for cell in cells if (curve := light_curve(cell)) is not None)
    stamps = tuple(_stamp(store, partition.key, row, cells) for store in stores)
    return Sight(point, str(id_), cells, curves, stamps)


def light_curve(cell: Cell) -> LightCurve | None:
    """Return a nested column as a light curve; None if it has no times or no brightness."""
    if not is_nested(cell.value.type):
        return None
    parts = {part.name: Column.of_field(part, parent=cell.column.name) for part in fields_of(cell.value.type)}
    time = _named(parts, TIMES, "time.epoch")
    value = _named(parts, VALUES, "phot.flux", "phot.mag")
    if time is None or value is None:
        return None
    error = next(
        (name for name in parts if name.startswith(value) and name.lower().endswith(("err", "error"))), None
    )
    error = error or next((name for name in parts if name.lower() in {"magerr", "sigmapsf", "err", "error"}), None)
    band = _named(parts, BANDS, "instr.bandpass")
    mjd, flux = (_numbers(cell.value, name) for name in (time, value))
    if len(mjd) != len(flux):
        return None
    spread = _numbers(cell.value, error) if error else np.zeros(len(mjd))
    labels = [str(label) for label in _list(cell.value, band).to_pylist()] if band else [""] * len(mjd)
    if len(spread) != len(mjd) or len(labels) != len(mjd):
        return None
    keep = np.isfinite(mjd) & np.isfinite(flux)
    spread = np.where(np.isfinite(spread) & (spread > 0), spread, 0.0)
    kept = tuple(label for label, good in zip(labels, keep, strict=True) if good)
    return LightCurve(
        cell.column.name, mjd[keep], flux[keep], spread[keep], kept, parts[time], parts[value]
    )  # fmt: skip


def said(value: pa.Array) -> str:
    """Return a value as text: floats with six digits, integers in full, long lists by their start.

    Examples
    --------
    >>> said(pa.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    '1, 2, 3, 4, … (5)'
    """
    return _text(value[0].as_py())


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        shown = ", ".join(_text(part) for part in value[:LIST_SHOWN])
        return shown if len(value) <= LIST_SHOWN else f"{shown}, … ({len(value)})"
    return str(value)


def _named(parts: dict[str, Column], names: Sequence[str], *ucds: str) -> str | None:
    """Return the field that has one of the UCDs (and no error's), or one of the names, in their order."""
    by_ucd = [name for name, column in parts.items() if column.ucd.startswith(ucds)]
    folded = {name.lower(): name for name in parts}
    return next(iter(by_ucd), None) or next((folded[name] for name in names if name in folded), None)


def _list(cell: pa.Array, name: str) -> pa.Array:
    found = lists_of(cell, [name])[0]
    return found.values.slice(int(found.start[0]), int(found.length[0]))


def _numbers(cell: pa.Array, name: str) -> NDArray[np.float64]:
    return np.asarray(_list(cell, name).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _stamp(store: TensorStore, key: str, row: int, cells: Sequence[Cell]) -> Stamp:
    nothing = np.empty(store.layout.shape, np.float32)
    keys = store.read_keys(key)
    known = {cell.column.name: cell.value for cell in cells if not cell.layer}
    for name, values in keys.items():
        there = values[row].tobytes().rstrip(b"\0").decode() if values.ndim == 2 else values[row].item()
        if there != known[name][0].as_py():
            msg = (
                f"store {store.location}, partition {key}, row {row} is of {name}={there!r}: make the store again"
            )
            raise DataError(msg, kind=ErrorKind.ROW_ORDER, key=key, store=store.location)
    found = store.read(key, row, row + 1)
    faults = ("" if found.coverage.any() else "no data here", "missing in the store", "corrupt in the store")
    fault = faults[int(found.faults[0])]
    return Stamp(store, nothing if fault else found.values[0].astype(np.float32), fault)
