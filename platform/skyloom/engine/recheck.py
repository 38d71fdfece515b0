"""One committed partition, looked at again: bytes, origin, rows, keys, values, record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from skyloom.engine import partition_file
from skyloom.engine.partition_file import Inspected, read_bytes
from skyloom.engine.publish import Published
from skyloom.engine.records import Record
from skyloom.engine.rows import rows_digest
from skyloom.engine.seal import FileEntry
from skyloom.errors import DataError, NotFoundError, SkyloomError
from skyloom.storage import sha256_bytes

__all__ = ["BaseKeys", "Difference", "check_partition"]

BaseKeys = Callable[[FileEntry, Sequence[str]], str]
"""Returns the digest over the named row keys of a partition of the base catalog."""

_RECORDED = ("key", "input_digest", "rows", "size_bytes", "sha256", "flagged", "quarantined")
"""What the manifest repeats of a record."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was published."""

    file: str
    """Name in the store."""
    key: str
    """The partition, or "" if it concerns no single one."""
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


def check_partition(
    pinned: Published, entry: FileEntry, base_keys: BaseKeys | None = None
) -> tuple[str | None, list[Difference]]:
    """Compare a partition's data file and record with the manifest.

    Parameters
    ----------
    pinned : Published
        The version.
    entry : FileEntry
        What its manifest says of the partition.
    base_keys : callable, optional
        Compare the row keys with the base catalog's too.

    Returns
    -------
    str or None
        Digest over the values, None if they cannot be read.
    list of Difference
        Empty if all is as published.
    """
    journal = pinned.journal
    data, record = journal.data(entry.key), journal.record(entry.key)
    values, said, texts = None, None, []
    try:
        content = journal.store.read(data)
        digest = sha256_bytes(content)
        if digest != entry.sha256:
            texts.append(f"has {len(content)} bytes and digest {digest}, published as {entry.sha256}")
        said = partition_file.inspect(content, where=data)
        texts += _of_footer(pinned, entry, said)
        if digest == entry.sha256:
            # Otherwise it is known to be damaged, and decoding may end the process.
            values, more = _of_values(pinned, content, said, base_keys, entry)
            texts += more
    except NotFoundError:
        texts.append("is missing")
    except DataError as error:
        texts = texts or [error.message.removeprefix(data).strip()]
    differences = [Difference(data, entry.key, text) for text in texts]
    differences += [Difference(record, entry.key, text) for text in _of_record(pinned, entry, said)]
    return values, differences


def _of_footer(pinned: Published, entry: FileEntry, said: Inspected) -> Iterator[str]:
    expected = {"job_id": pinned.journal.job_id, "layer": pinned.journal.layer, "key": entry.key}
    expected |= {"input_digest": entry.input_digest, "flagged": str(entry.flagged)}
    if said.rows != entry.rows:
        yield f"has {said.rows} rows, published with {entry.rows}"
    for key, value in expected.items():
        if said.footer.get(key) != value:
            yield f"says {key}={said.footer.get(key)!r}, published with {value!r}"
    if len(said.faults) != entry.quarantined:
        yield f"has {len(said.faults)} rows in quarantine, published with {entry.quarantined}"


def _of_values(
    pinned: Published, content: bytes, said: Inspected, base_keys: BaseKeys | None, entry: FileEntry
) -> tuple[str | None, list[str]]:
    """Decode every page, and digest what is in them."""
    try:
        table = read_bytes(content)
        keys = rows_digest(table, pinned.manifest.row_keys)
    except (pa.ArrowException, OSError, KeyError) as error:
        return None, [f"cannot be decoded ({str(error).splitlines()[0]})"]
    texts = []
    values = rows_digest(table, table.column_names)
    if values != said.footer.get("columns"):
        texts.append(f"has values with digest {values}, its footer says {said.footer.get('columns')}")
    if keys != said.footer.get("row_keys"):
        texts.append(f"has row keys with digest {keys}, its footer says {said.footer.get('row_keys')}")
    if base_keys is not None:
        try:
            expected = base_keys(entry, pinned.manifest.row_keys)
        except SkyloomError as error:
            texts.append(f"cannot be compared with the base catalog: {error.message}")
        else:
            if keys != expected:
                texts.append(f"has other row keys ({', '.join(pinned.manifest.row_keys)}) than the base catalog")
    return values, texts


def _of_record(pinned: Published, entry: FileEntry, said: Inspected | None) -> Iterator[str]:
    name = pinned.journal.record(entry.key)
    try:
        record = Record.from_json(pinned.journal.store.read(name), where=name)
    except NotFoundError:
        yield "is missing"
        return
    except DataError as error:
        yield error.message.removeprefix(name).strip()
        return
    if record.job_id != pinned.journal.job_id:
        yield f"says job_id={record.job_id!r}, published with {pinned.journal.job_id!r}"
    for name in _RECORDED:
        if getattr(record, name) != getattr(entry, name):
            yield f"says {name}={getattr(record, name)!r}, published with {getattr(entry, name)!r}"
    if said is not None and said.sha256 == entry.sha256:
        # The manifest does not repeat these; a data file whose digest is as published does.
        for name, found in {**said.footer, "checksum": said.checksum, "counts": said.counts}.items():
            if name in {"row_keys", "columns", "checksum", "counts"} and getattr(record, name) != found:
                yield f"says {name}={getattr(record, name)!r}, its data file {found!r}"
