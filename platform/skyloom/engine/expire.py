"""Expire: old versions lose their data, never their number or what it meant.

First a create-once tombstone says that a version has expired, and readers of it get a
clear error; then the jobs that no kept version names are removed. A run cut short between
the two leaves data that the next one removes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

from skyloom.engine.collect import Leftover, remove_job
from skyloom.engine.journal import Journal
from skyloom.engine.lease import holders
from skyloom.engine.publish import Reference, expired, history
from skyloom.errors import ErrorKind, NotFoundError, SkyloomError, SpecError
from skyloom.storage import Store, canonical_json, upkeep_of

__all__ = ["Expiry", "expire", "plan_expiry", "tombstone"]


@dataclass(frozen=True, slots=True)
class Expiry:
    """What expiring would do."""

    layer: str
    versions: tuple[int, ...]
    """Versions that readers lose."""
    kept: tuple[int, ...]
    jobs: tuple[Leftover, ...]
    """Directories of jobs that no kept version names."""
    held: tuple[Leftover, ...] = ()
    """Such directories that stay this time, since a run holds them."""

    @property
    def size_bytes(self) -> int:
        """Bytes that become free."""
        return sum(job.size_bytes for job in self.jobs)


def plan_expiry(store: Store, layer: str, *, keep: int | None = None, before: int | None = None) -> Expiry:
    """Say which versions would expire, and what would be removed. Nothing is written.

    Parameters
    ----------
    store : Store
    layer : str
    keep : int, optional
        Keep so many of the newest versions.
    before : int, optional
        Expire the versions before this one. One of the two must be given. The newest
        version never expires.

    Raises
    ------
    SpecError
        If neither or both are given, `keep` is below 1, or the store is not on a file system.
    NotFoundError
        If the layer has no version, or none of the number `before`.
    DataError
        If the layer's references are broken.
    """
    upkeep = upkeep_of(store)
    versions = history(store, layer)
    first = _first_kept(layer, len(versions), keep, before)
    gone = set(expired(store, layer))
    kept = [v for v in versions if v.version >= first and v.version not in gone]
    named = {v.job_id for v in kept}
    there = set(upkeep.directories(f"{layer}/jobs"))
    jobs: list[Leftover] = []
    held: list[Leftover] = []
    for job_id in dict.fromkeys(v.job_id for v in versions if v.version < first):
        if job_id not in named and job_id in there:
            journal = Journal(store, layer, job_id)
            size = sum(found.size_bytes for found in upkeep.walk(journal.name()))
            leftover = Leftover(journal.name(), size, "job of expired versions only", job_id)
            (held if holders(journal) else jobs).append(leftover)
    new = tuple(v.version for v in versions if v.version < first and v.version not in gone)
    return Expiry(layer, new, tuple(v.version for v in kept), tuple(jobs), tuple(held))


def _first_kept(layer: str, newest: int, keep: int | None, before: int | None) -> int:
    if (keep is None) == (before is None) or (keep is not None and keep < 1):
        msg = "say either how many of the newest versions to keep (at least 1), or before which version to expire"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=layer)
    if not newest:
        msg = f"no run of layer {layer} has finished: there is no version to expire"
        raise NotFoundError(msg, kind=ErrorKind.NOT_FINISHED, layer=layer)
    if before is not None and not 1 <= before <= newest:
        msg = f"layer {layer} has no version {before}: it has {newest}, and the newest never expires"
        raise NotFoundError(msg, kind=ErrorKind.NOT_FINISHED, layer=layer)
    return before if before is not None else max(1, newest - (keep or 1) + 1)


def expire(store: Store, expiry: Expiry) -> tuple[Leftover, ...]:
    """Do what `plan_expiry` said, and return what was removed.

    A job that is being published again meanwhile is left as it is.
    """
    upkeep, layer = upkeep_of(store), expiry.layer
    versions = history(store, layer)
    for number in expiry.versions:
        name = f"{layer}/refs/v{number:08d}.expired.json"
        store.put_if_absent(name, canonical_json(_tombstone(store, layer, versions[number - 1])))
    for number in expired(store, layer):
        taken = upkeep.take_away(f"{layer}/versions/v{number:08d}")
        if taken is not None:
            upkeep.remove(taken)
    return tuple(job for job in expiry.jobs if remove_job(upkeep, Journal(store, layer, job.job_id)))


def _tombstone(store: Store, layer: str, reference: Reference) -> dict[str, Any]:
    journal = Journal(store, layer, reference.job_id)
    values: dict[str, Any] = {
        **asdict(reference),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    for name in ("manifest.json", "provenance.json"):
        try:
            values[name.partition(".")[0]] = json.loads(store.read(journal.name(name)))
        except (SkyloomError, ValueError):
            continue  # damaged: one more reason to let it go
    return values


def tombstone(store: Store, layer: str, version: int) -> dict[str, Any]:
    """Return what is kept of an expired version: its reference, manifest and provenance.

    Raises
    ------
    NotFoundError
        If the version has not expired.
    """
    values: dict[str, Any] = json.loads(store.read(f"{layer}/refs/v{version:08d}.expired.json"))
    return values
