"""What the rows of a layer come to, in memory that does not grow with them.

Looks at positions, for the part of the sky; at a sample, for bins; at every row, once, for all
counts. What is kept is counts by bin, sums by cell of the sky, and the first few rows of each order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.reporting.bins import Axis, Grouping, Numbers, Words
from skyloom.reporting.footprint import Cap, CapFinder, CellSums, cells_of, centre_of, reach_deg
from skyloom.reporting.roles import Roles, is_number
from skyloom.reporting.rows import Batch, LayerRows
from skyloom.reporting.top import TopRows

__all__ = ["MAGNITUDE", "REGION", "UNLIKE_P", "Gathered", "gather"]

MAGNITUDE, REGION = "magnitude", "region"
"""Names of the divisions."""
UNLIKE_P = 0.05
"""A row with a lower p-value of being known counts as unlike the training rows."""
SAMPLE_ROWS = 20_000
SAMPLE_PARTITIONS = 40
N_MAGNITUDES = 5
N_REGIONS = 6
_FINEST_REGION = 14


@dataclass(slots=True)
class Gathered:
    """Sums over all rows of a layer."""

    rows: int
    numbers: dict[str, Numbers]
    words: dict[str, Words]
    other: dict[str, int]
    """Nulls of columns that are neither numbers nor words."""
    groupings: tuple[Grouping, ...]
    cap: Cap | None
    cells: CellSums | None
    bits: NDArray[np.int64]
    """Rows with each bit of the flag, shape (32,)."""
    flagged: int
    """Rows with any."""
    top: list[TopRows]
    sampled: int
    """Rows that the bins were chosen by."""


def gather(
    layer: LayerRows,
    columns: Sequence[Column],
    roles: Roles,
    *,
    position: tuple[str, str],
    magnitude: Column | None,
    most: int,
    seed: int = 0,
) -> Gathered:
    """Look at every row of a layer.

    Parameters
    ----------
    layer : LayerRows
    columns : sequence of Column
        Those that the layer adds, its flag last.
    roles : Roles
    position : (str, str)
        Names of right ascension and declination, degrees.
    magnitude : Column or None
        The catalog's, which `layer` reads beside.
    most : int
        Rows kept of each order.
    seed : int
        Of the sample.

    Raises
    ------
    DataError
        If a file of the layer is missing or broken.
    """
    finder = CapFinder()
    for batch in layer.batches(position):
        finder.add(*_positions(batch, position))
    cap = finder.cap()
    if cap is not None and not cap.is_wide:
        reach = max(reach_deg(cap, *_positions(batch, position)) for batch in layer.batches(position))
        cap = replace(cap, radius_deg=reach)
    names = [*position, *(column.name for column in columns)]
    sample, bright = _sample(layer, names, seed)
    groupings, edges, regions = _divisions(sample, bright, position, magnitude)
    *outputs, flag = columns
    found = _empty(sample, outputs, roles, groupings=groupings, cap=cap, most=most)
    found.rows = sum(layer.rows)
    for batch in layer.batches(names):
        ra, dec = _positions(batch, position)
        groups = {}
        if edges is not None and batch.magnitude is not None:
            groups[MAGNITUDE] = _codes(batch.magnitude, edges)
        if regions is not None:
            groups[REGION] = regions.codes(ra, dec)
        _count(found, batch, flag.name, groups, cells=None if cap is None else cells_of(ra, dec, cap.order))
    return found


@dataclass(frozen=True, slots=True)
class _Regions:
    """The cells of an order that most rows are in, the first few."""

    order: int
    cells: NDArray[np.int64]

    def codes(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
        found = cells_of(ra_deg, dec_deg, self.order)
        sorter = np.argsort(self.cells)
        at = np.clip(np.searchsorted(self.cells, found, sorter=sorter), 0, len(self.cells) - 1)
        place = sorter[at]
        return np.where(self.cells[place] == found, place, len(self.cells))


def _positions(batch: Batch, position: tuple[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ra, dec = (np.asarray(batch.rows.column(name).to_numpy(zero_copy_only=False), np.float64) for name in position)
    return ra, dec


def _sample(layer: LayerRows, names: Sequence[str], seed: int) -> tuple[pa.Table, NDArray[np.float64] | None]:
    """Return some rows, of partitions that are spread evenly over the layer."""
    filled = [k for k, rows in enumerate(layer.rows) if rows]
    spread = np.linspace(0, len(filled) - 1, min(len(filled), SAMPLE_PARTITIONS)).round().astype(int)
    chosen = [filled[k] for k in dict.fromkeys(spread.tolist())]
    share = min(1.0, SAMPLE_ROWS / max(1, sum(layer.rows[k] for k in chosen)))
    rng = np.random.default_rng(seed)
    parts, bright = [], []
    for batch in layer.batches(names, partitions=chosen):
        kept = np.flatnonzero(rng.random(batch.rows.num_rows) < share)
        parts.append(batch.rows.take(pa.array(kept)))
        if batch.magnitude is not None:
            bright.append(batch.magnitude[kept])
    if not parts:
        return pa.table({name: pa.array([], pa.float64()) for name in names}), None
    return pa.Table.from_batches(parts), np.concatenate(bright) if bright else None


def _divisions(
    sample: pa.Table,
    bright: NDArray[np.float64] | None,
    position: tuple[str, str],
    magnitude: Column | None,
) -> tuple[tuple[Grouping, ...], NDArray[np.float64] | None, _Regions | None]:
    groupings = []
    edges = None if bright is None or magnitude is None else _edges(bright)
    if edges is not None and magnitude is not None:
        groupings.append(_by_magnitude(edges, magnitude))
    ra, dec = (np.asarray(sample[name].to_numpy(), np.float64) for name in position)
    regions = _regions(ra, dec)
    if regions is not None:
        labels = [_place(int(cell), regions.order) for cell in regions.cells]
        source = f"HEALPix cells of order {regions.order}, by position; those with the most rows of a sample"
        groupings.append(Grouping(REGION, (*labels, "elsewhere"), source))
    return tuple(groupings), edges, regions


def _edges(bright: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return edges of equally full bins, rounded; None where the column says nothing."""
    there = bright[np.isfinite(bright)]
    if not len(there):
        return None
    inner = np.quantile(there, np.linspace(0, 1, N_MAGNITUDES + 1)[1:-1])
    edges = np.unique(inner.round(1))
    return edges if len(edges) > 1 else None


def _by_magnitude(edges: NDArray[np.float64], column: Column) -> Grouping:
    unit = f" {column.unit}" if column.unit else ""
    between = [f"{low:g} to {high:g}{unit}" for low, high in pairwise(edges)]
    labels = (f"below {edges[0]:g}{unit}", *between, f"{edges[-1]:g}{unit} and above", "not known")
    return Grouping(MAGNITUDE, labels, f"column {column.name} of the catalog; edges by quantiles of a sample")


def _codes(magnitude: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    found = np.searchsorted(edges, magnitude, side="right")
    return np.where(np.isfinite(magnitude), found, len(edges) + 1).astype(np.int64)


def _regions(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> _Regions | None:
    """Return cells of the coarsest order at which there are four or more; None for a single place."""
    for order in range(_FINEST_REGION + 1):
        cells, counts = np.unique(cells_of(ra, dec, order), return_counts=True)
        kept = cells >= 0
        if kept.sum() >= 4:
            best = np.argsort(-counts[kept], kind="stable")[:N_REGIONS]
            return _Regions(order, cells[kept][best])
    return None


def _place(cell: int, order: int) -> str:
    ra, dec = centre_of(cell, order)
    digits = max(0, min(3, order - 3))
    return f"{ra:.{digits}f}°, {dec:+.{digits}f}°"


def _empty(
    sample: pa.Table,
    outputs: Sequence[Column],
    roles: Roles,
    *,
    groupings: tuple[Grouping, ...],
    cap: Cap | None,
    most: int,
) -> Gathered:
    sizes = {grouping.name: len(grouping.labels) for grouping in groupings}
    numbers, words, other = {}, {}, {}
    for column in outputs:
        if is_number(column.dtype):
            values = sample[column.name].cast(pa.float64(), safe=False).to_numpy()
            numbers[column.name] = Numbers(Axis.of(np.asarray(values, np.float64), ucd=column.ucd), sizes)
        elif column.dtype in {"string", "large_string", "bool"} or column.dtype.startswith("dictionary"):
            words[column.name] = Words(sizes)
        else:
            other[column.name] = 0
    mapped = (*(c.name for c in roles.scores), *(c.name for c in roles.known), "_flagged")
    return Gathered(
        rows=0,
        numbers=numbers,
        words=words,
        other=other,
        groupings=groupings,
        cap=cap,
        cells=None if cap is None else CellSums(cap.order, mapped),
        bits=np.zeros(32, np.int64),
        flagged=0,
        top=[TopRows(ranking, most) for ranking in roles.rankings],
        sampled=sample.num_rows,
    )


def _count(
    found: Gathered,
    batch: Batch,
    flag: str,
    groups: dict[str, NDArray[np.int64]],
    *,
    cells: NDArray[np.int64] | None,
) -> None:
    bits = np.asarray(batch.rows.column(flag).to_numpy(zero_copy_only=False)).astype(np.uint32)
    found.flagged += int(np.count_nonzero(bits))
    for bit in range(32):
        found.bits[bit] += int(np.count_nonzero(bits & np.uint32(1 << bit)))
    values = {name: numbers.add(batch.rows.column(name), groups) for name, numbers in found.numbers.items()}
    for name, words in found.words.items():
        words.add(batch.rows.column(name), groups)
    for name in found.other:
        found.other[name] += batch.rows.column(name).null_count
    for top in found.top:
        top.add(values[top.ranking.column], batch.partition, batch.start)
    if found.cells is not None and cells is not None:
        beside = {"_flagged": (bits != 0).astype(np.float64)}
        beside |= {name: _mapped(name, values[name]) for name in found.cells.names if name in values}
        found.cells.add(cells, beside)


def _mapped(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is averaged over a cell: p-values of being known become 1 below `UNLIKE_P`, else 0."""
    if not name.endswith("_ood"):
        return values
    return np.where(np.isfinite(values), (values < UNLIKE_P).astype(np.float64), np.nan)
