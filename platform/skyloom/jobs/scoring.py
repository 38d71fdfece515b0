"""What a worker does for a job: read a partition, score its rows, return the layer's columns."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.catalog.partition import Partition, read_partition
from skyloom.engine import Fault, Piece, Task, rows_digest
from skyloom.errors import DataError, ErrorKind
from skyloom.jobs.models import check_same, load_model
from skyloom.jobs.numerics import Numerics, check_class
from skyloom.jobs.tensors import AHEAD, TensorRead, TensorRows, catalog_part, open_stores
from skyloom.models.eligibility import Eligibility, Judged
from skyloom.runtime.contract import KILLED_WORKER, MODEL_ERROR, OUT_OF_MEMORY, TIMEOUT, Flag
from skyloom.runtime.eligible import null_rows, score_eligible
from skyloom.runtime.prefetch import prefetched
from skyloom.runtime.scoring import RowFault, flag_column, score
from skyloom.storage import open_store

__all__ = ["Scoring", "ScoringRows", "judged", "model_rows"]

logger = logging.getLogger(__name__)


class Scoring:
    """The processor of a job; loads its model once.

    Parameters
    ----------
    settings : mapping
        As `skyloom.jobs.bound.Bound.settings` writes them.

    Raises
    ------
    ConflictError
        If weights or code in this process are not those that the run was planned with.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.model = load_model(settings["model"], settings["weights"], settings["model_settings"])
        check_same(self.model, settings["model_made_of"])
        stated = settings["numerics"]
        self.numerics = Numerics.from_identity(stated) if stated else None
        if not (self.numerics and self.numerics.on_gpu):
            _ = self.estimator
        self.batch_rows: int = settings["batch_rows"]
        self.flag = flag_column(self.model.system, settings["layer"]).name
        asked = settings["eligibility"]
        self.eligibility = Eligibility.of(asked["criteria"]) if asked else Eligibility()
        self.reasons = self.eligibility.flags(self.model.system.FLAGS)
        self.stores = open_stores(settings["tensors"])

    @cached_property
    def estimator(self) -> Any:
        """The model, built; on a GPU only when the first rows come.

        The process that isolates suspects reads and forks, and its children compute: a forked child
        cannot use a GPU that its parent has begun to use.
        """
        if self.numerics is None:
            return self.model.build()
        check_class(self.numerics)
        return self.model.build(self.numerics.settings)

    def split(self, task: Task) -> ScoringRows:
        """Read the rows of one partition."""
        return ScoringRows(self, self._read(task), task)

    def judge(self, table: pa.Table) -> Judged | None:
        """Judge the rows of one partition by the criteria; None where there are none."""
        if not self.eligibility:
            return None
        return judged(self.eligibility, table, self.settings["eligibility"]["columns"])

    def score(
        self, rows: pa.RecordBatch, skipped: NDArray[np.uint32] | None
    ) -> tuple[pa.RecordBatch, list[RowFault]]:
        """Score rows that are not skipped; where memory runs out, in smaller batches, from then on.

        Raises
        ------
        MemoryError
            If it runs out with a batch of one row.
        """
        given = (self.model.system, self.estimator, self.model.config, rows)
        layer = self.settings["layer"]
        while True:
            try:
                if skipped is None:
                    return score(*given, layer=layer, batch_rows=self.batch_rows)
                return score_eligible(
                    *given, skipped=skipped, reasons=self.reasons, layer=layer, batch_rows=self.batch_rows
                )
            except MemoryError:
                if self.batch_rows == 1:
                    raise
                self.batch_rows = min(self.batch_rows, max(2, rows.num_rows)) // 2
                logger.warning("out of memory: batches have %d rows from now on", self.batch_rows)

    def nulls(self, flag: NDArray[np.uint32]) -> pa.RecordBatch:
        """Return rows of nulls, with their flags."""
        return null_rows(
            self.model.system, self.model.config, flag, layer=self.settings["layer"], reasons=self.reasons
        )

    def _read(self, task: Task) -> pa.Table:
        """Read the columns of the catalog, and zip those of layers to them by position."""
        wanted: dict[str, list[str]] = {"": list(self.settings["repeated"])}
        asked = self.settings["eligibility"]
        for _, layer, found, *_ in [*self.settings["sources"], *(asked["columns"] if asked else ())]:
            wanted.setdefault(layer, []).append(found)
        partition = Partition(task.key, 0, 0, task.inputs, task.rows, task.size_bytes, catalog_part(task.digest))
        columns = list(dict.fromkeys(wanted.pop("")))
        read = read_partition(self.settings["root"], partition, columns, labels_as_codes=True, use_threads=False)
        table = read.combine_chunks()
        for name, columns in wanted.items():
            table = self._zipped(task, table, name, list(dict.fromkeys(columns)))
        return table

    def _zipped(self, task: Task, table: pa.Table, layer: str, columns: Sequence[str]) -> pa.Table:
        keys = self.settings["row_keys"]
        store, name = open_store(self.settings["layers"][layer]), f"dataset/{task.key}.parquet"
        where = store.location(name)
        with store.open(name) as file:
            # Not `read_table`: its threads may outlive the call, and then the interpreter.
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            found = parquet.read(columns=[*keys, *columns], use_threads=False)
        base = pa.table({key: _plain(table.column(key)) for key in keys})
        if rows_digest(found, keys) != rows_digest(base, keys):
            msg = f"{where}: rows of layer {layer} are not those of partition {task.key}; run its job again"
            raise DataError(msg, kind=ErrorKind.ROW_ORDER, key=task.key, file=where)
        for name in columns:
            table = table.append_column(f"{layer}\0{name}", found.column(name))
        return table


class ScoringRows:
    """The rows of one partition, read; see `skyloom.engine.Rows`."""

    def __init__(self, scoring: Scoring, table: pa.Table, task: Task) -> None:
        settings = scoring.settings
        self._scoring = scoring
        self._rows = model_rows(table, settings["sources"], scoring.model.reads)
        self._repeated = pa.table({name: _plain(table.column(name)) for name in settings["repeated"]})
        self.row_keys = rows_digest(self._repeated, settings["row_keys"])
        keys = self._repeated.select(settings["row_keys"])
        units = {name: unit for name, _, unit in settings["tensors"]}
        self._tensors = TensorRows(scoring.stores, task.key, keys, task.digest, units)
        self.flag_column = scoring.flag
        self._judged = scoring.judge(table)
        self.counts = self._judged.counts if self._judged else {}
        # Read here, where rows are read ahead: the model would wait for it otherwise, partition after partition.
        first = next(self._tensors.slices(0, table.num_rows)) if self._tensors else None
        self._first = (first, self._tensors.read(first)) if first and self._is_asked(first) else None

    def compute(self, start: int, stop: int) -> Piece:
        """Score rows `start` to `stop`; where there are tensors, slice by slice, the next being read meanwhile."""
        if not self._tensors:
            rows = self._rows.slice(start, stop - start)
            scored, faults = self._scoring.score(rows, self._skipped(start, stop))
            return Piece(self._beside(start, scored), self._found(start, faults))
        tables, found = [], []
        cuts = list(self._tensors.slices(start, stop))
        read_too = [cut for cut in cuts if self._is_asked(cut)]
        with prefetched(self._read, read_too, ahead=AHEAD) as slices:
            for first, last in cuts:
                skipped = self._skipped(first, last)
                if skipped is not None and not self._is_asked((first, last)):
                    tables.append(self._beside(first, self._scoring.nulls(skipped)))
                    continue
                read = next(slices)
                rows, flag = self._tensors.beside(self._rows.slice(first, last - first), read)
                scored, faults = self._scoring.score(rows, skipped)
                # A row that is not asked about has no other flag: whether its image was read depends on others.
                flag = flag if skipped is None else np.where(skipped == 0, flag, np.uint32(0))
                tables.append(self._beside(first, _flagged(scored, flag)))
                found += self._found(first, faults)
        return Piece(pa.concat_tables(tables).combine_chunks(), found)

    def _read(self, cut: tuple[int, int]) -> TensorRead:
        """Read the tensors of some rows; those of the first slice lie here already, for whoever comes first."""
        first, self._first = self._first, None
        return first[1] if first is not None and first[0] == cut else self._tensors.read(cut)

    def read_tensors(self) -> None:
        """Read the tensors of all rows and let go of them: what it takes is a part of the price of a job."""
        if self._tensors:
            for cut in self._tensors.slices(0, self._rows.num_rows):
                self._tensors.read(cut)

    def _skipped(self, start: int, stop: int) -> NDArray[np.uint32] | None:
        return None if self._judged is None else self._judged.skipped[start:stop]

    def _is_asked(self, cut: tuple[int, int]) -> bool:
        """Whether the model is asked about any of some rows; of no rows, so that there is a first slice."""
        skipped = self._skipped(*cut)
        return skipped is None or not len(skipped) or bool((skipped == 0).any())

    def _found(self, start: int, faults: Sequence[RowFault]) -> list[Fault]:
        return [Fault(start + f.row, f.cause, f.message, self.input_digest(start + f.row)) for f in faults]

    def quarantined(self, row: int, cause: str) -> pa.Table:
        """Return one row of nulls, with the flag that stands for `cause`."""
        flag = np.array([_flag(cause).mask], dtype=np.uint32)
        if self._judged is not None:
            flag |= self._judged.skipped[row : row + 1]
        return self._beside(row, self._scoring.nulls(flag))

    def input_digest(self, row: int) -> str:
        """Return a digest of what the model reads of one row."""
        rows = self._rows.slice(row, 1)
        if self._tensors:
            rows, _ = self._tensors.beside(rows, self._tensors.read((row, row + 1)))
        one = pa.table([_stored(column) for column in rows.columns], names=rows.schema.names)
        return rows_digest(one, one.column_names)

    def before_fork(self) -> None:
        """Make the tensors readable in a forked process; see `skyloom.engine.child.Forkable`."""
        self._tensors.before_fork()

    def _beside(self, start: int, scored: pa.RecordBatch) -> pa.Table:
        """Return scored rows beside the columns that repeat the catalog's."""
        repeated = self._repeated.slice(start, scored.num_rows)
        names = [*repeated.column_names, *scored.schema.names]
        return pa.table(dict(zip(names, [*repeated.columns, *scored.columns], strict=True)))


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _flagged(scored: pa.RecordBatch, flag: NDArray[np.uint32]) -> pa.RecordBatch:
    """Return scored rows with more bits in their last column."""
    *columns, own = scored.columns
    both = pa.array(own.to_numpy() | flag)
    return pa.RecordBatch.from_arrays([*columns, both], schema=scored.schema)


def _flag(cause: str) -> Flag:
    """Return the flag that stands for a cause, spelt as in `skyloom.engine.Fault`."""
    if cause.startswith(("signal ", "exit ")):
        return KILLED_WORKER
    return {"timeout": TIMEOUT, "memory": OUT_OF_MEMORY}.get(cause, MODEL_ERROR)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def judged(eligibility: Eligibility, table: pa.Table, columns: Sequence[Sequence[str]]) -> Judged:
    """Judge rows as they were read.

    Parameters
    ----------
    eligibility : Eligibility
    table : pyarrow.Table, N rows
    columns : sequence of (name in the criteria, layer, found name)
    """
    arrays = {}
    for name, layer, found in columns:
        array, valid = _column(table, f"{layer}\0{found}" if layer else found)
        arrays[name] = array if valid is None else pc.if_else(valid, pa.scalar(None, array.type), array)
    return eligibility.judge(arrays, table.num_rows)


def model_rows(table: pa.Table, sources: Sequence[Sequence[str]], reads: Sequence[Any]) -> pa.RecordBatch:
    """Return the rows under the names that the model reads, a nested column as one struct.

    Parameters
    ----------
    table : pyarrow.Table, N rows
    sources : sequence of (read name, layer, found name, unit)
    reads : sequence of Column
        As the model declares them; plain columns are cast to the declared type.

    Returns
    -------
    pyarrow.RecordBatch, N rows
    """
    declared = {column.name: column for column in reads}
    plain: dict[str, tuple[pa.Array, pa.Field]] = {}
    nested: dict[str, list[tuple[pa.Array, pa.Field, pa.Array]]] = {}
    for read, layer, found, unit in sources:
        array, valid = _column(table, f"{layer}\0{found}" if layer else found)
        column = declared[read]
        metadata = {b"unit": unit.encode()} if unit else None
        if column.child:
            field = pa.field(column.child, array.type, metadata=metadata)
            nested.setdefault(column.parent, []).append((array, field, valid))
        else:
            plain[read] = (array.cast(column.type), pa.field(read, column.type, metadata=metadata))
    for parent, parts in nested.items():
        fields = [field for _, field, _ in parts]
        struct = pa.StructArray.from_arrays([array for array, _, _ in parts], fields=fields, mask=parts[0][2])
        plain[parent] = (struct, pa.field(parent, struct.type))
    schema = pa.schema([field for _, field in plain.values()])
    return pa.RecordBatch.from_arrays([array for array, _ in plain.values()], schema=schema)


def _column(table: pa.Table, name: str) -> tuple[pa.Array, pa.Array | None]:
    """Return one column, or one field of a nested one with the nulls of its parent as a mask."""
    parent, _, child = ("", "", "") if name in table.column_names else name.partition(".")
    if not child:
        return _whole(table.column(name)), None
    struct = _whole(table.column(parent))
    mask = struct.is_null() if struct.null_count else None
    return struct.field(child), mask


def _whole(column: pa.ChunkedArray) -> pa.Array:
    # To combine one chunk would copy it.
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
