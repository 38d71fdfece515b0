"""What a worker does for a job: read a partition, score its rows, return the layer's columns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.partition import Partition, read_partition
from skyloom.engine import Computed, Fault, Task, rows_digest
from skyloom.errors import DataError, ErrorKind
from skyloom.jobs.models import load_model
from skyloom.runtime.scoring import flag_column, score
from skyloom.storage import open_store

__all__ = ["Scoring", "model_rows"]


class Scoring:
    """The processor of a job; loads its model once.

    Parameters
    ----------
    settings : mapping
        As `skyloom.jobs.plan.settings_of` writes them.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.model = load_model(settings["model"], settings["weights"], settings["model_settings"])
        self.estimator = self.model.build()
        self.flag = flag_column(self.model.system, settings["layer"]).name

    def process(self, task: Task) -> Computed:
        """Score every row of one partition."""
        started = time.perf_counter()
        table = self._read(task)
        rows = model_rows(table, self.settings["sources"], self.model.reads)
        read = time.perf_counter()
        scored, faults = score(
            self.model.system,
            self.estimator,
            self.model.config,
            rows,
            layer=self.settings["layer"],
            batch_rows=self.settings["batch_rows"],
        )
        done = time.perf_counter()
        repeated = [(name, _plain(table.column(name))) for name in self.settings["repeated"]]
        columns = [*repeated, *zip(scored.schema.names, scored.columns, strict=True)]
        return Computed(
            table=pa.table(dict(columns)),
            row_keys=rows_digest(pa.table(dict(repeated)), self.settings["row_keys"]),
            faults=[Fault(fault.row, fault.cause, fault.message) for fault in faults],
            flag_column=self.flag,
            seconds={"read_s": read - started, "model_s": done - read},
        )

    def _read(self, task: Task) -> pa.Table:
        """Read the columns of the catalog, and zip those of layers to them by position."""
        wanted: dict[str, list[str]] = {"": list(self.settings["repeated"])}
        for _, layer, found, _ in self.settings["sources"]:
            wanted.setdefault(layer, []).append(found)
        partition = Partition(task.key, 0, 0, task.inputs, task.rows, task.size_bytes, task.digest)
        table = read_partition(self.settings["root"], partition, list(dict.fromkeys(wanted.pop(""))))
        for name, columns in wanted.items():
            table = self._zipped(task, table, name, columns)
        return table

    def _zipped(self, task: Task, table: pa.Table, layer: str, columns: Sequence[str]) -> pa.Table:
        keys = self.settings["row_keys"]
        store, name = open_store(self.settings["layers"][layer]), f"dataset/{task.key}.parquet"
        where = store.location(name)
        with store.open(name) as file:
            found = pq.read_table(file, columns=[*keys, *columns], page_checksum_verification=True)
        base = pa.table({key: _plain(table.column(key)) for key in keys})
        if rows_digest(found, keys) != rows_digest(base, keys):
            msg = f"{where}: rows of layer {layer} are not those of partition {task.key}; run its job again"
            raise DataError(msg, kind=ErrorKind.ROW_ORDER, key=task.key, file=where)
        for name in columns:
            table = table.append_column(f"{layer}\0{name}", found.column(name))
        return table


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


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
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
