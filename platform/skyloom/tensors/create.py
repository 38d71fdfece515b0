"""Make a store, or take up one that was begun."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from textwrap import shorten

from skyloom.errors import ConflictError, ErrorKind, SpecError
from skyloom.storage import LocalStore, open_store
from skyloom.storage.store import TEMPORARY
from skyloom.tensors.layout import Layout

__all__ = ["create_store"]

ABANDONED_S = 86_400
"""A temporary directory that nobody touched for so long belongs to a process that died."""


def create_store(location: str | Path, layout: Layout) -> LocalStore:
    """Make a store, or take up one that the same request began.

    Raises
    ------
    SpecError
        If the location is no directory of a file system: copy a finished store to where it
        shall be read from.
    ConflictError
        If a store with another layout lies there; the differences are listed.
    """
    store = open_store(location)
    if not isinstance(store, LocalStore):
        msg = f"a store is made on a file system, not at {location}; make it in a directory, then copy it there"
        raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, store=str(location))
    store.make_directories([])
    if not store.put_if_absent("zarr.json", layout.to_json()):
        found = Layout.from_json(store.read("zarr.json"), where=store.location("zarr.json"))
        differences = Layout.from_json(layout.to_json(), where="the request").differences(found)
        if differences:
            # The origin of a store may list thousands of images.
            listed = "\n".join(f"  {shorten(line, 400, placeholder=' ...')}" for line in differences)
            msg = (
                f"{store.root} holds another store than the one asked for (asked, found):\n{listed}\n"
                "Give another --output"
            )
            raise ConflictError(msg, kind=ErrorKind.ALREADY_EXISTS, store=store.root)
    for left in Path(store.root).glob(f"{TEMPORARY}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    return store
