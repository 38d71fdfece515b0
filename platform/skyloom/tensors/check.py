"""Check a store: every file as it was written, every chunk readable, the right rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from skyloom.errors import SkyloomError
from skyloom.tensors.partition import CORRUPT, PartitionTensors
from skyloom.tensors.read import TensorStore

__all__ = ["Finding", "check_store"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a store."""

    kind: str
    """``"file-missing"``, ``"file-changed"``, ``"chunk-missing"``, ``"chunk-corrupt"``, ``"bad-ivar"``, or an
    error's kind."""
    key: str
    message: str


def check_store(
    store: TensorStore, partitions: Iterable[tuple[str, Mapping[str, NDArray[Any]]]]
) -> tuple[list[Finding], int]:
    """Look at every byte of a store.

    Parameters
    ----------
    store : TensorStore
    partitions : iterable of (str, mapping)
        Path of every partition of the catalog, and its row keys as `key_arrays` makes them.

    Returns
    -------
    findings : list of Finding
        Empty if all is well.
    rows : int
        Rows looked at.
    """
    findings: list[Finding] = []
    rows = 0
    for key, keys in partitions:
        try:
            statement = store.check_keys(key, keys)
            rows += statement.rows
            findings += _files(store, key, statement.files)
            findings += _chunks(store.open_partition(key, statement))
        except SkyloomError as error:
            findings.append(Finding(str(error.kind), key, error.message))
    return findings, rows


def _files(store: TensorStore, key: str, files: Mapping[str, tuple[int, str]]) -> list[Finding]:
    findings = []
    for name, (size, digest) in files.items():
        full = f"{key}/{name}"
        where = store.files.location(full)
        if not store.files.exists(full):
            findings.append(Finding("file-missing", key, f"{where} is missing"))
            continue
        found = xxhash.xxh3_128()
        count = 0
        with store.files.open(full) as file:
            while piece := file.read(1 << 22):
                found.update(piece)
                count += len(piece)
        if (count, f"xxh3:{found.hexdigest()}") != (size, digest):
            findings.append(
                Finding("file-changed", key, f"{where} has {count} bytes, {size} with other contents were written")
            )
    return findings


def _chunks(partition: PartitionTensors) -> list[Finding]:
    step = partition.store.slice_rows()
    findings = []
    for start in range(0, partition.statement.rows, step):
        found = partition.read(start, min(start + step, partition.statement.rows))
        for fault in np.unique(found.faults[found.faults > 0]):
            rows = start + np.flatnonzero(found.faults == fault)
            what = "corrupt" if fault == CORRUPT else "missing"
            text = f"{len(rows)} rows from {rows[0]} to {rows[-1]} have no readable tensor: chunks are {what}"
            findings.append(Finding(f"chunk-{what}", partition.key, text))
        wrong = start + np.flatnonzero((found.faults == 0) & _impossible(partition.store, found.values))
        if len(wrong):
            text = (
                f"{len(wrong)} rows from {wrong[0]} to {wrong[-1]} have inverse variances that are negative or NaN"
            )
            findings.append(Finding("bad-ivar", partition.key, text))
    return findings


def _impossible(store: TensorStore, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows have weights that no spectrum has; images may have any values."""
    bands = store.layout.bands
    if store.layout.kind != "spectra" or "ivar" not in bands:
        return np.zeros(len(values), np.bool_)
    return np.asarray(~(values[:, bands.index("ivar")] >= 0).all(axis=1))
