"""Verify: compute every digest of a published version again, and say what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from skyloom.engine.journal import Journal
from skyloom.engine.plan import identity_digest
from skyloom.engine.publish import Published, Reference, entries, reference_at, select
from skyloom.engine.recheck import BaseKeys, Difference, check_partition
from skyloom.engine.seal import Manifest, merged
from skyloom.errors import DataError, NotFoundError, SkyloomError
from skyloom.storage import Store, sha256_bytes

__all__ = ["Verification", "verify"]

VERIFY_THREADS = 4


@dataclass
class Verification:
    """What was looked at, and what differed."""

    layer: str
    reference: Reference | None = None
    """None if it cannot be read."""
    published: Published | None = None
    """None if its manifest or list of files is not as published."""
    partitions: int = 0
    rows: int = 0
    size_bytes: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def add(self, file: str, message: str, key: str = "") -> None:
        """Note a difference."""
        self.differences.append(Difference(file, key, message))


def verify(
    store: Store, layer: str, version: int | None = None, *, base_keys: BaseKeys | None = None
) -> Verification:
    """Recompute all that a published version promises, and go on after a difference.

    The chain of references, the manifest, the list of files, the small files, the
    statement of the job, every record, and of every data file: digest, page checksums,
    rows, origin, row keys, values. Nothing is written.

    Parameters
    ----------
    store : Store
    layer : str
    version : int, optional
        By default the newest.
    base_keys : callable, optional
        Gives the row keys of the base catalog's partitions, to compare with.

    Raises
    ------
    NotFoundError
        If there is no such version, or it has expired.
    """
    found = Verification(layer)
    found.reference = _reference(store, layer, version, found)
    if found.reference is None:
        return found
    journal = Journal(store, layer, found.reference.job_id)
    found.published = _pinned(journal, found.reference, found)
    if found.published is not None:
        _check_small_files(found.published, found)
        _check_statement(found.published, found)
        _check_partitions(found.published, base_keys, found)
        _check_unlisted(found.published, found)
    return found


def _reference(store: Store, layer: str, version: int | None, found: Verification) -> Reference | None:
    try:
        return select(store, layer, version)
    except DataError as error:
        found.add(f"{layer}/refs", error.message)
    # The chain is broken; the version itself may be whole.
    names = (name for name in store.names(f"{layer}/refs") if name.count(".") == 1)
    try:
        return reference_at(store, layer, version or max(int(name[1:9]) for name in names))
    except SkyloomError:
        return None


def _pinned(journal: Journal, reference: Reference, found: Verification) -> Published | None:
    """Return the version if what pins its files is as published."""
    stated = _read(journal, "manifest.json", reference.manifest_sha256, found)
    if stated is None:
        return None
    manifest = Manifest.from_json(stated, where=journal.store.location(journal.name("manifest.json")))
    if (manifest.job_id, manifest.layer) != (journal.job_id, journal.layer):
        found.add(journal.name("manifest.json"), f"is of job {manifest.job_id} of layer {manifest.layer}")
    listing = _read(journal, "manifest.parquet", manifest.files_sha256, found)
    return None if listing is None else Published(reference, manifest, journal, entries(listing))


def _read(journal: Journal, name: str, expected: str, found: Verification) -> bytes | None:
    full = journal.name(*name.split("/"))
    try:
        data = journal.store.read(full)
    except NotFoundError:
        found.add(full, "is missing")
        return None
    digest = sha256_bytes(data)
    if digest != expected:
        found.add(full, f"has digest {digest}, published as {expected}")
        return None
    return data


def _check_small_files(pinned: Published, found: Verification) -> None:
    for name, expected in pinned.manifest.others.items():
        if name != "manifest.parquet":
            _read(pinned.journal, name, expected, found)


def _check_statement(pinned: Published, found: Verification) -> None:
    """Compare ``job.json`` with the job's id and with the list of files."""
    name = pinned.journal.name("job.json")
    try:
        stated = json.loads(pinned.journal.store.read(name))
        partitions, digest = stated["partitions"], identity_digest(stated["identity"])
    except NotFoundError:
        found.add(name, "is missing")
        return
    except (ValueError, KeyError, TypeError) as error:
        found.add(name, f"is no statement of a job ({type(error).__name__}: {error})")
        return
    if digest != pinned.journal.job_id:
        found.add(name, f"states an identity with job id {digest}, published as {pinned.journal.job_id}")
    if partitions != [[entry.key, entry.rows, entry.input_digest] for entry in pinned.files]:
        found.add(name, f"plans {len(partitions)} partitions that are not the {len(pinned.files)} published")


def _check_partitions(pinned: Published, base_keys: BaseKeys | None, found: Verification) -> None:
    columns: list[str | None] = []
    with ThreadPoolExecutor(VERIFY_THREADS) as threads:
        checks = threads.map(lambda entry: check_partition(pinned, entry, base_keys), pinned.files)
        for entry, (values, differences) in zip(pinned.files, checks, strict=True):
            columns.append(values)
            found.differences.extend(differences)
            found.partitions += 1
            found.rows += entry.rows
            found.size_bytes += entry.size_bytes
    manifest, name = pinned.manifest, pinned.journal.name("manifest.json")
    if None not in columns and merged(filter(None, columns)) != manifest.columns:
        found.add(name, f"says that all values have digest {manifest.columns}; they have another")
    for total in ("rows", "size_bytes", "flagged", "quarantined"):
        listed = sum(getattr(entry, total) for entry in pinned.files)
        if listed != getattr(manifest, total):
            found.add(name, f"says {total}={getattr(manifest, total)}, the files listed have {listed}")


def _check_unlisted(pinned: Published, found: Verification) -> None:
    """Find data files that no manifest names: a reader of the whole directory would take them."""
    listed = {pinned.journal.data(entry.key) for entry in pinned.files}
    listed.update(pinned.journal.name(*name.split("/")) for name in pinned.manifest.others)
    for name in _below(pinned.journal.store, pinned.journal.name("dataset")):
        if name not in listed:
            found.add(name, "is not listed in the manifest")


def _below(store: Store, prefix: str) -> Iterator[str]:
    for name in store.names(prefix):
        # Directories of a HATS catalog have no dot in their names, files have.
        if "." in name or name.startswith("_"):
            yield f"{prefix}/{name}"
        else:
            yield from _below(store, f"{prefix}/{name}")
