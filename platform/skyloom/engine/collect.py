"""Collect: find what a layer no longer needs, and remove it. Never what a kept version names.

A job is removed in two steps: its directory is moved away in one rename, after which no
run can commit to it and no driver can begin to publish it; then the references are read
again, and the directory is emptied only if still none names the job. A driver announces a
publication inside the job's directory before it writes the reference, so whoever is second
of the two sees the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skyloom.engine.abort import aborted
from skyloom.engine.journal import Journal
from skyloom.engine.lease import holders
from skyloom.engine.publish import expired, history
from skyloom.storage import REMOVED, Found, Store, Upkeep, check_name, upkeep_of

__all__ = ["GRACE_S", "SCRATCH", "Leftover", "collect", "leftovers", "remove_job"]

GRACE_S = 86_400.0
"""Unpublished jobs that nothing was written to for so long, and no run holds, are left-overs."""
SCRATCH = ".scratch-"
"""Directories at the root of a store in which repairs and replays compute."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that can go."""

    name: str
    """In the store: a file or a directory."""
    size_bytes: int
    reason: str
    job_id: str = ""
    """The job, if it is the directory of one."""


def leftovers(store: Store, layer: str, *, grace_s: float = GRACE_S) -> tuple[Leftover, ...]:
    """Return what can be removed from a layer; removes nothing.

    Temporary files, whose owners write them again; directories of removals and repairs
    that were cut short; and jobs without a kept version that were aborted, or that
    nothing was written to for `grace_s` seconds and no run holds.

    Raises
    ------
    SpecError
        If the store is not on a file system.
    DataError
        If the layer's references are broken: then nothing is known to be superfluous.
    """
    check_name(layer, what="layer")
    upkeep = upkeep_of(store)
    if layer not in upkeep.directories(""):
        return ()
    kept = kept_jobs(store, layer)
    now_s = upkeep.now_s(layer)
    found = list(upkeep.walk(layer))
    return (
        *(Leftover(f.name, f.size_bytes, "temporary file") for f in found if f.is_temporary),
        *_cut_short(upkeep, layer, now_s, grace_s),
        *_jobs(upkeep, layer, found, kept=kept, before_s=now_s - grace_s),
    )


def kept_jobs(store: Store, layer: str) -> set[str]:
    """Return the jobs that a version names which has not expired."""
    gone = expired(store, layer)
    return {reference.job_id for reference in history(store, layer) if reference.version not in gone}


def _cut_short(upkeep: Upkeep, layer: str, now_s: float, grace_s: float) -> Iterator[Leftover]:
    for place in (f"{layer}/jobs", f"{layer}/versions"):
        for name in upkeep.directories(place):
            if name.startswith(REMOVED):
                yield _directory(upkeep, f"{place}/{name}", "removal that was cut short")
    for name in upkeep.directories(""):
        files = list(upkeep.walk(name)) if name.startswith(SCRATCH) else []
        if files and max(f.modified_s for f in files) < now_s - grace_s:
            yield _directory(upkeep, name, "repair or replay that was cut short")


def _directory(upkeep: Upkeep, name: str, reason: str, job_id: str = "") -> Leftover:
    return Leftover(name, sum(f.size_bytes for f in upkeep.walk(name)), reason, job_id)


def _jobs(
    upkeep: Upkeep, layer: str, found: list[Found], *, kept: set[str], before_s: float
) -> Iterator[Leftover]:
    for job_id in upkeep.directories(f"{layer}/jobs"):
        journal = Journal(upkeep.store, layer, job_id)
        if job_id in kept or job_id.startswith(REMOVED) or holders(journal):
            continue
        written = [f.modified_s for f in found if f.name.startswith(f"{journal.name()}/")]
        if aborted(journal) is not None:
            yield _directory(upkeep, journal.name(), "aborted job", job_id)
        elif max(written, default=0.0) < before_s:
            yield _directory(upkeep, journal.name(), "job that was never published, or has expired", job_id)


def collect(store: Store, layer: str, *, grace_s: float = GRACE_S) -> tuple[Leftover, ...]:
    """Remove what `leftovers` finds, and return what was removed."""
    upkeep = upkeep_of(store)
    removed = []
    for leftover in leftovers(store, layer, grace_s=grace_s):
        if leftover.job_id:
            gone = remove_job(upkeep, Journal(store, layer, leftover.job_id))
        elif leftover.name.startswith(f"{layer}/jobs/{REMOVED}"):
            gone = _finish_removal(upkeep, layer, leftover.name)
        elif leftover.name.rpartition("/")[2].startswith((REMOVED, SCRATCH)):
            upkeep.remove(leftover.name)
            gone = True
        else:
            upkeep.unlink(leftover.name)
            gone = True
        if gone:
            removed.append(leftover)
    return tuple(removed)


def remove_job(upkeep: Upkeep, journal: Journal) -> bool:
    """Remove a job and all it computed; False if it turns out to be needed, or is gone."""
    taken = upkeep.take_away(journal.name())
    return taken is not None and _finish_removal(upkeep, journal.layer, taken)


def _finish_removal(upkeep: Upkeep, layer: str, taken: str) -> bool:
    """Empty a job's directory that was taken away, or put it back if a version names the job."""
    job_id = taken.rpartition("/")[2].removeprefix(REMOVED).rpartition("-")[0]
    journal = Journal(upkeep.store, layer, job_id)
    begun = [
        int(n.removeprefix("publishing-v")) for n in upkeep.store.names(taken) if n.startswith("publishing-v")
    ]
    outstanding = max(begun, default=0) > len(history(upkeep.store, layer))
    if outstanding or job_id in kept_jobs(upkeep.store, layer):
        if not upkeep.store.exists(journal.name()):
            upkeep.put_back(taken, journal.name())
        # Or a run began anew meanwhile: until it has sealed the same again, this is all there is.
        if not upkeep.store.exists(journal.name("manifest.json")):
            return False
        if not upkeep.store.exists(taken):
            return False
    upkeep.remove(taken)
    return True
