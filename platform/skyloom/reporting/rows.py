"""The rows of a layer, batch by batch, with one column of its catalog beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.catalog import Partition, read_partition
from skyloom.errors import DataError, ErrorKind
from skyloom.storage import LocalStore, Store

__all__ = ["Batch", "LayerRows"]

BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of one partition."""

    partition: int
    start: int
    rows: pa.RecordBatch
    magnitude: NDArray[np.float64] | None
    """Of the catalog; None where none was asked for."""


@dataclass(frozen=True, slots=True)
class LayerRows:
    """Files of a finished layer, and its catalog.

    Parameters
    ----------
    store : Store
    names : sequence of str
        Names of the data files in the store, in partition order.
    rows : sequence of int
        Rows of each.
    root : str
        Of the catalog; empty where it is not read.
    partitions : sequence of Partition
        Of the catalog, in the layer's order; empty where it is not read.
    magnitude : str
        The column of the catalog that is read beside; empty for none.
    """

    store: Store
    names: Sequence[str]
    rows: Sequence[int]
    root: str = ""
    partitions: Sequence[Partition] = ()
    magnitude: str = ""

    def batches(self, columns: Sequence[str], *, partitions: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield the rows of some partitions, of all by default; one batch is in memory at a time.

        Raises
        ------
        DataError
            If a file is missing, broken, or has another number of rows than published.
        ConflictError
            If a file of the catalog changed.
        """
        for k in range(len(self.names)) if partitions is None else partitions:
            beside = self._magnitude(k)
            start = 0
            for rows in self._read(self.names[k], columns):
                stop = start + rows.num_rows
                yield Batch(k, start, rows, None if beside is None else beside[start:stop])
                start = stop
            if start != self.rows[k]:
                where = self.store.location(self.names[k])
                msg = f"{where} has {start} rows and was published with {self.rows[k]}: `skyloom layer repair`"
                raise DataError(msg, kind=ErrorKind.ROW_COUNT, file=where)

    def faults(self, partition: int) -> list[list[Any]]:
        """Return the quarantine of a partition: row, cause, message and input digest of each row.

        Raises
        ------
        DataError
            If its file is missing or broken.
        """
        with self._opened(self.names[partition]) as file:
            said = (file.metadata.metadata or {}).get(b"skyloom.quarantine", b"[]")
        faults: list[list[Any]] = json.loads(said)
        return faults

    def beside(self, partition: int, columns: Sequence[str]) -> pa.Table:
        """Return columns of the catalog, row for row as the partition of the layer has them.

        Raises
        ------
        DataError
            If a file of the catalog is missing or broken.
        ConflictError
            If it changed.
        """
        return read_partition(self.root, self.partitions[partition], columns)

    def _magnitude(self, k: int) -> NDArray[np.float64] | None:
        if not self.partitions or not self.magnitude:
            return None
        column = self.beside(k, [self.magnitude]).column(0).combine_chunks().cast(pa.float64(), safe=False)
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)

    def _read(self, name: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with self._opened(name) as file:
            try:
                yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns), use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise self._broken(name, error) from error

    def _opened(self, name: str) -> Any:
        try:
            if isinstance(self.store, LocalStore):
                return pq.ParquetFile(self.store.path(name), page_checksum_verification=True)
            return pq.ParquetFile(pa.BufferReader(self.store.read(name)), page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(name, error) from error

    def _broken(self, name: str, error: Exception) -> DataError:
        where = self.store.location(name)
        msg = f"{where} cannot be read ({error}); `skyloom layer repair JOB.toml` computes such partitions again"
        return DataError(msg, kind=ErrorKind.BAD_FILE, file=where)
