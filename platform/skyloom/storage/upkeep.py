"""Upkeep: what is done to a store beside the protocol, never by a run: ages, setting aside, removal.

Nothing here overwrites. A file is set aside under a second name before it loses its first.
A directory is removed by giving it another name in one step, after which nobody can add to
it, and only then emptied: so a name below it is there whole, or not at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyloom.errors import ErrorKind, SpecError
from skyloom.storage.store import TEMPORARY, LocalStore, Store, translated

__all__ = ["REMOVED", "Found", "Upkeep", "upkeep_of"]

REMOVED = ".removed-"
"""Directories whose names start so are on their way out; `Upkeep.put_back` can still undo it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a store, temporary ones too."""

    name: str
    size_bytes: int
    modified_s: float
    """By the clock of the file system, as `Upkeep.now_s`."""

    @property
    def is_temporary(self) -> bool:
        """Whether it is garbage by definition."""
        return self.name.rpartition("/")[2].startswith(TEMPORARY)


class Upkeep:
    """Care of a store on a file system.

    Parameters
    ----------
    store : LocalStore
    """

    def __init__(self, store: LocalStore) -> None:
        self.store = store

    def now_s(self, prefix: str) -> float:
        """Return the file system's time, which may differ from this machine's."""
        path = self.store.path(prefix) / f"{TEMPORARY}{uuid.uuid4().hex}"
        with translated(str(path)):
            self.store.files.close(self.store.files.create(path))
            try:
                return self.store.files.modified(path)
            finally:
                self.store.files.unlink(path)

    def walk(self, prefix: str) -> Iterator[Found]:
        """Yield every file below `prefix`, in no order; those that vanish meanwhile are left out."""
        for path in self.store.files.walk(self.store.path(prefix)):
            name = path.relative_to(self.store.root).as_posix()
            try:
                yield Found(name, self.store.files.size(path), self.store.files.modified(path))
            except FileNotFoundError:
                continue

    def directories(self, prefix: str) -> list[str]:
        """Return the directories directly below `prefix` ("" for the root), removed ones too, sorted."""
        folder = self.store.path(prefix) if prefix else Path(self.store.root)
        return [name for name in self.store.files.names(folder) if (folder / name).is_dir()]

    def touch(self, name: str) -> None:
        """Set the time of `name` to now."""
        with translated(self.store.location(name)):
            self.store.files.touch(self.store.path(name))

    def unlink(self, name: str) -> None:
        """Remove one file; a missing one is no error."""
        self.store.files.unlink(self.store.path(name))

    def set_aside(self, name: str, aside: str) -> bool:
        """Move a file to a name that is free, keeping its bytes; False if there is none.

        Raises
        ------
        TransientError
            If `aside` is taken, or the file system failed. The file then has its old name still.
        """
        source, target = self.store.path(name), self.store.path(aside)
        if not self.store.files.exists(source):
            return False
        self.store.make_directories([aside.rpartition("/")[0]])
        with translated(str(target)):
            self.store.files.link(source, target)
            self.store.files.sync_directory(target.parent)
            # Only now, when its second name is durable, may the first one go.
            self.store.files.unlink(source)
            self.store.files.sync_directory(source.parent)
        return True

    def take_away(self, prefix: str) -> str | None:
        """Take a directory out of its name in one step, and return where it is now; None if there is none."""
        parent, _, leaf = prefix.rpartition("/")
        taken = f"{parent}/{REMOVED}{leaf}-{uuid.uuid4().hex}" if parent else f"{REMOVED}{leaf}-{uuid.uuid4().hex}"
        try:
            self._move(prefix, taken)
        except FileNotFoundError:
            return None
        return taken

    def put_back(self, taken: str, prefix: str) -> None:
        """Undo `take_away`.

        Raises
        ------
        TransientError
            If a directory of that name was made meanwhile.
        """
        with translated(self.store.location(prefix)):
            self._move(taken, prefix)

    def _move(self, source: str, target: str) -> None:
        self.store.files.move_directory(self.store.path(source), self.store.path(target))
        self.store.files.sync_directory(self.store.path(target).parent)

    def remove(self, prefix: str) -> int:
        """Remove a directory and all below it, for ever; return the bytes that were in it."""
        removed = 0
        folder = self.store.path(prefix)
        folders = {folder}
        with translated(str(folder)):
            for path in list(self.store.files.walk(folder)):
                removed += self.store.files.size(path)
                self.store.files.unlink(path)
            folders.update(path for path in folder.rglob("*") if path.is_dir())
            for path in sorted(folders, key=lambda path: len(path.parts), reverse=True):
                self.store.files.remove_directory(path)
            self.store.files.sync_directory(folder.parent)
        return removed


def upkeep_of(store: Store) -> Upkeep:
    """Return the means to care for a store.

    Raises
    ------
    SpecError
        If it is not on a file system: nothing there moves a directory in one step.
    """
    if isinstance(store, LocalStore):
        return Upkeep(store)
    msg = (
        f"{store.root} is not on a file system: no version or job is removed from it here. Let outdated ones lie, "
        "or remove the layer's whole prefix with the store's own tools once nobody reads it"
    )
    raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, store=store.root)
