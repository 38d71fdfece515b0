"""A result that goes to a file as it comes, so that it may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from skyloom.query.write import check_output, csv_table, partial_file, write_result

__all__ = ["STREAMED", "Rows", "write_stream"]

STREAMED = (".parquet", ".csv")
"""File endings of results that may be larger than memory."""


class Rows(Protocol):
    """Batches of one schema."""

    schema: pa.Schema

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...


def write_stream(rows: Rows, path: str | Path, *, overwrite: bool = False) -> int:
    """Write a result to a file as it comes; its name says the format.

    Parquet and CSV are written batch by batch; ECSV, VOTable and FITS are gathered in memory first.
    What is written is as `write_result` describes it.

    Parameters
    ----------
    rows : Rows
        Such as `skyloom.query.streamed` yields.
    path : str or Path
        Where to. The file appears when all rows are in it: a query that ends at a limit leaves none.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    SkyloomError
        As `write_result`, and whatever ends the rows.
    """
    path = check_output(path, overwrite=overwrite, columns=rows.schema.names)
    if path.suffix.lower() not in STREAMED:
        table = pa.Table.from_batches(list(rows), rows.schema)
        write_result(table, path, overwrite=overwrite)
        return int(table.num_rows)
    with partial_file(path) as partial:
        return (_parquet if path.suffix.lower() == ".parquet" else _csv)(rows, partial)


def _parquet(rows: Rows, path: Path) -> int:
    from pyarrow import parquet

    count = 0
    with parquet.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _csv(rows: Rows, path: Path) -> int:
    from pyarrow import csv

    count = 0
    with csv.CSVWriter(path, csv_table(rows.schema.empty_table()).schema) as writer:
        for batch in rows:
            writer.write_table(csv_table(pa.Table.from_batches([batch])))
            count += batch.num_rows
    return count
