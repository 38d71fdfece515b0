"""The requests that the commit protocol makes of an object store, and nothing else.

`ObjectStore` talks to the store through this one small object, so that a test can lose a
reply, answer 503 or forget what a conditional PUT is, and run the very code of production.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["ObjectFile", "RequestFailedError", "Requests"]

ATTEMPT = "attempt"
"""Metadata key of an object that says which attempt wrote it."""
READ_S = 600
"""Seconds that one read may take."""
READ_RETRIES = 6
WRITE_S = 60
"""Seconds that one write may take, and a second more per `WRITE_RATE` bytes."""
WRITE_RATE = 1 << 20
SMALL_BYTES = 16 << 20
"""Writes up to here share one client; a larger one gets its own, with time enough."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_BROKEN = re.compile(r"kind: (Timeout|Connect|Request|Body|Decode|Interrupted)\b")
_KEYS = re.compile(r"Error performing [A-Z]+ https?://(169\.254\.|sts[.-])|Failed to read token file")
"""Requests for keys, to the services of a cloud that hand them out."""


class RequestFailedError(Exception):
    """A request that was not answered with success.

    Holds a few plain words and never the answer's text, which may repeat what was signed.
    """

    def __init__(self, status: int = 0, code: str = "") -> None:
        super().__init__(status, code)
        self.status = status
        """HTTP status; 0 if there was no answer."""
        self.code = code
        """The store's word for it, such as ``SlowDown``, or what broke, such as ``Timeout``."""

    def __str__(self) -> str:
        if not self.status:
            return f"no answer ({self.code})" if self.code else "no answer"
        return f"answer {self.status} {self.code}".strip()


class Requests:
    """An object store through `obstore`, one method per request.

    Parameters
    ----------
    client : callable
        ``client(timeout_s=…, max_retries=…)`` returns an `obstore` store.
    """

    def __init__(self, client: Callable[..., Any]) -> None:
        self._client = client
        self._reader = client(timeout_s=READ_S, max_retries=READ_RETRIES)
        self._writer = client(timeout_s=_write_s(SMALL_BYTES), max_retries=0)

    @property
    def reader(self) -> Any:
        """The `obstore` store that reads are made with; for a library that reads by itself."""
        return self._reader

    def create(self, key: str, data: bytes, attempt: str) -> None:
        """PUT an object under the condition that there is none; the answer may get lost."""
        import obstore

        large = len(data) > SMALL_BYTES
        writer = self._client(timeout_s=_write_s(len(data)), max_retries=0) if large else self._writer
        try:
            with failures():
                # Never in parts: a client completes those without the condition.
                obstore.put(writer, key, data, mode="create", attributes={ATTEMPT: attempt}, use_multipart=False)
        except FileNotFoundError:
            raise RequestFailedError(404, "NoSuchBucket") from None

    def attempt(self, key: str) -> str | None:
        """HEAD, once: which attempt wrote an object ("" if it does not say), None if there is none."""
        import obstore

        try:
            with failures():
                found = obstore.get(self._writer, key, options={"head": True})
        except FileNotFoundError:
            return None
        written: str = found.attributes.get(ATTEMPT, "")
        return written

    def size(self, key: str) -> int:
        """HEAD: return the bytes of an object; `FileNotFoundError` if there is none."""
        import obstore

        with failures():
            return int(obstore.head(self._reader, key)["size"])

    def read(self, key: str) -> bytes:
        """GET: return an object; `FileNotFoundError` if there is none."""
        import obstore

        with failures():
            return bytes(obstore.get(self._reader, key).bytes())

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """GET: return the bytes from `start` up to `end`, exclusive."""
        import obstore

        with failures():
            return bytes(obstore.get_range(self._reader, key, start=start, end=end))

    def names(self, prefix: str) -> list[str]:
        """LIST: return the names directly below `prefix`, in no order."""
        import obstore

        with failures():
            found = obstore.list_with_delimiter(self._reader, prefix or None)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        # Some stores list an empty folder as an object of its own, under the prefix itself.
        return [str(path).rpartition("/")[2] for path in paths if str(path) != prefix]

    def walk(self, prefix: str) -> list[tuple[str, int]]:
        """LIST: return key and size of every object below `prefix`, in no order."""
        import obstore

        with failures():
            found = obstore.list(self._reader, prefix)
            return [(str(entry["path"]), int(entry["size"])) for chunk in found for entry in chunk]

    def delete(self, key: str) -> None:
        """DELETE an object; no run does, but for its own probe."""
        import obstore

        with failures():
            obstore.delete(self._writer, key)


def _write_s(size: int) -> float:
    return WRITE_S + size / WRITE_RATE


@contextmanager
def failures() -> Iterator[None]:
    """Turn what `obstore` raises into status and code; a missing object stays `FileNotFoundError`."""
    from obstore.exceptions import AlreadyExistsError, BaseError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        failed = _failed(str(error))
        if failed.code != "NoSuchBucket":
            raise FileNotFoundError from None
    except (BaseError, OSError) as error:
        failed = _failed(str(error))
        if isinstance(error, AlreadyExistsError) and not failed.status:
            failed = RequestFailedError(412)
        if isinstance(error, UnauthenticatedError) and not failed.status:
            failed = RequestFailedError(401, "NoCredentials")
    else:
        return
    raise failed from None


def _failed(text: str) -> RequestFailedError:
    status, code, broken = (pattern.search(text) for pattern in (_STATUS, _CODE, _BROKEN))
    if _KEYS.search(text):
        return RequestFailedError(401, code[1] if code else "NoCredentials")
    if status is None:
        return RequestFailedError(0, broken[1] if broken else "")
    return RequestFailedError(int(status[1]), code[1] if code else "")


class ObjectFile(io.RawIOBase):
    """An object as a file to read from, a range at a time."""

    def __init__(self, requests: Requests, key: str) -> None:
        self._requests, self._key = requests, key
        self._size = requests.size(key)
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position; costs nothing."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read as many bytes as `buffer` holds, with one request."""
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._requests.read_range(self._key, self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
