"""ObjectStore: the same contract as a directory's, on conditional PUT.

Protocol of one write: ``PUT`` with ``If-None-Match: *`` and the attempt's id as metadata.
The store decides which of many writers is first, and shows an object whole or not at all.
Only plain success counts as won. After any other answer, or none, what lies there decides:
our attempt's id, then we have won and the reply was lost; another's, then we have lost;
nothing, then the same request is made again. So neither a lost reply nor a retry hidden in
a proxy can make a winner believe that it lost, or two writers that they won. If the store
does not answer at all, nobody is told that it won, and nothing is deleted.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from io import BytesIO
from itertools import islice
from types import TracebackType
from typing import IO, Any, Self, cast
from urllib.parse import urlsplit

from skyloom.errors import ErrorKind, NotFoundError, SpecError
from skyloom.storage.files import failpoint
from skyloom.storage.log import ChunkedLog
from skyloom.storage.names import check_inside
from skyloom.storage.refusals import of_the_moment, unanswered
from skyloom.storage.requests import ObjectFile, RequestFailedError, Requests, failures

__all__ = ["MAX_OBJECT_BYTES", "ObjectStore", "open_objects"]

logger = logging.getLogger(__name__)

MAX_OBJECT_BYTES = 5_000_000_000
"""The most that S3 takes in one PUT is 5 GiB; a partition's columns are a thousandth of that."""
WAITS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Pauses between attempts at one write, each times 0.5 to 1.5; about 13 s in all."""
TEMPORARY = ".tmp-"
"""Names that start so are garbage by definition: left by a probe that could not remove them."""
PROBE_WRITERS = 4
RANGE_NOT_SATISFIABLE = 416
THREADS = 16
"""Requests at once where many small objects are read."""


class ObjectStore:
    """A store under a prefix of a bucket.

    Parameters
    ----------
    root : str
        URL of the prefix, such as ``s3://bucket/layers``.
    requests : Requests
        What is asked of the store; tests put a faulty one here.
    waits_s : sequence of float
        Pauses between attempts at one write.
    """

    def __init__(self, root: str, requests: Requests, *, waits_s: Sequence[float] = WAITS_S) -> None:
        self.root = root.rstrip("/")
        self.requests = requests
        parts = urlsplit(self.root)
        self._bucket = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.strip("/")
        self._waits_s = waits_s

    def __repr__(self) -> str:
        return f"ObjectStore({self.root!r})"

    def key(self, name: str) -> str:
        """Return the key of `name` in the bucket.

        Raises
        ------
        SpecError
            If `name` is absolute or has an empty, ``.`` or ``..`` component.
        """
        inside = "/".join(check_inside(name, root=self.root))
        return f"{self._prefix}/{inside}" if self._prefix else inside

    def location(self, name: str) -> str:
        """Return the URL of `name`."""
        return f"{self._bucket}/{self.key(name)}"

    def stage(self, name: str) -> ObjectStaged:
        """Return a buffer to be written and committed to `name`."""
        return ObjectStaged(self, name)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Create `name` with `data`; False if another writer was first.

        Raises
        ------
        StoreFullError
            If the store says that it has no room.
        TransientError
            If the store does not answer. Whether the name is there then is not known; to
            write it again is harmless.
        SpecError
            If the store refuses for good: keys, permissions, bucket, size.
        """
        if len(data) > MAX_OBJECT_BYTES:
            msg = (
                f"{self.location(name)} would take {len(data):,} bytes, and one conditional PUT at most "
                f"{MAX_OBJECT_BYTES:,}; import the catalog with a smaller partition threshold"
            )
            raise SpecError(msg, kind=ErrorKind.PLAN_TOO_LARGE, name=name)
        return self._create(self.key(name), data, uuid.uuid4().hex)

    def _create(self, key: str, data: bytes, attempt: str) -> bool:
        where = f"{self._bucket}/{key}"
        jitter = 0.5 + int(attempt[:4], 16) / 0xFFFF
        failed = RequestFailedError()
        for wait_s in (*self._waits_s, None):
            try:
                self.requests.create(key, data, attempt)
            except RequestFailedError as error:
                failed = of_the_moment(error, where)
            else:
                return True
            try:
                writer = self.requests.attempt(key)
            except RequestFailedError as error:
                failed, writer = of_the_moment(error, where), None
            if writer is not None:
                return writer == attempt
            if wait_s is not None:
                time.sleep(wait_s * jitter)
        raise unanswered(failed, where)

    def settle(self, name: str) -> None:
        """Do nothing: an object that can be seen is durable."""

    def make_directories(self, names: Iterable[str]) -> None:
        """Do nothing: there are no directories."""

    def exists(self, name: str) -> bool:
        """Return whether `name` is an object; a mere prefix of others is not."""
        try:
            self.size(name)
        except NotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """Return the bytes that `name` holds; `NotFoundError` if it is not there."""
        with self._translated(name):
            return self.requests.size(self.key(name))

    def read(self, name: str) -> bytes:
        """Return what `name` holds.

        Raises
        ------
        NotFoundError
            If it is not there.
        TransientError, SpecError
            If the store does not answer, or refuses.
        """
        with self._translated(name):
            return self.requests.read(self.key(name))

    def read_present(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield name and contents of those of `names` that are there, in their order."""

        def read(name: str) -> bytes | None:
            try:
                return self.read(name)
            except NotFoundError:
                return None

        left = iter(names)
        with ThreadPoolExecutor(THREADS) as threads:
            # In pieces, so that a million names do not become a million waiting calls.
            while piece := list(islice(left, 64 * THREADS)):
                for name, data in zip(piece, threads.map(read, piece), strict=True):
                    if data is not None:
                        yield name, data

    def open(self, name: str) -> IO[bytes]:
        """Return a seekable file to read parts of `name` from; `NotFoundError` if it is not there."""
        with self._translated(name):
            return cast("IO[bytes]", ObjectFile(self.requests, self.key(name)))

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Turn failed reads of a library, that reads with ``requests.reader``, into our errors.

        Raises
        ------
        NotFoundError, TransientError, SpecError
            As `read` does.
        ValueError
            If an object is shorter than the range that was asked of it.
        """
        with self._translated(name):
            try:
                with failures():
                    yield
            except RequestFailedError as error:
                if error.status == RANGE_NOT_SATISFIABLE:
                    msg = f"{self.location(name)} is shorter than what was asked of it"
                    raise ValueError(msg) from None
                raise

    def log(self, name: str) -> ChunkedLog:
        """Return a log that saves its lines as numbered objects."""
        return ChunkedLog(self, name)

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below `prefix` ("" for the root), sorted, without temporary ones."""
        with self._translated(prefix):
            found = self.requests.names(self.key(prefix) if prefix else self._prefix)
        return sorted({name for name in found if not name.startswith(TEMPORARY)})

    def walk(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield the name and size of every object below `prefix` ("" for the root), in no order."""
        with self._translated(prefix):
            found = self.requests.walk(self.key(prefix) if prefix else self._prefix)
        for key, size in found:
            yield (key.removeprefix(f"{self._prefix}/") if self._prefix else key), size

    def delete(self, name: str) -> None:
        """Remove one object for ever; a missing one is no error. Never part of a run."""
        try:
            with self._translated(name):
                self.requests.delete(self.key(name))
        except NotFoundError:
            return

    def probe(self) -> None:
        """Check that the store does what the protocol stands on, by a race of a few writers.

        Raises
        ------
        SpecError
            If a second writer can win, metadata is not kept, or keys or bucket are wrong.
        StoreFullError
            If it has no room.
        TransientError
            If it does not answer.
        """
        name = f"{TEMPORARY}probe-{uuid.uuid4().hex}"
        key, writers = self.key(name), [uuid.uuid4().hex for _ in range(PROBE_WRITERS)]
        try:
            first = self._create(key, writers[0].encode(), writers[0])
            with ThreadPoolExecutor(PROBE_WRITERS) as threads:
                raced = list(threads.map(lambda w: self._create(f"{key}-race", w.encode(), w), writers))
            second = self._create(key, writers[1].encode(), writers[1])
            with self._translated(name):
                kept = (self.requests.attempt(key), self.requests.read(key)) == (writers[0], writers[0].encode())
        finally:
            self._remove(key, f"{key}-race")
        if (first, second, sum(raced), kept) != (True, False, 1, True):
            msg = (
                f"the store at {self.root} does not honour conditional writes (If-None-Match: *): of 2 writers in "
                f"turn {first + second} won a name, of {PROBE_WRITERS} at once {sum(raced)}, and the first one's "
                f"object and metadata were {'kept' if kept else 'not kept'}. Layers there could be overwritten; "
                "choose a store that honours them, such as Amazon S3 or SeaweedFS, or a directory"
            )
            raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, root=self.root)

    def _remove(self, *keys: str) -> None:
        for key in keys:
            try:
                self.requests.delete(key)
            except (RequestFailedError, FileNotFoundError) as error:
                logger.info("the probe %s/%s could not be removed: %s", self._bucket, key, error)

    def _translated(self, name: str) -> _Translated:
        return _Translated(f"{self.root}/{name}".rstrip("/"), name)


class ObjectStaged:
    """Bytes in memory until they are committed: a conditional PUT needs them whole."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store, self._name = store, name
        store.key(name)
        self.file: IO[bytes] = BytesIO()

    def commit(self) -> bool:
        """PUT the bytes; False if another writer was first."""
        data = cast("BytesIO", self.file).getvalue()
        failpoint("before-put")
        won = self._store.put_if_absent(self._name, data)
        failpoint("after-put")
        return won

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


class _Translated:
    """Turns failed reads into our errors, whose text holds no answer of the store."""

    def __init__(self, where: str, name: str) -> None:
        self._where, self._name = where, name

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FileNotFoundError):
            msg = f"{self._where} does not exist"
            raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, name=self._name) from None
        if isinstance(error, RequestFailedError):
            raise unanswered(of_the_moment(error, self._where), self._where) from None


def open_objects(location: str) -> ObjectStore:
    """Return the store at an ``s3://`` or ``memory://`` URL; connects to nothing.

    Stores of one process share a client, which keeps connections open. A process forked
    after that cannot use it: start children by spawn.

    Raises
    ------
    SpecError
        If the URL names no bucket or leads out of its prefix, or the environment cannot be used.
    """
    parts = urlsplit(location)
    prefix = parts.path.strip("/")
    if not parts.netloc:
        msg = f"{location} names no bucket; write {parts.scheme}://BUCKET/PREFIX"
        raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, location=location)
    if prefix:
        check_inside(prefix, root=f"{parts.scheme}://{parts.netloc}")
    root = f"{parts.scheme}://{parts.netloc}/{prefix}"
    if parts.scheme == "memory":
        return ObjectStore(root, _memory_requests(parts.netloc))
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return ObjectStore(root, _s3_requests(parts.netloc, os.getpid(), settings))


@lru_cache(maxsize=8)
def _s3_requests(bucket: str, _process: int, _settings: tuple[tuple[str, str], ...]) -> Requests:
    """Return the requests to a bucket; made anew when the process or its environment is another."""
    from skyloom.storage.s3 import s3_client

    return Requests(partial(s3_client, bucket))


@lru_cache(maxsize=64)
def _memory_requests(_name: str) -> Requests:
    """Return the requests to a bucket in the memory of this process."""
    from obstore.store import MemoryStore

    bucket = MemoryStore()

    def client(**_: Any) -> Any:
        return bucket

    return Requests(client)
