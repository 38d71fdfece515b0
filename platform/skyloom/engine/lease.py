"""Leases between drivers: who runs a job, since when. Advice, never a lock.

Two drivers of one job are correct without them. They exist so that `collect` leaves the
job of a slow run alone, and so that the second driver can say that it is the second.

A lease is a create-once file whose time the driver refreshes; a second file releases it.
Ages are taken by the clock of the file system alone, so that machines may disagree.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields

from skyloom.engine.abort import aborted, refuse_aborted
from skyloom.engine.journal import Journal
from skyloom.errors import NotFoundError, SkyloomError
from skyloom.storage import LocalStore, Upkeep, canonical_json

__all__ = ["Holder", "Lease", "held", "holders"]

HEARTBEAT_S = 30.0
LEASE_S = 300.0
"""Without a heartbeat for so long, a run is taken for dead; it may still go on, and harm nothing."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A run of a job."""

    host: str
    process: int
    since: str
    """UTC, as ``2026-01-31T12:00:00Z``."""

    def __str__(self) -> str:
        return f"{self.host} (process {self.process}) since {self.since}"


class Lease:
    """A run's claim to be running; `check` says whether it should go on."""

    def __init__(self, journal: Journal, name: str, upkeep: Upkeep) -> None:
        self._journal, self._name, self._upkeep = journal, name, upkeep
        self._ended = threading.Event()
        self._aborted = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="skyloom-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Stop if the job was aborted meanwhile.

        Raises
        ------
        ConflictError
            If it was.
        """
        if self._aborted.is_set():
            refuse_aborted(self._journal)

    def release(self) -> None:
        """End the heartbeat and say that the run is over."""
        self._ended.set()
        self._thread.join()
        self._journal.store.put_if_absent(f"{self._name}.released", b"")

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            try:
                self._upkeep.touch(self._name)
                if aborted(self._journal) is not None:
                    self._aborted.set()
            except SkyloomError:
                continue  # the store is away or the job gone: the run itself will find out


@contextmanager
def held(journal: Journal) -> Iterator[Lease | None]:
    """Hold a lease on a job while a run of it lasts; None where the store keeps no leases.

    Raises
    ------
    TransientError
        If the lease cannot be written.
    """
    if not isinstance(journal.store, LocalStore):
        yield None  # nothing is collected from such a store
        return
    name = journal.name("leases", uuid.uuid4().hex)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    journal.store.put_if_absent(name, canonical_json(asdict(Holder(platform.node(), os.getpid(), since))))
    lease = Lease(journal, name, Upkeep(journal.store))
    try:
        yield lease
    finally:
        with suppress(SkyloomError):  # it runs out by itself
            lease.release()


def holders(journal: Journal) -> tuple[Holder, ...]:
    """Return the runs of a job that seem to be under way, the oldest first.

    One whose process is gone from this machine, or without a heartbeat for five minutes,
    does not count.
    """
    store, folder = journal.store, journal.name("leases")
    if not isinstance(store, LocalStore):
        return ()
    names = store.names(folder)
    if not names:
        return ()
    upkeep, found = Upkeep(store), []
    now_s = upkeep.now_s(folder)
    released = {name.removesuffix(".released") for name in names if name.endswith(".released")}
    for name in (n for n in names if n not in released and not n.endswith(".released")):
        try:
            age_s = now_s - store.files.modified(store.path(f"{folder}/{name}"))
            holder = _holder(store.read(f"{folder}/{name}"))
        except (NotFoundError, FileNotFoundError):
            continue
        if holder is not None and age_s < LEASE_S and not _is_gone(holder):
            found.append(holder)
    return tuple(sorted(found, key=lambda holder: holder.since))


def _holder(data: bytes) -> Holder | None:
    try:
        values = json.loads(data)
        return Holder(**{field.name: values[field.name] for field in fields(Holder)})
    except (ValueError, KeyError, TypeError):
        return None


def _is_gone(holder: Holder) -> bool:
    if holder.host != platform.node():
        return False
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
