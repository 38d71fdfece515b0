"""The system calls that the commit protocol is made of, and nothing else.

`LocalStore` calls the file system through this one small object, so that a test can put
a simulated disk, a full disk or a crash in its place and run the very code that runs in
production.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import IO

__all__ = ["Files", "failpoint"]

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors that mean the store has no room: no fault of a row, and no retry helps until it has."""


def failpoint(name: str) -> None:
    """Die here, as by ``kill -9``, when ``SKYLOOM_FAILPOINT`` says so (fault tests only).

    The variable is ``name`` or ``name:k`` to die at the k-th passage (from 1).
    """
    wanted = os.environ.get("SKYLOOM_FAILPOINT")
    if not wanted:
        return
    target, _, passage = wanted.partition(":")
    if target != name:
        return
    _PASSAGES[name] = _PASSAGES.get(name, 0) + 1
    if _PASSAGES[name] == int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)


_PASSAGES: dict[str, int] = {}


class Files:
    """A POSIX file system, one method per system call that matters for durability."""

    def create(self, path: Path) -> IO[bytes]:
        """Open a new file for writing; `FileExistsError` if the name is taken."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        # Unbuffered would make every small write of a Parquet footer a system call.
        return os.fdopen(descriptor, "wb", buffering=1 << 20)

    def sync(self, file: IO[bytes]) -> None:
        """Make the contents of an open file durable."""
        file.flush()
        os.fsync(file.fileno())

    def close(self, file: IO[bytes]) -> None:
        """Close a file; network file systems report a full disk only here."""
        file.close()

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; `FileExistsError` if that name is taken."""
        os.link(source, target)

    def link_count(self, path: Path) -> int:
        """Return how many names a file has."""
        return path.stat().st_nlink

    def unlink(self, path: Path) -> None:
        """Remove a name; a missing one is no error."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def exists(self, path: Path) -> bool:
        """Return whether a name is there."""
        return path.exists()

    def size(self, path: Path) -> int:
        """Return the number of bytes of a file."""
        return path.stat().st_size

    def modified(self, path: Path) -> float:
        """Return when a file was last written or touched, in seconds of the file system's clock."""
        return path.stat().st_mtime

    def touch(self, path: Path) -> None:
        """Set a file's time to the file system's own now."""
        os.utime(path)

    def read(self, path: Path) -> bytes:
        """Return all bytes of a file."""
        return path.read_bytes()

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted; none if it does not exist, or is a file."""
        try:
            return sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self, path: Path) -> Iterable[Path]:
        """Yield the files below a directory, in no order."""
        for folder, _, names in os.walk(path):
            for name in names:
                yield Path(folder, name)

    def move_directory(self, source: Path, target: Path) -> None:
        """Give a directory another name, all at once; `OSError` if that one is taken by a full one."""
        source.rename(target)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        path.rmdir()

    def make_directory(self, path: Path) -> None:
        """Make one directory, never open to everybody's writing; one that is there is no error."""
        path.mkdir(mode=0o775, exist_ok=True)
