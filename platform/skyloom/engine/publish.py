"""Publish: numbered, create-once references; readers see the highest, and only whole layers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skyloom.engine.journal import Journal
from skyloom.engine.partition_file import read_bytes
from skyloom.engine.seal import FileEntry, Manifest
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError
from skyloom.storage import Store, canonical_json, check_name, sha256_bytes

__all__ = [
    "Published",
    "Reference",
    "entries",
    "expired",
    "history",
    "publish",
    "published",
    "reference_at",
    "select",
]

_REF = re.compile(r"v(\d{8})\.json")
_EXPIRED = re.compile(r"v(\d{8})\.expired\.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """One published version of a layer; written once, its meaning never changes."""

    version: int
    job_id: str
    manifest_sha256: str
    prev_sha256: str
    sha256: str
    """Digest of the reference itself."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published version, pinned by the digest of its manifest."""

    reference: Reference
    manifest: Manifest
    journal: Journal
    files: Sequence[FileEntry]


def history(store: Store, layer: str) -> tuple[Reference, ...]:
    """Return the published versions of a layer, oldest first.

    Raises
    ------
    DataError
        If a version is missing between others, or is not chained to the one before.
    """
    check_name(layer, what="layer")
    names = [name for name in store.names(f"{layer}/refs") if _REF.fullmatch(name)]
    references: list[Reference] = []
    for number, name in enumerate(names, start=1):
        where = store.location(f"{layer}/refs/{name}")
        if name != f"v{number:08d}.json":
            msg = f"version {number} of layer {layer} is missing: found {where}; restore {layer}/refs"
            raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, layer=layer)
        reference = reference_at(store, layer, number)
        if reference.prev_sha256 != (references[-1].sha256 if references else ""):
            msg = f"{where} does not follow version {number - 1}: its prev_sha256 differs; restore {layer}/refs"
            raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, layer=layer)
        references.append(reference)
    if names:
        # A name seen here must not be gone after a power failure.
        store.settle(f"{layer}/refs/{names[-1]}")
    return tuple(references)


def reference_at(store: Store, layer: str, version: int) -> Reference:
    """Read one reference by itself; `history` also checks the chain.

    Raises
    ------
    NotFoundError
        If there is none.
    DataError
        If it is no reference, or one of another version.
    """
    name = f"{layer}/refs/v{version:08d}.json"
    data, where = store.read(name), store.location(name)
    try:
        values: dict[str, Any] = json.loads(data)
        reference = Reference(**values, sha256=sha256_bytes(data))
    except (ValueError, TypeError) as error:
        msg = f"{where} is no reference ({error}); restore it from a copy"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, where=where) from error
    if reference.version != version or canonical_json(values) != data:
        msg = f"{where} is not as it was published as version {version}; restore it from a copy"
        raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, where=where)
    return reference


def expired(store: Store, layer: str) -> tuple[int, ...]:
    """Return the versions of a layer whose data may be gone, in order."""
    matches = (_EXPIRED.fullmatch(name) for name in store.names(f"{layer}/refs"))
    return tuple(int(match[1]) for match in matches if match)


def publish(journal: Journal, manifest: Manifest, *, agreed: int) -> Reference:
    """Make a sealed job the newest version of its layer.

    Parameters
    ----------
    journal : Journal
    manifest : Manifest
    agreed : int
        The version that was newest when the run was planned (0: none), which it may replace.

    Returns
    -------
    Reference
        The new version; or the one that this job got meanwhile from another driver.

    Raises
    ------
    ConflictError
        If another job published after the run was planned: look at both, then decide.
    TransientError
        If the job was removed meanwhile: run it again.
    """
    layer, store = journal.layer, journal.store
    while True:
        versions = history(store, layer)
        ours = [v for v in versions if v.job_id == journal.job_id]
        if ours and (ours[-1].version > agreed or ours[-1].version == len(versions)):
            return ours[-1]
        if len(versions) != agreed:
            head = versions[-1] if versions else None
            msg = (
                f"layer {layer} was at version {agreed} when this run was planned and is now at {len(versions)}"
                f" (job {head.job_id if head else 'none'}). This run's job {journal.job_id} is complete: "
                "run it again to publish it as the next version"
            )
            raise ConflictError(msg, kind=ErrorKind.PUBLISH_CONFLICT, layer=layer, version=len(versions))
        values: dict[str, Any] = {
            "version": agreed + 1,
            "job_id": journal.job_id,
            "manifest_sha256": sha256_bytes(manifest.to_json()),
            "prev_sha256": versions[-1].sha256 if versions else "",
        }
        data = canonical_json(values)
        # Inside the job, before the reference: whoever removes the job's directory finds it there, and lets be.
        store.put_if_absent(journal.name(f"publishing-v{agreed + 1:08d}"), b"")
        if store.put_if_absent(f"{layer}/refs/v{agreed + 1:08d}.json", data):
            return Reference(**values, sha256=sha256_bytes(data))


def published(store: Store, layer: str, version: int | None = None) -> Published:
    """Return a published version of a layer, by default the newest.

    Raises
    ------
    NotFoundError
        If the layer has no such version: it is not finished, was never run, or has expired.
    DataError
        If the manifest is not the one that was published.
    """
    reference = select(store, layer, version)
    journal = Journal(store, layer, reference.job_id)
    data = _checked(store, journal.name("manifest.json"), reference.manifest_sha256)
    manifest = Manifest.from_json(data, where=store.location(journal.name("manifest.json")))
    listing = _checked(store, journal.name("manifest.parquet"), manifest.files_sha256)
    return Published(reference, manifest, journal, entries(listing))


def entries(listing: bytes) -> tuple[FileEntry, ...]:
    """Return what a ``manifest.parquet`` lists."""
    return tuple(FileEntry(**row) for row in read_bytes(listing).to_pylist())


def select(store: Store, layer: str, version: int | None = None) -> Reference:
    """Return the reference of a version, by default the newest, whatever its files are like.

    Raises
    ------
    NotFoundError
        If the layer has no such version, or it has expired.
    DataError
        If the chain of references is broken.
    """
    versions = history(store, layer)
    if not versions or (version is not None and not 1 <= version <= len(versions)):
        known = f"it has {len(versions)}" if versions else "no run of it has finished"
        msg = f"layer {layer} in {store.root} has no version {version or 1}: {known}"
        raise NotFoundError(msg, kind=ErrorKind.NOT_FINISHED, layer=layer)
    reference = versions[(version or len(versions)) - 1]
    _refuse_expired(versions, expired(store, layer), layer, reference.version)
    return reference


def _refuse_expired(versions: Sequence[Reference], gone: Sequence[int], layer: str, version: int) -> None:
    if version in gone:
        kept = ", ".join(str(v.version) for v in versions if v.version not in gone)
        msg = (
            f"version {version} of layer {layer} has expired: its data were removed on purpose. Kept: version "
            f"{kept}. To have its content again as a new version, run its job again"
        )
        raise NotFoundError(msg, kind=ErrorKind.EXPIRED, layer=layer, version=version)


def _checked(store: Store, name: str, expected: str) -> bytes:
    data = store.read(name)
    if sha256_bytes(data) != expected:
        msg = f"{store.location(name)} has changed: digest {sha256_bytes(data)}, published as {expected}"
        raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, name=name)
    return data
