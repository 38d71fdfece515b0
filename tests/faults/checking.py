"""What a published layer holds, read with pyarrow and json alone.

Nothing of the engine is used: a check that shared its code would share its mistakes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Checked", "Expected", "check_layer", "files_of", "reader_of"]

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Expected:
    """What a layer has to hold."""

    ids: Sequence[int]
    """Row keys in the order of the layer."""
    value: Callable[[int], float] | None = None
    """Value of a row that can be computed; None: values are not looked at."""
    causes: Mapping[int, str] = field(default_factory=dict)
    """Rows that cannot be computed, and what the quarantine has to say of each."""
    id_column: str = "id"


@dataclass
class Checked:
    """What was found."""

    rows_in: int = 0
    rows_out: int = 0
    lost: int = 0
    duplicated: int = 0
    torn: int = 0
    """Files that are not as the manifest lists them, of another job, or not listed at all."""
    wrong: int = 0
    """Rows with another value, out of order, or with a flag or quarantine that they should not have or lack."""
    manifest_sha256: str = ""


def reader_of(root: str | Path) -> Read:
    """Return a function that reads files below a directory."""
    return lambda name: Path(root, name).read_bytes()


def check_layer(
    read: Read, expected: Expected, *, version: int = 1, layer: str = "toy", root: str | Path | None = None
) -> Checked:
    """Compare a published version with what it has to hold.

    Parameters
    ----------
    read : callable
        Returns the bytes under a name in the store.
    expected : Expected
    version : int
    layer : str
    root : path-like, optional
        The directory of a store on disk, where files that no manifest lists are looked for.
    """
    found = Checked(rows_in=len(expected.ids))
    reference = json.loads(read(f"{layer}/refs/v{version:08d}.json"))
    folder = f"{layer}/jobs/{reference['job_id']}"
    stated = read(f"{folder}/manifest.json")
    found.manifest_sha256 = _sha256(stated)
    found.torn += reference["manifest_sha256"] != found.manifest_sha256
    listing = read(f"{folder}/manifest.parquet")
    found.torn += json.loads(stated)["files_sha256"] != _sha256(listing)
    entries = pq.read_table(pa.BufferReader(listing)).to_pylist()
    ids: list[int] = []
    for entry in entries:
        data = read(f"{folder}/dataset/{entry['key']}.parquet")
        if _sha256(data) != entry["sha256"]:
            found.torn += 1
            continue
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        footer = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        found.torn += (footer["skyloom.job_id"], footer["skyloom.key"]) != (reference["job_id"], entry["key"])
        ids += table[expected.id_column].to_pylist()
        found.wrong += _wrong(table, json.loads(footer["skyloom.quarantine"]), expected)
    if root is not None:
        found.torn += len(files_of(Path(root, folder, "dataset")) - {f"{e['key']}.parquet" for e in entries})
    counts, wanted = Counter(ids), Counter(expected.ids)
    found.rows_out = len(ids)
    found.lost = (wanted - counts).total()
    found.duplicated = (counts - wanted).total()
    found.wrong += not (found.lost or found.duplicated) and ids != list(expected.ids)
    return found


def files_of(dataset: Path) -> set[str]:
    """Return the Parquet files of partitions below a directory."""
    return {str(path.relative_to(dataset)) for path in dataset.rglob("Npix=*.parquet")}


def _wrong(table: pa.Table, quarantine: list[list[Any]], expected: Expected) -> int:
    if expected.value is None:
        return 0
    causes = {row: cause for row, cause, *_ in quarantine}
    wrong = 0
    rows = zip(table["id"].to_pylist(), table["double"].to_pylist(), table["toy_flag"].to_pylist(), strict=True)
    for row, (number, value, flag) in enumerate(rows):
        cause = expected.causes.get(number)
        right = value is None if cause else value == expected.value(number)
        wrong += not (right and bool(flag) == bool(cause) and causes.get(row) == cause)
    return wrong


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
