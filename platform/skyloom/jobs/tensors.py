"""Tensor stores that a job reads: found and checked while planning, read slice by slice on a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.catalog import Catalog, Partition
from skyloom.columns import ANY_UNIT
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.jobs.sources import same_unit
from skyloom.runtime.contract import CUTOUT_CORRUPT, CUTOUT_MISSING
from skyloom.runtime.tensors import TensorInput, tensor_column
from skyloom.storage import LocalStore, canonical_json, sha256_bytes
from skyloom.tensors import CORRUPT, Cutouts, Statement, TensorSlice, TensorStore, key_arrays, open_tensors

__all__ = [
    "AHEAD",
    "TensorRead",
    "TensorRows",
    "TensorSource",
    "bind_tensors",
    "catalog_part",
    "open_stores",
    "task_digest",
]

AHEAD = 2
"""Slices that are read or waiting while the model has one."""
PIXEL_TOLERANCE = 0.01
"""Relative difference of pixel scales that counts as none: headers round, and distortion varies them."""


@dataclass(frozen=True)
class TensorSource:
    """One tensor that the model reads, bound to a store that has it for every partition."""

    read: TensorInput
    store: TensorStore
    statements: Mapping[str, Statement]
    unit: str

    @property
    def digest(self) -> str:
        """What the store holds, in the job's identity."""
        return self.store.digest(self.statements)

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(statement.size_bytes for statement in self.statements.values())


def bind_tensors(
    reads: Sequence[TensorInput],
    catalog: Catalog,
    keys: Sequence[str],
    *,
    stores: Mapping[str, str],
    units: Mapping[str, str],
) -> tuple[TensorSource, ...]:
    """Find the store of every tensor that a model reads, and check that it fits model and catalog.

    Parameters
    ----------
    reads : sequence of TensorInput
        What the model reads.
    catalog : Catalog
    keys : sequence of str
        Columns that say which row a row is.
    stores : mapping
        ``[input.tensors]``: locations by the tensors' names.
    units : mapping
        ``[input.units]``: units of stores that do not state theirs.

    Raises
    ------
    SpecError
        If a store is not named, or is named and not read, or its shape, unit, bands, pixel
        scale or wavelengths are not the model's; all of a store's mismatches at once.
    NotFoundError
        If there is no store, or it is not finished.
    ConflictError
        If it belongs to another catalog, or another snapshot of this one.
    DataError
        If its metadata are broken, or a partition has another number of rows.
    """
    names = [read.name for read in reads]
    for name in stores:
        if name not in names:
            there = close_matches(name, names) if names else "it reads none"
            msg = f"[input.tensors] names a store for {name!r}, which the model does not read; {there}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, tensor=name)
    missing = [read for read in reads if read.name not in stores]
    if missing:
        asked = "\n".join(f"  {r.name}: {r.description or 'tensors'} of shape {r.shape}" for r in missing)
        verb = "cutouts" if missing[0].grid is None else "spectra"
        msg = (
            f"the model reads tensors that no store is named for:\n{asked}\nName one in [input.tensors], as in "
            f'{missing[0].name} = "stores/{catalog.name}"; `skyloom {verb} make` makes it'
        )
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, tensor=missing[0].name)
    return tuple(_bound(read, catalog, keys, stores[read.name], units.get(read.name)) for read in reads)


def _bound(
    read: TensorInput, catalog: Catalog, keys: Sequence[str], location: str, unit: str | None
) -> TensorSource:
    store = open_tensors(location)
    _check_catalog(store, catalog, keys)
    found = store.layout.unit if unit is None else unit
    _check_fits(read, store, found)
    partitions = catalog.partitions()
    statements = store.statements(partition.key for partition in partitions)
    lacking = [partition.key for partition in partitions if partition.key not in statements]
    if lacking:
        msg = (
            f"store {store.location} is not finished: {len(lacking)} of {len(partitions)} partitions are missing, "
            f"the first {lacking[0]}. Run the command that makes it again: it takes up what is missing"
        )
        raise NotFoundError(msg, kind=ErrorKind.NOT_FINISHED, store=store.location, missing=len(lacking))
    for partition in partitions:
        if statements[partition.key].rows != partition.rows:
            msg = (
                f"store {store.location} has {statements[partition.key].rows} rows in partition {partition.key} "
                f"and catalog {catalog.name} has {partition.rows}; make the store again"
            )
            raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=partition.key)
    return TensorSource(read, store, statements, found)


def _check_catalog(store: TensorStore, catalog: Catalog, keys: Sequence[str]) -> None:
    layout = store.layout
    if layout.snapshot != catalog.snapshot():
        what = "another snapshot of it" if layout.catalog == catalog.name else f"catalog {layout.catalog}"
        msg = (
            f"store {store.location} was not made for catalog {catalog.name} at {catalog.root} as it is now, but "
            f"for {what}: {layout.snapshot}, and the catalog is {catalog.snapshot()}. Make a store for this "
            "catalog, or name the catalog that the store belongs to"
        )
        raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, store=store.location, catalog=catalog.name)
    if layout.keys != tuple(keys):
        msg = (
            f"store {store.location} knows rows by {', '.join(layout.keys)}, and the job by {', '.join(keys)}: "
            "the descriptor of the catalog names another id column than when the store was made"
        )
        raise SpecError(msg, kind=ErrorKind.ROW_ORDER, store=store.location)


def _check_fits(read: TensorInput, store: TensorStore, unit: str) -> None:
    layout, troubles, kind = store.layout, [], ErrorKind.COLUMN_TYPE
    if layout.shape != tuple(read.shape):
        troubles.append(f"its tensors have shape {layout.shape}; the model reads {tuple(read.shape)}")
    if read.bands and layout.bands != tuple(read.bands):
        stated = f"are {', '.join(layout.bands)}" if layout.bands else "are not stated"
        troubles.append(f"its bands {stated}; the model reads {', '.join(read.bands)}, in this order")
    if read.pixel_arcsec is not None:
        scale = layout.pixel_arcsec
        if scale is None or abs(scale / read.pixel_arcsec - 1.0) > PIXEL_TOLERANCE:
            stated = "is not stated" if scale is None else f'is {scale:g}"'
            troubles.append(f'its pixel scale {stated}; the model reads {read.pixel_arcsec:g}" per pixel')
    if read.grid is not None and not (layout.grid is not None and layout.grid.agrees(read.grid)):
        stated = "are not stated" if layout.grid is None else f"are {layout.grid}"
        troubles.append(f"its wavelengths {stated}; the model reads {read.grid}")
    if read.unit != ANY_UNIT and not same_unit(unit, read.unit):
        stated = f"are in {unit!r}" if unit else "do not state their unit"
        wanted = repr(read.unit) if read.unit else "dimensionless numbers"
        troubles.append(f"its values {stated}; the model reads {wanted} (state a true unit in [input.units])")
        kind = ErrorKind.COLUMN_UNIT if len(troubles) == 1 else kind
    if troubles:
        listed = "\n".join(f"  {trouble}" for trouble in troubles)
        msg = f"store {store.location} does not fit tensor {read.name!r}:\n{listed}\nMake one that does"
        raise SpecError(msg, kind=kind, tensor=read.name, store=store.location)


def task_digest(partition: Partition, sources: Sequence[TensorSource]) -> str:
    """Return what a task is known by: the partition's digest, and that of its tensors if it reads any."""
    return _joined(partition.digest, [source.statements[partition.key] for source in sources])


def catalog_part(digest: str) -> str:
    """Return the digest of the catalog's partition within a task's digest."""
    return digest.partition("+")[0]


def _joined(digest: str, statements: Sequence[Statement]) -> str:
    held = [statement.digest for statement in statements]
    return f"{digest}+{sha256_bytes(canonical_json(held))}" if held else digest


class TensorRead(NamedTuple):
    """The tensors of some consecutive rows, a slice per store."""

    start: int
    stop: int
    slices: list[TensorSlice]


class TensorRows:
    """The tensors of one partition, aligned with its rows.

    Parameters
    ----------
    stores : mapping of str to TensorStore
        By the tensors' names.
    key : str
        The partition.
    rows : pyarrow.Table
        Its row keys.
    digest : str
        The task's, as `task_digest` gave it to the plan.
    units : mapping of str to str

    Raises
    ------
    DataError
        If the rows of a store are not those of the partition.
    ConflictError
        If a store changed since the plan.
    """

    def __init__(
        self, stores: Mapping[str, TensorStore], key: str, rows: pa.Table, digest: str, units: Mapping[str, str]
    ) -> None:
        keys = key_arrays(rows, rows.column_names) if stores else {}
        statements = {name: store.check_keys(key, keys) for name, store in stores.items()}
        if _joined(catalog_part(digest), list(statements.values())) != digest:
            msg = f"a tensor store changed in partition {key} since the job was planned; run the job again"
            raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, key=key)
        self._partitions = {name: store.open_partition(key, statements[name]) for name, store in stores.items()}
        self._stores, self._units = stores, units
        self._copies: dict[str, tempfile.TemporaryDirectory[str]] = {}
        self._step = min((store.slice_rows() for store in stores.values()), default=0)

    def __bool__(self) -> bool:
        return bool(self._partitions)

    def slices(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Cut rows `start` to `stop` where slices of the whole partition are cut; one empty slice of no rows."""
        first = start
        while first < stop:
            last = min(stop, first - first % self._step + self._step)
            yield first, last
            first = last
        if start == stop:
            yield start, stop

    def before_fork(self) -> None:
        """Copy what lies on an object store to a temporary directory, once: its client's threads do not fork."""
        for name, partition in self._partitions.items():
            if not isinstance(partition.store.files, LocalStore):
                folder = self._copies.setdefault(name, tempfile.TemporaryDirectory(prefix="skyloom-tensors-"))
                self._partitions[name] = partition.copied_to(folder.name)

    def read(self, cut: tuple[int, int]) -> TensorRead:
        """Read the tensors of some rows."""
        return TensorRead(*cut, [partition.read(*cut) for partition in self._partitions.values()])

    def beside(self, rows: pa.RecordBatch, read: TensorRead) -> tuple[pa.RecordBatch, NDArray[np.uint32]]:
        """Return rows with what lies in the stores, and the platform's flags of each row.

        Beside each tensor ``name`` lies ``name_coverage``, the fraction of its pixels with data, and beside a
        cutout ``name_psf_fwhm``, a tensor of one width in arcsec per band, NaN where it is not known.
        """
        arrays, fields = list(rows.columns), list(rows.schema)
        # Not `rows.num_rows`: rows of a model that reads nothing else have no column to count.
        flag = np.zeros(read.stop - read.start, np.uint32)
        for (name, store), found in zip(self._stores.items(), read.slices, strict=True):
            column, coverage, bits = _columns(found)
            unit = self._units.get(name, "")
            arrays += [column, coverage]
            fields.append(pa.field(name, column.type, metadata={"unit": unit} if unit else None))
            fields.append(pa.field(f"{name}_coverage", coverage.type))
            if isinstance(store, Cutouts):
                widths = tensor_column(found.psf_fwhm_arcsec)
                arrays.append(widths)
                fields.append(pa.field(f"{name}_psf_fwhm", widths.type, metadata={"unit": "arcsec"}))
            flag |= bits
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), flag


def _columns(found: TensorSlice) -> tuple[pa.Array, pa.Array, NDArray[np.uint32]]:
    there: NDArray[np.bool_] = np.any(found.coverage, axis=1)
    coverage = pa.array(found.coverage.mean(axis=1, dtype=np.float64).astype(np.float32))
    corrupt = found.faults == CORRUPT
    flag = np.where(there, 0, np.where(corrupt, CUTOUT_CORRUPT.mask, CUTOUT_MISSING.mask)).astype(np.uint32)
    return tensor_column(found.values, there), coverage, flag


def open_stores(tensors: Sequence[Sequence[Any]]) -> dict[str, TensorStore]:
    """Open the stores that a plan's settings name."""
    return {name: open_tensors(location) for name, location, _ in tensors}
