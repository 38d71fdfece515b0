"""What the simulation puts in the place of clocks, chance and threads; nothing of the protocol.

The engine's code runs as it is, with three substitutes: `uuid4` counts, the threads of
`seal` take turns, and what is a pure function of its arguments (Parquet bytes of a table,
footers of bytes, digests of rows, paths) is computed by the real function once and remembered.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from skyloom.engine import partition_file
from skyloom.engine.partition_file import Inspected
from skyloom.engine.seal import FileEntry
from skyloom.storage import LocalStore

__all__ = ["Change", "patched", "restart_names", "simulated"]

Change = tuple[Any, str, Any]
"""An object, the name of an attribute of it, and what to put there."""


def module(name: str) -> Any:
    """Return a module by its full name; some share it with a function of their package."""
    return import_module(f"skyloom.{name}")


@contextmanager
def patched(changes: Iterable[Change]) -> Iterator[None]:
    """Apply `changes` for a while."""
    applied: list[Change] = []
    try:
        for target, name, value in changes:
            applied.append((target, name, getattr(target, name)))
            setattr(target, name, value)
        yield
    finally:
        for target, name, value in reversed(applied):
            setattr(target, name, value)


class _Counted:
    """Names that no two attempts share, the same in every replay."""

    count = 0

    @classmethod
    def uuid4(cls) -> uuid.UUID:
        cls.count += 1
        return uuid.UUID(int=cls.count)


def restart_names() -> None:
    """Begin a schedule with the same names as every other."""
    _Counted.count = 0


class _InTurn:
    """A thread pool whose threads take turns: what they only read may be read in any order."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> _InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        return map(function, values)


def _remembering_write() -> Callable[..., Inspected]:
    real: Callable[..., Inspected] = partition_file.write
    known: dict[tuple[str, ...], tuple[bytes, Inspected]] = {}

    def write(file: Any, table: pa.Table, footer: Mapping[str, str]) -> Inspected:
        key = tuple(footer.values())
        if key not in known:
            sink: Any = io.BytesIO()
            said = real(sink, table, footer)
            known[key] = (sink.getvalue(), said)
        data, said = known[key]
        file.write(data)
        return said

    return write


def _remembering_inspect() -> Callable[..., Any]:
    real, known = partition_file.inspect, {}

    def inspect(data: bytes, *, where: str) -> Any:
        if data not in known:
            known[data] = real(data, where=where)
        return known[data]

    return inspect


def _remembering_path(real: Callable[..., Path]) -> Callable[..., Path]:
    known: dict[tuple[str, str], Path] = {}

    def path(store: LocalStore, name: str) -> Path:
        key = (store.root, name)
        if key not in known:
            known[key] = real(store, name)
        return known[key]

    return path


def _remembering_files(real: Callable[..., bytes]) -> Callable[..., bytes]:
    known: dict[Any, bytes] = {}
    names = FileEntry.__slots__

    def files(records: Any) -> bytes:
        key = tuple(getattr(record, name) for record in records for name in names)
        if key not in known:
            known[key] = real(records)
        return known[key]

    return files


def _remembering_read(real: Callable[[bytes], pa.Table]) -> Callable[[bytes], pa.Table]:
    known: dict[bytes, pa.Table] = {}

    def read_bytes(data: bytes) -> pa.Table:
        if data not in known:
            known[data] = real(data)
        return known[data]

    return read_bytes


def _remembering_digest(real: Callable[..., Any]) -> Callable[..., Any]:
    # Holds the tables too: an id is that of one table only while it lives.
    known: dict[tuple[int, tuple[str, ...]], tuple[pa.Table, Any]] = {}

    def digest(table: pa.Table, columns: Iterable[str]) -> Any:
        key = (id(table), tuple(columns))
        if key not in known:
            known[key] = (table, real(table, columns))
        return known[key][1]

    return digest


@contextmanager
def simulated() -> Iterator[None]:
    """Make the engine a function of its seed alone, and cheap."""
    seal, publish, worker = module("engine.seal"), module("engine.publish"), module("engine.worker")
    with patched(
        [
            (module("storage.store"), "uuid", _Counted),
            (worker, "uuid", _Counted),
            (LocalStore, "path", _remembering_path(LocalStore.path)),
            (worker, "rows_digests", _remembering_digest(worker.rows_digests)),
            (seal, "ThreadPoolExecutor", _InTurn),
            (seal, "_files", _remembering_files(seal._files)),
            (publish, "read_bytes", _remembering_read(publish.read_bytes)),
            (partition_file, "write", _remembering_write()),
            (partition_file, "inspect", _remembering_inspect()),
        ]
    ):
        yield
