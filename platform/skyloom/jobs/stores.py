"""What stores of cutouts and of spectra have in common: made partition by partition, and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from skyloom.catalog import Catalog, read_partition
from skyloom.errors import ErrorKind
from skyloom.jobs.plan import row_keys_of
from skyloom.tensors import Finding, Layout, PartitionWriter, TensorStore, check_store, create_store, key_arrays
from skyloom.tensors.partition import coverage_of
from skyloom.tensors.read import open_tensors

__all__ = ["Made", "Tensors", "check_tensors", "make_store", "store_layout"]

Tensors = tuple[NDArray[Any], Mapping[str, NDArray[Any]]]
"""Values of some rows, and what lies beside them, as `PartitionWriter.append` takes it."""


@dataclass(frozen=True)
class Made:
    """What was made of a store."""

    store: str
    partitions: int
    made: int
    """Partitions made now; the others were there."""
    rows: int
    without: int
    """Rows made now that have no tensor: nothing in it can be used."""
    shape: tuple[int, ...]
    bytes: int


def store_layout(catalog: Catalog, **said: Any) -> Layout:
    """Return the layout of a store for the rows of a catalog."""
    return Layout(catalog=catalog.name, snapshot=catalog.snapshot(), keys=row_keys_of(catalog), **said)


def make_store(
    catalog: Catalog,
    layout: Layout,
    output: str | Path,
    columns: Sequence[str],
    tensors: Callable[[pa.Table, int], Tensors],
) -> Made:
    """Make the partitions of a store that are not there yet, a shard's rows in memory at a time.

    Parameters
    ----------
    catalog : Catalog
    layout : Layout
    output : path-like
        The store; one that the same request began is taken up.
    columns : sequence of str
        What `tensors` needs of the catalog, beside the row keys.
    tensors : callable
        From M consecutive rows, and the number of the first of them in the catalog, to their
        tensors: (M, *shape), NaN where there is none; and the arrays beside them.

    Raises
    ------
    ConflictError
        If another store lies there.
    StoreFullError
        If the disk is full; partitions that are finished stay.
    """
    store = create_store(output, layout)
    opened = open_tensors(output)
    partitions = catalog.partitions()
    done = set(opened.statements(partition.key for partition in partitions))
    step = max(1, layout.shard_rows)
    without, first, following = 0, 0, 0
    for partition in partitions:
        first, following = following, following + partition.rows
        if partition.key in done:
            continue
        rows = read_partition(catalog.root, partition, list(dict.fromkeys([*layout.keys, *columns])))
        with PartitionWriter(store, layout, partition.key, key_arrays(rows, layout.keys)) as writer:
            for start in range(0, rows.num_rows, step):
                values, extras = tensors(rows.slice(start, step), first + start)
                without += int((~coverage_of(values, layout).any(axis=1)).sum())
                writer.append(values, **extras)
            writer.commit()
    held = opened.statements(partition.key for partition in partitions)
    return Made(
        store.root, len(partitions), len(partitions) - len(done), sum(s.rows for s in held.values()),
        without, layout.shape, sum(s.size_bytes for s in held.values()),
    )  # fmt: skip


def check_tensors(store: TensorStore, catalog: Catalog) -> tuple[list[Finding], int]:
    """Look at every byte of a store, and whether its rows are the catalog's; findings, and rows looked at."""

    def partitions() -> Any:
        for partition in catalog.partitions():
            rows = read_partition(catalog.root, partition, list(store.layout.keys))
            yield partition.key, key_arrays(rows, store.layout.keys)

    findings, rows = check_store(store, partitions())
    if store.layout.snapshot != catalog.snapshot():
        text = (
            f"the store was made for {store.layout.snapshot} of {store.layout.catalog}, not {catalog.snapshot()}"
        )
        findings.insert(0, Finding(str(ErrorKind.SNAPSHOT_CHANGED), "", text))
    return findings, rows
