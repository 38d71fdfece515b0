"""Protocols that are broken on purpose, each by one local change of the real code.

The simulator must find a schedule on which each breaks its promise.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from skyloom.engine import Journal, pending
from skyloom.engine.publish import Reference, history
from skyloom.storage import LocalStore, canonical_json, sha256_bytes
from skyloom.storage.store import LocalStaged, translated
from tests.faults.simulator import actors
from tests.faults.simulator.substitutes import Change, module

__all__ = ["MUTATIONS", "mutation"]

store: Any = module("storage.store")
journals: Any = module("engine.journal")
publishing: Any = module("engine.publish")
sealing: Any = module("engine.seal")
working: Any = module("engine.worker")

MUTATIONS: dict[str, Callable[[], list[Change]]] = {}
"""Name of each mutation, and the changes that make it."""


def mutation(make: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
    """List a mutation under its name."""
    MUTATIONS[make.__name__.replace("_", "-")] = make
    return make


@mutation
def write_in_place() -> list[Change]:
    """A file is written under its name, where others see half of it."""

    class InPlace(LocalStaged):
        def __init__(self, files: Any, target: Any) -> None:
            self.files, self.target, self.taken = files, target, files.exists(target)
            self.temporary = target.parent / f"{store.TEMPORARY}{store.uuid.uuid4().hex}"
            with translated(str(target)):
                self.file = files.create(self.temporary if self.taken else target)

        def _link(self) -> bool:
            return not self.taken

    return [(store, "LocalStaged", InPlace)]


@mutation
def rename_instead_of_link() -> list[Change]:
    """The last writer wins, not the first."""

    def link(staged: Any) -> bool:
        staged.files.rename(staged.temporary, staged.target)
        return True

    return [(LocalStaged, "_link", link)]


@mutation
def exists_then_rename() -> list[Change]:
    """The first writer wins, if nobody comes between its question and its answer."""

    def link(staged: Any) -> bool:
        if staged.files.exists(staged.target):
            return False
        staged.files.rename(staged.temporary, staged.target)
        return True

    return [(LocalStaged, "_link", link)]


@mutation
def an_error_of_link_taken_for_success() -> list[Change]:
    """A lost request is taken for a lost reply: the names are not counted."""

    def link(staged: Any) -> bool:
        try:
            staged.files.link(staged.temporary, staged.target)
        except FileExistsError:
            return False
        except OSError:
            pass
        return True

    return [(LocalStaged, "_link", link)]


def _commit(
    *, file: bool = True, directory: Callable[[bool], bool] = lambda won: True, ignored: type[Exception] = KeyError
) -> list[Change]:
    def commit(staged: Any) -> bool:
        with translated(str(staged.target)):
            with suppress(ignored):
                staged.files.sync(staged.file) if file else staged.file.flush()
                staged.files.close(staged.file)
            won: bool = staged._link()
            with suppress(ignored):
                if directory(won):
                    staged.files.sync_directory(staged.target.parent)
            return won

    return [(LocalStaged, "commit", commit)]


@mutation
def errors_of_sync_ignored() -> list[Change]:
    """A full or failing disk is noted by nobody."""
    return _commit(ignored=OSError)


@mutation
def no_sync_of_the_file() -> list[Change]:
    """A durable name may have no bytes."""
    return _commit(file=False)


@mutation
def no_sync_of_the_directory() -> list[Change]:
    """What was told to be committed may have no name."""
    return _commit(directory=lambda won: False)


@mutation
def no_sync_of_the_directory_after_losing() -> list[Change]:
    """The loser records a file whose name its winner, now dead, had not made durable."""
    return _commit(directory=lambda won: won)


def _settle_but(part: str) -> list[Change]:
    real = LocalStore.settle

    def settle(self: LocalStore, name: str) -> None:
        if part not in name:
            real(self, name)

    return [(LocalStore, "settle", settle)]


@mutation
def trusting_a_data_file_unsettled() -> list[Change]:
    """A data file found is recorded, though its name may not be durable."""
    return _settle_but("/dataset/")


@mutation
def trusting_a_record_unsettled() -> list[Change]:
    """A record found is reported, though its name may not be durable."""
    return _settle_but("/records/")


@mutation
def trusting_a_reference_unsettled() -> list[Change]:
    """A version is shown to readers, though its name may not be durable."""
    return _settle_but("/refs/")


@mutation
def directories_left_to_their_maker() -> list[Change]:
    """Only who makes a directory syncs its name; who finds it builds on it at once."""

    def make_directories(self: LocalStore, names: Any) -> None:
        with translated(self.root):
            for name in sorted(set(names)):
                path, missing = self.path(name), []
                while not self.files.exists(path):
                    missing.append(path)
                    path = path.parent
                for folder in reversed(missing):
                    self.files.make_directory(folder)
                    self.files.sync_directory(folder.parent)

    return [(LocalStore, "make_directories", make_directories)]


@mutation
def record_before_data() -> list[Change]:
    """The record is written first, from the bytes that are to follow."""
    commit, record, footer = working._commit, working.record_committed, working._footer
    works: dict[int, Any] = {}

    def footer_of(work: Any, task: Any, computed: Any, *, columns: str) -> Any:
        made = footer(work, task, computed, columns=columns)
        works[id(made)] = work
        return made

    def commit_after_record(journal: Journal, task: Any, table: Any, footer: Any) -> Any:
        kept = _Kept(journal.store, journal.data(task.key))
        written = commit(replace(journal, store=kept), task, table, footer)
        record(replace(journal, store=kept), works.pop(id(footer)), task, written)
        return written if journal.store.put_if_absent(kept.name, kept.file.getvalue()) else None

    return [(working, "_footer", footer_of), (working, "_commit", commit_after_record)]


@mutation
def recording_own_bytes() -> list[Change]:
    """A worker records what it wrote, not what is there after it lost the race."""
    commit = working._commit

    def commit_anyway(journal: Journal, task: Any, table: Any, footer: Any) -> Any:
        kept = _Kept(journal.store, journal.data(task.key))
        written = commit(replace(journal, store=kept), task, table, footer)
        journal.store.put_if_absent(kept.name, kept.file.getvalue())
        return written

    return [(working, "_commit", commit_anyway)]


class _Kept:
    """A store that keeps one file in memory: for mutations that use bytes not yet committed."""

    def __init__(self, real: Any, name: str) -> None:
        self.real, self.name = real, name
        self.file: Any = io.BytesIO()
        self.location, self.put_if_absent = real.location, real.put_if_absent

    def stage(self, _: str) -> _Kept:
        return self

    def commit(self) -> bool:
        return True

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, name: str) -> bytes:
        return self.file.getvalue() if name == self.name else self.real.read(name)


@mutation
def sealing_what_is_there() -> list[Change]:
    """The seal covers the records there are, not those that were planned."""

    def nothing_left(plan: Any, records: Any) -> Any:
        return () if records else pending(plan, records)

    return [(sealing, "pending", nothing_left), (actors, "pending", nothing_left)]


@mutation
def reference_before_manifest() -> list[Change]:
    """A version is published before its manifest is written."""
    late: dict[str, list[tuple[Journal, str, bytes]]] = {}
    put_same, publish = sealing.put_same, publishing.publish

    def put_later(journal: Journal, name: str, data: bytes) -> None:
        late.setdefault(journal.job_id, []).append((journal, name, data))

    def publish_first(journal: Journal, manifest: Any, *, agreed: int) -> Reference:
        reference: Reference = publish(journal, manifest, agreed=agreed)
        for arguments in late.pop(journal.job_id, []):
            put_same(*arguments)
        return reference

    return [(sealing, "put_same", put_later), (publishing, "publish", publish_first)]


@mutation
def publishing_without_the_agreed_version() -> list[Change]:
    """A driver replaces whatever is newest, also what nobody has looked at."""
    publish = publishing.publish

    def publish_anyway(journal: Journal, manifest: Any, *, agreed: int) -> Reference:
        reference: Reference = publish(journal, manifest, agreed=len(history(journal.store, journal.layer)))
        return reference

    return [(publishing, "publish", publish_anyway)]


@mutation
def one_reference_overwritten() -> list[Change]:
    """The layer has one reference, replaced with every publication."""

    def publish(journal: Journal, manifest: Any, *, agreed: int) -> Reference:
        values: dict[str, Any] = {
            "version": 1,
            "job_id": journal.job_id,
            "manifest_sha256": sha256_bytes(manifest.to_json()),
            "prev_sha256": "",
        }
        files: Any = journal.store.files  # type: ignore[attr-defined]
        data = canonical_json(values)
        with translated(journal.layer):
            file = files.overwrite(journal.store.path(f"{journal.layer}/refs/v00000001.json"))  # type: ignore[attr-defined]
            file.write(data)
            files.sync(file)
            files.close(file)
        journal.store.settle(f"{journal.layer}/refs/v00000001.json")
        return Reference(**values, sha256=sha256_bytes(data))

    return [(publishing, "publish", publish)]


@mutation
def collecting_unrecorded_data() -> list[Change]:
    """The collection takes a data file without a record for a leftover."""
    collect = actors.collect

    def collect_more(world: Any) -> None:
        collect(world)
        for path in world.files.walk(world.store.path(actors.LAYER)):
            record = str(path).replace("/dataset/", "/records/").replace(".parquet", ".json")
            if "/dataset/" in str(path) and world.files.peek(record) is None:
                world.files.unlink(path)

    return [(actors, "collect", collect_more)]
