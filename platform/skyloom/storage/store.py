"""Store: names and bytes, each name written once.

Protocol of one write on POSIX: create ``.tmp-<uuid>`` in the target's own directory,
write, fsync it, close it, ``link(2)`` it to its name, fsync the directory, unlink the
temporary name. ``link`` fails if the name is taken, also on NFS, so of many writers
exactly one wins; a rename would silently replace. The loser syncs the directory too: it
may go on to record a file whose winner died before doing so.

On object stores (`skyloom.storage.objects`) the same contract stands on a conditional PUT.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self
from urllib.parse import urlsplit

from skyloom.errors import ErrorKind, NotFoundError, SpecError, StoreFullError, TransientError
from skyloom.storage.files import FULL, Files, failpoint
from skyloom.storage.names import check_inside, check_location

__all__ = ["LocalStore", "Log", "Staged", "Store", "open_store"]

TEMPORARY = ".tmp-"
"""Names that start so are garbage by definition: their owner's link fails and it retries."""

CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
"""Errors that mean a directory cannot be synced, and none of us can have made it."""


class Staged(Protocol):
    """Bytes on their way to a name; unseen until `commit`, gone if it is never called."""

    file: IO[bytes]

    def commit(self) -> bool:
        """Give the bytes their name; False if another writer was first."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Log(Protocol):
    """Lines for people, kept as they come; the only thing in a store that is not create-once."""

    def write(self, text: str, /) -> object:
        """Append text that ends in a newline."""
        ...

    def close(self) -> None:
        """Save what is not saved yet."""
        ...


class Store(Protocol):
    """Where a layer lies. Names are relative, with ``/`` between components."""

    root: str

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Create `name` with `data`, durably; False if it was there already."""
        ...

    def stage(self, name: str) -> Staged:
        """Return a place to write what `name` will hold."""
        ...

    def settle(self, name: str) -> None:
        """Make a name that another writer created durable before building on it."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether `name` is there."""
        ...

    def size(self, name: str) -> int:
        """Return the bytes that `name` holds."""
        ...

    def read(self, name: str) -> bytes:
        """Return what `name` holds; `NotFoundError` if it is not there."""
        ...

    def read_present(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield name and contents of those of `names` that are there, in their order."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Return a seekable file to read parts of `name` from; `NotFoundError` if it is not there."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below `prefix` ("" for the root), sorted, without temporary ones."""
        ...

    def make_directories(self, names: Iterable[str]) -> None:
        """Prepare places for names; only a driver does this, never a worker."""
        ...

    def location(self, name: str) -> str:
        """Return a path or URL that pyarrow, DuckDB and LSDB can open."""
        ...

    def probe(self) -> None:
        """Check that names can be created exactly once here; `SpecError` if not."""
        ...

    def log(self, name: str) -> Log:
        """Return a log to append lines to; see `skyloom.storage.log.read_log`."""
        ...


class LocalStore:
    """A store in a directory of a file system with hard links.

    Parameters
    ----------
    root : path-like
        The directory; made when something is first written.
    files : Files, optional
        The system calls to use; tests put a simulated disk here.
    """

    def __init__(self, root: str | Path, files: Files | None = None) -> None:
        self._root = Path(root).absolute()
        self.root = str(self._root)
        self.files = files or Files()

    def __repr__(self) -> str:
        return f"LocalStore({self.root!r})"

    def path(self, name: str) -> Path:
        """Return the path of `name`, which never leads out of the root.

        Raises
        ------
        SpecError
            If `name` is absolute or has an empty, ``.`` or ``..`` component.
        """
        check_inside(name, root=self.root)
        return self._root / name

    def location(self, name: str) -> str:
        """Return the absolute path of `name`."""
        check_inside(name, root=self.root)
        return f"{self.root.rstrip('/')}/{name}"

    def stage(self, name: str) -> LocalStaged:
        """Return a temporary file beside `name`, to be written and committed."""
        return LocalStaged(self.files, self.path(name))

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Create `name` with `data`, durably; False if it was there already.

        Raises
        ------
        StoreFullError
            If the disk or the quota is full; nothing is left behind.
        TransientError
            If the directory vanished or the file system failed.
        """
        with self.stage(name) as staged:
            staged.file.write(data)
            return staged.commit()

    def settle(self, name: str) -> None:
        """Fsync the directory of `name`.

        Raises
        ------
        TransientError
            If the file system failed, so that the name may not be durable.
        """
        with translated(self.location(name)):
            self.files.sync_directory(self.path(name).parent)

    def exists(self, name: str) -> bool:
        """Return whether `name` is there."""
        with translated(self.location(name), "look at"):
            return self.files.exists(self.path(name))

    def size(self, name: str) -> int:
        """Return the bytes that `name` holds.

        Raises
        ------
        NotFoundError
            If it is not there.
        """
        with self._reading(name):
            return self.files.size(self.path(name))

    def read(self, name: str) -> bytes:
        """Return what `name` holds.

        Raises
        ------
        NotFoundError
            If it is not there.
        TransientError
            If the file system failed.
        """
        with self._reading(name):
            return self.files.read(self.path(name))

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            with translated(self.location(name), "read"):
                yield
        except TransientError as error:
            if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise
            msg = f"{self.location(name)} does not exist"
            raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, name=name) from None

    def read_present(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield name and contents of those of `names` that are there, in their order."""
        for name in names:
            try:
                data = self.read(name)
            except NotFoundError:
                continue
            yield name, data

    def open(self, name: str) -> IO[bytes]:
        """Return a seekable file to read parts of `name` from.

        Raises
        ------
        NotFoundError
            If it is not there.
        TransientError
            If the file system failed.
        """
        with self._reading(name):
            return self.path(name).open("rb")

    def log(self, name: str) -> Log:
        """Return a log to append lines to.

        Raises
        ------
        TransientError
            If its directory is not there, such as that of a job that was just removed.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with translated(self.location(name)):
            return os.fdopen(os.open(self.path(name), flags, 0o644), "a", buffering=1)

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below `prefix` ("" for the root), sorted, without temporary ones."""
        folder = self.path(prefix) if prefix else Path(self.root)
        with translated(str(folder), "list"):
            return [name for name in self.files.names(folder) if not name.startswith(TEMPORARY)]

    def make_directories(self, names: Iterable[str]) -> None:
        """Make directories with their parents, durably.

        Parents are synced also where nothing was missing: who made a directory may be dead,
        and its name not yet durable.

        Raises
        ------
        StoreFullError
            If the disk or the quota is full.
        TransientError
            If the file system failed.
        """
        folders = [self.path(name) for name in sorted({part for name in names for part in _lineage(name)})]
        with translated(self.root):
            self._make_root(Path(self.root))
            for folder in folders:
                self.files.make_directory(folder)
            for parent in dict.fromkeys(folder.parent for folder in folders):
                self.files.sync_directory(parent)

    def _make_root(self, root: Path) -> None:
        for folder in reversed((root, *root.parents[:-1])):
            missing = not self.files.exists(folder)
            if missing:
                self.files.make_directory(folder)
            try:
                self.files.sync_directory(folder.parent)
            except OSError as error:
                # Above the store are directories of others: closed to us, or on automounts that cannot sync.
                if missing or error.errno not in CLOSED:
                    raise

    def probe(self) -> None:
        """Check that the file system can do what the protocol stands on.

        Raises
        ------
        SpecError
            If it cannot hard-link, or lets a second writer win.
        StoreFullError
            If it has no room.
        """
        name = f"{TEMPORARY}probe-{uuid.uuid4().hex}"
        try:
            outcome = (self.put_if_absent(name, b"1"), self.put_if_absent(name, b"2"), self.read(name))
        except StoreFullError:
            raise
        except TransientError as error:
            outcome = (False, False, error.message.encode())
        finally:
            self.files.unlink(self.path(name))
        if outcome != (True, False, b"1"):
            msg = (
                f"the file system under {self.root} cannot create a file exactly once by hard link "
                f"({outcome[2].decode(errors='replace')}); choose a store on a local disk or NFS"
            )
            raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, root=self.root)


def _lineage(name: str) -> Iterator[str]:
    """Yield the names of a directory and of all above it."""
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


class LocalStaged:
    """A temporary file in the directory of its future name."""

    def __init__(self, files: Files, target: Path) -> None:
        self.files = files
        self.target = target
        self.temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        with translated(str(target)):
            self.file = files.create(self.temporary)

    def commit(self) -> bool:
        """Sync, link, sync the directory; False if the name was taken."""
        with translated(str(self.target)):
            failpoint("before-sync")
            self.files.sync(self.file)
            self.files.close(self.file)
            failpoint("before-link")
            won = self._link()
            failpoint("after-link")
            # Also when lost: the winner may be dead, and its name not yet durable.
            self.files.sync_directory(self.target.parent)
            failpoint("after-directory-sync")
            return won

    def _link(self) -> bool:
        try:
            self.files.link(self.temporary, self.target)
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise
        except OSError:
            # NFS may lose the reply of a link that succeeded; link(2) says to count the names.
            if self.files.link_count(self.temporary) != 2:
                raise
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self.file.closed:
                with translated(str(self.target)):
                    self.files.close(self.file)
        finally:
            # What cannot be removed is garbage all the same; it must not hide why the write failed.
            with suppress(OSError):
                self.files.unlink(self.temporary)


@contextmanager
def translated(where: str, doing: str = "write") -> Iterator[None]:
    """Turn the errors of a file system into ours: full, or try again."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            msg = f"no room left to write {where}: enlarge the store or quota, then run again"
            raise StoreFullError(msg, kind=ErrorKind.STORE_FULL, where=where) from error
        msg = f"cannot {doing} {where}: {error.strerror or error}; run the same command again"
        raise TransientError(msg, kind=ErrorKind.BAD_FILE, where=where) from error


def open_store(location: str | Path) -> Store:
    """Return the store at a path or URL; nothing is written or connected to.

    Parameters
    ----------
    location : str or Path
        A directory, ``file://…``, ``s3://bucket/prefix`` (any S3-compatible store, see
        `skyloom.storage.s3`), or ``memory://name`` (this process alone, for tests).

    Raises
    ------
    SpecError
        If the scheme has no store here, or the URL carries a user, a password or a query.
    """
    text = check_location(str(location), what="store")
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme in {"", "file"}:
        return LocalStore(text.removeprefix("file://"))
    if scheme in {"s3", "memory"}:
        from skyloom.storage.objects import open_objects

        return open_objects(text)
    msg = (
        f"layers cannot be written to {scheme}://; give a directory on a local or network file system, or "
        "s3://bucket/prefix (an S3-compatible store's address goes into AWS_ENDPOINT_URL)"
    )
    raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, location=text)
