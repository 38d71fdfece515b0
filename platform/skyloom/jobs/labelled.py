"""A labelled catalog as a training set: read as a job reads it, kept on disk as the arrays that networks see."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.catalog import Catalog, Partition, open_catalog, read_partition
from skyloom.errors import DataError, ErrorKind, SpecError, close_matches
from skyloom.evaluation.labelled import LabelledRows
from skyloom.jobs.plan import row_keys_of
from skyloom.jobs.scoring import model_rows
from skyloom.jobs.sources import Source, bind
from skyloom.jobs.tensors import TensorRows, TensorSource, bind_tensors, task_digest
from skyloom.runtime.contract import System
from skyloom.runtime.tensors import tensor_values

__all__ = ["LabelledCatalog"]

_SLICE_ROWS = 4096
UNLABELLED = "no label"


@dataclass(frozen=True)
class LabelledCatalog:
    """A catalog with a column of labels; see `skyloom.evaluation.labelled.LabelledSource`.

    Nothing is opened before `read`.
    """

    location: str
    """A descriptor's name or file, or the path or URL of a HATS catalog."""
    label: str
    """Column of text, integers or booleans; null in rows without a label."""
    tensors: Mapping[str, str] = field(default_factory=dict)
    """Locations of stores, by the names of the tensors that the system reads."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Names in the catalog, by the system's names, where they differ."""
    simulated: bool = False
    """Whether its rows are simulated: the card says so."""

    def read(self, system: System, config: Any, folder: Path) -> LabelledRows:
        """Read all labelled rows that `system` scores, partition by partition.

        Parameters
        ----------
        system : System
        config : Config
        folder : path
            Gets one file per array, which the rows then lie in.

        Raises
        ------
        NotFoundError
            If there is no catalog, or no store.
        SpecError
            If there is no such column of labels, or catalog and stores are not what the system reads.
        DataError
            If no row is left, two rows have one id, or bytes break their schema.
        """
        catalog = open_catalog(self.location)
        self._check_label(catalog)
        sources = bind(system.reads(config), catalog, (), columns=self.columns, units={})
        listed = tuple(system.tensors(config)) if hasattr(system, "tensors") else ()
        stores = bind_tensors(listed, catalog, row_keys_of(catalog), stores=self.tensors, units={})
        kept, out = _Kept(folder), Counter[str]()
        label: list[str] = []
        ids: list[NDArray[np.uint64]] = []
        for partition in catalog.partitions():
            for rows, truth, number in self._slices(catalog, partition, system.reads(config), sources, stores):
                there = truth.is_valid()
                labelled = rows.filter(there)
                made = system.inputs(config, labelled)
                out[UNLABELLED] += truth.null_count
                for flag in system.FLAGS:
                    out[flag.name] += int(((made.flag & flag.mask > 0) & ~made.scorable).sum())
                kept.add({f"array {name}": values for name, values in made.arrays.items()})
                kept.add({f"tensor {t.name}": _raw(labelled, t.name, t.shape)[made.scorable] for t in listed})
                label += truth.filter(there).filter(pa.array(made.scorable)).to_pylist()
                ids.append(number[there.to_numpy(zero_copy_only=False)][made.scorable])
        found = np.concatenate(ids) if ids else np.empty(0, dtype=np.uint64)
        self._check_rows(catalog, found, out)
        arrays = kept.arrays()
        return LabelledRows(
            arrays={name.removeprefix("array "): a for name, a in arrays.items() if name.startswith("array ")},
            tensors={name.removeprefix("tensor "): a for name, a in arrays.items() if name.startswith("tensor ")},
            label=np.array(label),
            ids=found,
            left_out=dict(out),
            catalog=catalog.name,
            snapshot=catalog.snapshot(),
            column=self.label,
            simulated=self.simulated,
            bands=tuple(dict.fromkeys(band for source in stores for band in source.store.layout.bands)),
        )

    def _check_label(self, catalog: Catalog) -> None:
        if self.label not in catalog.schema.names:
            near = close_matches(self.label, catalog.schema.names)
            msg = f"catalog {catalog.name} has no column {self.label!r} to take labels from; {near}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=self.label)
        kind = catalog.schema.field(self.label).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        types = pa.types
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        if not (text or types.is_integer(kind) or types.is_boolean(kind)):
            msg = (
                f"column {self.label!r} of catalog {catalog.name} is {kind}; labels are text, integers or booleans"
            )
            raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, column=self.label)

    def _check_rows(self, catalog: Catalog, ids: NDArray[np.uint64], out: Mapping[str, int]) -> None:
        if not len(ids):
            why = ", ".join(f"{name} {n}" for name, n in out.items() if n) or "it has no rows"
            msg = f"catalog {catalog.name} has no row with a label in {self.label!r} that can be scored: {why}"
            raise DataError(msg, kind=ErrorKind.ROW_COUNT, catalog=catalog.name)
        twice = len(ids) - len(np.unique(ids))
        if twice:
            msg = (
                f"{twice} labelled rows of catalog {catalog.name} have the id of another one, and objects are "
                "split by their ids. Keep one row of each object, or null the labels of the others"
            )
            raise DataError(msg, kind=ErrorKind.DUPLICATE_ID, catalog=catalog.name)

    def _slices(
        self,
        catalog: Catalog,
        partition: Partition,
        reads: Any,
        sources: tuple[Source, ...],
        stores: tuple[TensorSource, ...],
    ) -> Iterator[tuple[pa.RecordBatch, pa.Array, NDArray[np.uint64]]]:
        """Yield rows as the system's `inputs` takes them, their labels as text, and numbers of their objects."""
        keys, id_column = row_keys_of(catalog), catalog.id_column or row_keys_of(catalog)[0]
        wanted = [*keys, id_column, self.label, *(source.found.name for source in sources)]
        table = read_partition(catalog.root, partition, list(dict.fromkeys(wanted)))
        flat = [(source.read.name, "", source.found.name, source.found.unit) for source in sources]
        rows = model_rows(table, flat, reads)
        truth = table.column(self.label).cast(pa.string()).combine_chunks()
        numbers = _numbers(table.column(id_column))
        if not stores:
            for start in range(0, table.num_rows, _SLICE_ROWS):
                cut = slice(start, start + _SLICE_ROWS)
                yield rows.slice(start, _SLICE_ROWS), truth[cut], numbers[cut]
            return
        tensors = TensorRows(
            {source.read.name: source.store for source in stores},
            partition.key,
            table.select(list(keys)),
            task_digest(partition, stores),
            {source.read.name: source.unit for source in stores},
        )
        for start, stop in tensors.slices(0, table.num_rows):
            if start < stop:
                whole, _ = tensors.beside(rows.slice(start, stop - start), tensors.read((start, stop)))
                yield whole, truth[start:stop], numbers[start:stop]


class _Kept:
    """Arrays that grow on disk: more rows than memory holds may be learnt from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: Counter[str] = Counter()
        self._kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}

    def add(self, arrays: Mapping[str, Any]) -> None:
        """Append rows.

        Raises
        ------
        SpecError
            If something is no array.
        """
        for name, values in arrays.items():
            if not isinstance(values, np.ndarray):
                msg = (
                    f"{name}: inputs of a system that learns from catalogs are arrays, got {type(values).__name__}"
                )
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
            first = name not in self._kinds
            self._kinds.setdefault(name, (values.dtype, values.shape[1:]))
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._file(name).open("wb" if first else "ab") as file:
                file.write(np.ascontiguousarray(values).tobytes())
            self._rows[name] += len(values)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all rows, mapped from disk."""
        return {
            name: np.memmap(self._file(name), dtype=kind, mode="r", shape=(self._rows[name], *shape))
            for name, (kind, shape) in self._kinds.items()
        }

    def _file(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.raw"


def _raw(rows: pa.RecordBatch, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    return tensor_values(rows, name, shape)[0]


def _numbers(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return integers as they are, and other ids as the first 64 bits of a digest."""
    if pa.types.is_integer(ids.type):
        return np.asarray(ids.to_numpy()).astype(np.uint64)
    texts = (str(each).encode() for each in ids.to_pylist())
    return np.array([int.from_bytes(hashlib.sha256(t).digest()[:8], "little") for t in texts], dtype=np.uint64)
