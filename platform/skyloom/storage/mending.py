"""Mending: setting damaged files aside and removing one's own scratch, on any store.

What else `Upkeep` does, giving a whole directory another name in one step, only file systems can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skyloom.errors import ErrorKind, NotFoundError, SpecError, TransientError
from skyloom.storage.store import LocalStore, Store
from skyloom.storage.upkeep import Upkeep

if TYPE_CHECKING:
    from skyloom.storage.objects import ObjectStore

__all__ = ["Mender", "ObjectMender", "mender_of"]


class Mender(Protocol):
    """Care of single files, and of directories that nobody else uses."""

    def set_aside(self, name: str, aside: str) -> bool:
        """Move a file to a name that is free, keeping its bytes; False if there is none."""
        ...

    def remove(self, prefix: str) -> int:
        """Remove a directory and all below it, for ever; return the bytes that were in it."""
        ...


class ObjectMender:
    """Care of an object store, which can copy and delete single objects.

    Parameters
    ----------
    store : ObjectStore
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def set_aside(self, name: str, aside: str) -> bool:
        """Copy an object to a name that is free, then delete it; False if there is none.

        Raises
        ------
        TransientError
            If `aside` is taken, or the store does not answer. The object then has its old name still.
        """
        try:
            data = self.store.read(name)
        except NotFoundError:
            return False
        if not self.store.put_if_absent(aside, data):
            msg = f"cannot set {self.store.location(name)} aside: {self.store.location(aside)} is taken"
            raise TransientError(msg, kind=ErrorKind.ALREADY_EXISTS, name=name)
        self.store.delete(name)
        return True

    def remove(self, prefix: str) -> int:
        """Delete every object below a prefix; return the bytes that were in them."""
        removed = 0
        for name, size in self.store.walk(prefix):
            self.store.delete(name)
            removed += size
        return removed


def mender_of(store: Store) -> Mender:
    """Return the means to mend what lies in a store.

    Raises
    ------
    SpecError
        If it is of a kind that nobody here knows.
    """
    if isinstance(store, LocalStore):
        return Upkeep(store)
    from skyloom.storage.objects import ObjectStore

    if isinstance(store, ObjectStore):
        return ObjectMender(store)
    msg = f"nothing in {store.root} can be mended here: it is neither on a file system nor an object store"
    raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, store=store.root)
