"""Seal: prove that a job is whole, and state it once in a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.engine.abort import refuse_aborted
from skyloom.engine.journal import Journal
from skyloom.engine.plan import Plan, pending
from skyloom.engine.records import Record
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, TransientError
from skyloom.storage import canonical_json, checksum_bytes, sha256_bytes

__all__ = ["FileEntry", "Manifest", "seal", "state"]

SEAL_THREADS = 4
SEAL_PIECE = 64
"""Files that such a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One data file of a layer."""

    key: str
    rows: int
    size_bytes: int
    sha256: str
    input_digest: str
    flagged: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a finished job consists of: a pure function of its records."""

    job_id: str
    layer: str
    rows: int
    size_bytes: int
    flagged: int
    quarantined: int
    row_keys: tuple[str, ...]
    schema_digest: str
    columns: str
    """Digest over the column digests of all partitions: equal for equal content."""
    files_sha256: str
    """Digest of ``manifest.parquet``, which lists every data file."""
    others: Mapping[str, str]
    """Digests of the small files beside the data, by name."""

    def to_json(self) -> bytes:
        """Return the canonical text."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return canonical_json({**values, "others": dict(self.others), "row_keys": list(self.row_keys)})

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Self:
        """Read a manifest; `DataError` if `data` is none."""
        try:
            values = json.loads(data)
            values["row_keys"] = tuple(values["row_keys"])
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{where} is no manifest ({error}); restore it, or run the job again elsewhere"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, where=where) from error


def seal(
    journal: Journal,
    plan: Plan,
    records: Sequence[Record],
    *,
    face: Mapping[str, bytes],
    provenance: Any,
    last: Collection[str] = (),
) -> Manifest:
    """Check a job whole and write its manifest; doing it again changes nothing.

    Parameters
    ----------
    journal : Journal
    plan : Plan
    records : sequence of Record
        One per task.
    face : mapping of name to bytes
        Small files that make the directory readable to others, a pure function of the
        records.
    provenance : JSON value
        What made the layer.
    last : collection of str
        Names in `face` whose presence makes the directory a catalog: written after the seal.

    Raises
    ------
    TransientError
        If a partition has no record.
    DataError
        If a file's bytes are not those recorded; names the file.
    ConflictError
        If another manifest of the same job is there, or the job was aborted.
    """
    left = pending(plan, records)
    if left:
        msg = f"{len(left)} partitions have no record, the first {left[0].key}; run the same command again"
        raise TransientError(msg, kind=ErrorKind.INCOMPLETE, layer=plan.layer)
    _verify_files(journal, records)
    manifest, others = state(plan, records, face=face, provenance=provenance)
    early = {name: data for name, data in others.items() if name not in last}
    for name, data in early.items():
        put_same(journal, name, data)
    put_same(journal, "manifest.json", manifest.to_json())
    for name in others.keys() - early.keys():
        put_same(journal, name, others[name])
    return manifest


def state(
    plan: Plan, records: Sequence[Record], *, face: Mapping[str, bytes], provenance: Any
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest of a whole job and the small files that it lists; see `seal`."""
    others = {**face, "provenance.json": canonical_json(provenance), "manifest.parquet": _files(records)}
    manifest = Manifest(
        job_id=plan.job_id,
        layer=plan.layer,
        rows=sum(record.rows for record in records),
        size_bytes=sum(record.size_bytes for record in records),
        flagged=sum(record.flagged for record in records),
        quarantined=sum(record.quarantined for record in records),
        row_keys=plan.row_keys,
        schema_digest=sha256_bytes(plan.schema.serialize().to_pybytes()),
        columns=merged(record.columns for record in records),
        files_sha256=sha256_bytes(others["manifest.parquet"]),
        others={name: sha256_bytes(data) for name, data in sorted(others.items())},
    )
    return manifest, others


def put_same(journal: Journal, name: str, data: bytes) -> None:
    """Create a file of a job that is a pure function of its records.

    Raises
    ------
    ConflictError
        If it is there with other bytes, or the job was aborted.
    """
    full = journal.name(*name.split("/"))
    if journal.store.put_if_absent(full, data):
        return
    if journal.store.read(full) != data:
        refuse_aborted(journal)
        msg = f"{journal.store.location(full)} exists with other contents; move it away and run again"
        raise ConflictError(msg, kind=ErrorKind.DIGEST_MISMATCH, name=full)


def merged(digests: Iterable[str]) -> str:
    """Return the digest over the digests of all partitions, in order."""
    return f"sha256:{hashlib.sha256(' '.join(digests).encode()).hexdigest()}"


def _verify_files(journal: Journal, records: Sequence[Record]) -> None:
    def verify(record: Record) -> None:
        name = journal.data(record.key)
        try:
            found = f"has checksum {checksum_bytes(journal.store.read(name))}"
        except NotFoundError:
            found = "is missing"
        if found != f"has checksum {record.checksum}":
            msg = (
                f"{journal.store.location(name)} {found}, its record says {record.checksum}: it was "
                f"changed after its commit. Remove it and {journal.store.location(journal.record(record.key))}, "
                "then run the same command again"
            )
            raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, key=record.key)

    def verify_all(piece: Sequence[Record]) -> None:
        for record in piece:
            verify(record)

    # What waits for a thread takes a kilobyte, as much as a record.
    pieces = [records[start : start + SEAL_PIECE] for start in range(0, len(records), SEAL_PIECE)]
    with ThreadPoolExecutor(SEAL_THREADS) as threads:
        for _ in threads.map(verify_all, pieces):
            pass


def _files(records: Sequence[Record]) -> bytes:
    names = list(FileEntry.__slots__)
    table = pa.table({name: [getattr(record, name) for record in records] for name in names})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, version="2.6")
    data: bytes = sink.getvalue().to_pybytes()
    return data
