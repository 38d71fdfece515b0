"""What a contestant wrote of a HATS catalog, row by row beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from tests.benchmarks.peers.partitions import read, rows_of
from tests.benchmarks.peers.plain import partitions_of
from tests.benchmarks.peers.race import files_of

__all__ = ["written"]


def written(
    out: Path, catalog: Path, columns: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the first and the last partition of a catalog, each with what a contestant wrote of its rows.

    Raises
    ------
    AssertionError
        If a row of the catalog was not written, or twice.
    """
    paths = partitions_of(catalog)
    table = ds.dataset(files_of(out)).to_table(["object_id", *names]).sort_by("object_id")
    ids = table["object_id"].to_numpy()
    assert len(ids) == len(np.unique(ids)) == rows_of(paths)
    for path in (paths[0], paths[-1]):
        part = read(path, columns)
        yield part, table.take(np.searchsorted(ids, part["object_id"].to_numpy()))
