"""A disk in memory that can lose what was not synced, and calls the scheduler before every call.

What POSIX promises, and no more: `fsync` of a file makes its bytes durable but not its
name, `fsync` of a directory makes the names in it durable, and whatever was not synced
may or may not survive a power failure, each name on its own, each file whole, torn or
empty.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import IO, Any

from skyloom.storage.files import Files

__all__ = ["ROOT", "SimulatedFiles"]

ROOT = "/simulated/layers"


class Node:
    """A file: the bytes that others see, and those that a power failure spares."""

    __slots__ = ("durable", "links", "seen")

    def __init__(self) -> None:
        self.seen = self.durable = b""
        self.links = 1


class Folder:
    """A directory: the names that others see, and those that a power failure spares."""

    __slots__ = ("durable", "names")

    def __init__(self) -> None:
        self.names: dict[str, Node | Folder] = {}
        self.durable: dict[str, Node | Folder] = {}


class Handle:
    """An open file; like a buffered one, it reaches the disk when it is flushed."""

    def __init__(self, files: SimulatedFiles, node: Node) -> None:
        self.node = node
        self.closed = False
        self._files = files
        self._buffer = b""

    def write(self, data: bytes | memoryview) -> int:
        """Keep `data` until the next flush."""
        self._buffer += bytes(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return len(self.node.seen) + len(self._buffer)

    def flush(self) -> None:
        """Write in two system calls, so that others may see the first without the second."""
        half = (len(self._buffer) + 1) // 2
        while self._buffer:
            self._files.step("write")
            self._files.fail_when_full()
            self.node.seen += self._buffer[:half]
            self._buffer = self._buffer[half:]


class SimulatedFiles(Files):
    """The system calls of the store, on a disk in memory.

    Parameters
    ----------
    step : callable
        Called with the name of the call before it is made; may switch to another actor.
    random : Random
        Decides which calls fail.
    """

    full = 0.0
    """Probability that a call that needs room fails with ENOSPC."""
    lossy = 0.0
    """Probability that `link` does not say what it did, as over a network."""
    failing = 0.0
    """Probability that a sync fails with EIO."""

    def __init__(self, step: Callable[[str], None], random: Random) -> None:
        self.step = step
        self.random = random
        self.root = Folder()
        self.folders: dict[str, Folder] = {"/": self.root}
        self.linked: Callable[[str], None] = lambda name: None
        """Told of every name that `link` made."""

    def fail_when_full(self) -> None:
        if self.full and self.random.random() < self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fail_at_times(self) -> None:
        if self.failing and self.random.random() < self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _folder(self, path: Path) -> tuple[dict[str, Node | Folder], str]:
        folder, _, name = str(path).rpartition("/")
        try:
            return self.folders[folder or "/"].names, name
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None

    def _node(self, path: Path) -> Node:
        names, name = self._folder(path)
        node = names.get(name)
        if not isinstance(node, Node):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return node

    def create(self, path: Path) -> IO[bytes]:
        self.step("create")
        names, name = self._folder(path)
        if name in names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self.fail_when_full()
        node = names[name] = Node()
        handle: Any = Handle(self, node)
        return handle

    def sync(self, file: Any) -> None:
        file.flush()
        self.step("sync")
        self._fail_at_times()
        file.node.durable = file.node.seen

    def close(self, file: Any) -> None:
        file.closed = True
        file.flush()
        self.step("close")
        self.fail_when_full()

    def link(self, source: Path, target: Path) -> None:
        self.step("link")
        node = self._node(source)
        names, name = self._folder(target)
        lost = self.lossy and self.random.random() < self.lossy
        if lost and self.random.random() < 0.4:
            raise OSError(errno.EIO, "request lost")
        if name in names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        names[name] = node
        node.links += 1
        self.linked(str(target))
        if lost and self.random.random() < 0.5:
            raise OSError(errno.EIO, "reply lost")
        if lost:
            # The client of a network file system asked twice, and got the second answer.
            raise FileExistsError(errno.EEXIST, "reply lost, asked again", str(target))

    def rename(self, source: Path, target: Path) -> None:
        """Move a name over another; not in the protocol, but in some of its mutations."""
        self.step("rename")
        node = self._node(source)
        names, name = self._folder(source)
        del names[name]
        names, name = self._folder(target)
        names[name] = node

    def overwrite(self, path: Path) -> IO[bytes]:
        """Open a file for writing, empty; not in the protocol, but in some of its mutations."""
        self.step("overwrite")
        names, name = self._folder(path)
        node = names.get(name)
        if not isinstance(node, Node):
            node = names[name] = Node()
        node.seen = b""
        handle: Any = Handle(self, node)
        return handle

    def link_count(self, path: Path) -> int:
        self.step("link_count")
        return self._node(path).links

    def unlink(self, path: Path) -> None:
        self.step("unlink")
        folder, _, name = str(path).rpartition("/")
        node = self.folders[folder].names.pop(name, None) if folder in self.folders else None
        if isinstance(node, Node):
            node.links -= 1

    def sync_directory(self, path: Path) -> None:
        self.step("sync_directory")
        self._fail_at_times()
        folder = self.folders.get(str(path))
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        folder.durable = dict(folder.names)

    def exists(self, path: Path) -> bool:
        self.step("exists")
        folder, _, name = str(path).rpartition("/")
        return (folder in self.folders and name in self.folders[folder].names) or str(path) in self.folders

    def size(self, path: Path) -> int:
        self.step("size")
        return len(self._node(path).seen)

    def read(self, path: Path) -> bytes:
        self.step("read")
        return self._node(path).seen

    def names(self, path: Path) -> list[str]:
        self.step("names")
        return self.peek_names(str(path))

    def walk(self, path: Path) -> Iterable[Path]:
        prefix = f"{path}/"
        for folder in sorted(name for name in self.folders if f"{name}/".startswith(prefix)):
            self.step("walk")
            names = self.folders[folder].names if folder in self.folders else {}
            yield from [Path(folder, name) for name in sorted(names) if isinstance(names[name], Node)]

    def make_directory(self, path: Path) -> None:
        self.step("make_directory")
        names, name = self._folder(path)
        if name not in names:
            self.fail_when_full()
            names[name] = self.folders[str(path)] = Folder()

    def peek(self, path: str) -> bytes | None:
        """Return what a file holds, without a call; None if it is not there."""
        folder, _, name = path.rpartition("/")
        node = self.folders[folder].names.get(name) if folder in self.folders else None
        return node.seen if isinstance(node, Node) else None

    def peek_names(self, path: str) -> list[str]:
        """Return the names in a directory, without a call."""
        return sorted(self.folders[path].names) if path in self.folders else []

    def unsynced(self) -> list[tuple[Folder, str]]:
        """Return the names that a power failure may undo, in a fixed order."""
        return [
            (folder, name)
            for _, folder in sorted(self.folders.items())
            for name in sorted({*folder.names, *folder.durable})
            if folder.names.get(name) is not folder.durable.get(name)
        ]

    def power_fail(self, kept: Iterator[bool], torn: Random | None = None) -> None:
        """Lose what was not synced.

        Parameters
        ----------
        kept : iterator of bool
            Whether the change of each unsynced name reached the disk all the same.
        torn : Random, optional
            Decides how much of unsynced bytes survives; without it none do.
        """
        for folder, name in self.unsynced():
            entry = (folder.names if next(kept) else folder.durable).get(name)
            for names in (folder.names, folder.durable):
                names.pop(name, None)
                if entry is not None:
                    names[name] = entry
        self.folders = {}
        nodes: dict[int, Node] = {}
        self._recover("", self.root, nodes)
        for node in nodes.values():
            if node.seen != node.durable:
                node.seen = node.durable = _survivor(node, torn)

    def _recover(self, path: str, folder: Folder, nodes: dict[int, Node]) -> None:
        """Find what can still be reached, and count the names of each file anew."""
        self.folders[path or "/"] = folder
        folder.durable = dict(folder.names)
        for name, entry in sorted(folder.names.items()):
            if isinstance(entry, Folder):
                self._recover(f"{path}/{name}", entry, nodes)
                continue
            if id(entry) not in nodes:
                nodes[id(entry)] = entry
                entry.links = 0
            entry.links += 1


def _survivor(node: Node, torn: Random | None) -> bytes:
    chance = torn.random() if torn else 0.0
    if chance < 0.34 or torn is None:
        return node.durable
    return node.seen if chance < 0.67 else node.seen[: torn.randrange(len(node.seen) + 1)]
