"""Repair: compute exactly the damaged partitions again, prove them equal, put them back.

Nothing of the version is touched until its replacement lies beside it and has the digest
that was published. Then the damaged file is set aside under ``aside/`` (it may be evidence,
and is never overwritten), and the replacement takes the free name, create-once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skyloom.engine import partition_file
from skyloom.engine.journal import Journal, statement_of
from skyloom.engine.plan import Plan, Task
from skyloom.engine.records import Record
from skyloom.engine.replay import check_same_job, recomputed
from skyloom.engine.run import ExecutorSource
from skyloom.engine.seal import state
from skyloom.engine.verify import Verification, verify
from skyloom.engine.worker import record_committed, record_of
from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.storage import Store, canonical_json, mender_of, sha256_bytes

__all__ = ["Face", "Repaired", "repair"]

Face = Callable[[Sequence[Record]], tuple[Mapping[str, bytes], Any]]
"""Makes the small files of a layer, and its provenance, from its records."""

PASSES = 3
"""A damaged manifest hides a damaged list of files, and that what else is damaged."""


@dataclass(slots=True)
class Repaired:
    """What a repair did."""

    before: Verification
    after: Verification
    partitions: list[str] = field(default_factory=list)
    """Keys of the partitions that were computed again."""
    restored: list[str] = field(default_factory=list)
    """Names of the files that were put back."""
    aside: list[str] = field(default_factory=list)
    """Where the damaged ones are now."""


def repair(
    store: Store, layer: str, plan: Plan, executor: ExecutorSource, *, face: Face, version: int | None = None
) -> Repaired:
    """Make a published version whole again, without changing what it means.

    Parameters
    ----------
    store : Store
    layer : str
    plan : Plan
        Of the job that made the version: the same inputs, model, settings and library versions.
    executor : callable
        As for `run_plan`; called only if partitions must be computed.
    face : callable
        Makes the small files.
    version : int, optional
        By default the newest.

    Raises
    ------
    ConflictError
        If `plan` is of another job.
    DataError
        If what is computed now is not what was published (on another kind of processor, say),
        or a reference is damaged, which nothing can make again. Nothing was changed then.
    NotFoundError
        If there is no such version, or it has expired.
    """
    found = verify(store, layer, version)
    done = Repaired(found, found)
    for _ in range(PASSES):
        if done.after.ok:
            break
        _refuse_references(done.after)
        if done.after.reference is not None:
            check_same_job(done.after.reference, plan)
        _Mending(Journal(store, layer, plan.job_id), plan, done).mend(executor, face)
        done.after = verify(store, layer, version)
    return done


def _refuse_references(found: Verification) -> None:
    broken = [d for d in found.differences if d.file.startswith(f"{found.layer}/refs")]
    if broken:
        msg = f"references of layer {found.layer} can only be restored from a copy: {broken[0]}"
        raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, layer=found.layer)


class _Mending:
    """One pass over what a verification found."""

    def __init__(self, journal: Journal, plan: Plan, done: Repaired) -> None:
        self.journal, self.plan, self.done, self.found = journal, plan, done, done.after
        self.store = journal.store
        self.repair_id = uuid.uuid4().hex
        self.expected: dict[str, str] = {}
        """Digest of every data file, as far as it is known."""
        if self.found.published is not None:
            self.expected = {entry.key: entry.sha256 for entry in self.found.published.files}

    def mend(self, executor: ExecutorSource, face: Face) -> None:
        tasks = [task for task in self.plan.tasks if not self._is_whole(task)]
        if not tasks:
            self._put_back(None, (), face)
            return
        with recomputed(self.store, self.plan, tasks, executor) as (scratch, records):
            self._put_back(scratch, records, face)

    def _is_whole(self, task: Task) -> bool:
        """Return whether a data file is as published, or, where the list is lost, as recorded."""
        name = self.journal.data(task.key)
        if self.found.published is not None:
            return all(difference.file != name for difference in self.found.differences)
        try:
            data, record = self.store.read(name), self._recorded(task.key)
            return partition_file.inspect(data, where=name).sha256 == record.sha256
        except (NotFoundError, DataError):
            return False

    def _recorded(self, key: str) -> Record:
        name = self.journal.record(key)
        return Record.from_json(self.store.read(name), where=name)

    def _put_back(self, scratch: Store | None, records: Sequence[Record], face: Face) -> None:
        """Prove every replacement, then put them in place: data, records, small files, manifest."""
        for record in records:
            self._prove(self.journal.data(record.key), record.sha256, self.expected.get(record.key, record.sha256))
        small = self._small_files({record.key: record for record in records}, face)
        for record in records:
            assert scratch is not None
            self._replace(self.journal.data(record.key), scratch.read(self.journal.data(record.key)))
            self.done.partitions.append(record.key)
        self._mend_records({record.key for record in records})
        for name, data in small.items():
            self._replace(name, data)
        for difference in self.found.differences:
            if difference.message == "is not listed in the manifest":
                self._replace(difference.file, None)

    def _small_files(self, again: Mapping[str, Record], face: Face) -> dict[str, bytes]:
        """Return the damaged small files as they were published, by their names in the store."""
        damaged = {difference.file for difference in self.found.differences if not difference.key}
        if not damaged:
            return {}
        records = [again.get(task.key) or self._whole_record(task) for task in self.plan.tasks]
        others, provenance = face(records)
        manifest, made = state(self.plan, records, face=others, provenance=provenance)
        reference, pinned = self.found.reference, self.found.published
        files = {self.journal.name(*name.split("/")): data for name, data in made.items()}
        if pinned is None and reference is not None:
            name = self.journal.name("manifest.json")
            self._prove(name, sha256_bytes(manifest.to_json()), reference.manifest_sha256)
            files[name] = manifest.to_json()
        else:
            for name, digest in pinned.manifest.others.items() if pinned else ():
                full = self.journal.name(*name.split("/"))
                if full in damaged:
                    self._prove(full, sha256_bytes(files[full]), digest)
        files[self.journal.name("job.json")] = canonical_json(statement_of(self.plan))
        return {name: data for name, data in files.items() if name in damaged}

    def _whole_record(self, task: Task) -> Record:
        """Return the record that a whole data file has; the one on disk may be damaged."""
        return record_of(self.journal, self.plan.work(self.store.root), task)

    def _prove(self, name: str, made: str, published: str) -> None:
        if made != published:
            msg = (
                f"{self.store.location(name)} cannot be made again here: it would have digest {made}, published "
                f"as {published}. Repair it on the kind of machine that made it, or restore a copy; nothing "
                "was changed"
            )
            raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, name=name)

    def _mend_records(self, again: set[str]) -> None:
        for task in self.plan.tasks:
            name = self.journal.record(task.key)
            if task.key in again or any(difference.file == name for difference in self.found.differences):
                self._replace(name, None)
                record_committed(self.journal, self.plan.work(self.store.root), task)
                self.done.restored.append(name)

    def _replace(self, name: str, data: bytes | None) -> None:
        """Set aside what has a name, if anything has, and give the name to `data`."""
        inside = name.removeprefix(f"{self.journal.name()}/")
        aside = self.journal.name("aside", self.repair_id, inside)
        if mender_of(self.store).set_aside(name, aside):
            self.done.aside.append(aside)
        if data is not None:
            self.store.put_if_absent(name, data)
            self.done.restored.append(name)
