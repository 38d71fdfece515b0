"""Faults of schedules, system calls and requests: rows C1 to C5 and C23 of the matrix."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skyloom.engine import Plan, worker
from skyloom.errors import SkyloomError
from skyloom.storage import LocalStore, Store, open_store
from skyloom.storage.files import Files
from skyloom.storage.objects import ObjectStore
from skyloom.storage.requests import RequestFailedError, Requests
from tests.engine import toy
from tests.engine.finished import finish
from tests.faults.checking import Checked, Expected, check_layer, reader_of
from tests.faults.children import CONTEXT, PATIENCE_S, drive, run_child, start_child
from tests.faults.tally import Tally

__all__ = [
    "calls_in_order",
    "failing_calls",
    "failpoints",
    "mutants",
    "racing_writers",
    "schedules",
    "toy_rows",
]

SEEDS = 1_000
BUDGET = 10_000


def toy_rows(n_tasks: int) -> Expected:
    """What a layer of `toy.plan` holds."""
    return Expected(range(n_tasks * toy.ROWS), lambda i: 2.0 * i)


def schedules(folder: Path) -> Tally:
    """C1: interleavings, kills and power failures, from the simulator."""
    from tests.faults.simulator.campaign import REGRESSIONS, run_seeds
    from tests.faults.simulator.substitutes import simulated

    with simulated():
        summary = run_seeds([*range(SEEDS), *sorted(REGRESSIONS.values())])
    broken = f", broken: {sorted(summary.violations)[:5]}" if summary.violations else ""
    return Tally(summary.schedules, summary.schedules - len(summary.violations), note=f"{summary}{broken}")


def mutants(folder: Path) -> Tally:
    """C2: broken protocols, each of which a schedule must break."""
    from tests.faults.simulator.campaign import hunt
    from tests.faults.simulator.mutations import MUTATIONS
    from tests.faults.simulator.substitutes import simulated

    tally = Tally(note="survived = found out")
    with simulated():
        for name in sorted(MUTATIONS):
            found = hunt(name, BUDGET) is not None
            tally.count(found)
            if not found:
                tally.note += f"; {name} not found out"
    return tally


CALLS = (
    "create",
    "sync",
    "close",
    "link",
    "unlink",
    "sync_directory",
    "make_directory",
    "exists",
    "read",
    "names",
)
"""System calls that are made to fail."""


class FaultyFiles(Files):
    """Fails at the n-th system call, counted from 1; 0: never.

    Parameters
    ----------
    n : int
    code : int
        errno.
    done : bool
        Whether the call is carried out all the same, and only its answer lost.
    persistent : bool
        Whether all later calls that write fail too.
    """

    def __init__(self, n: int = 0, code: int = 0, *, done: bool = False, persistent: bool = False) -> None:
        self.n, self.code, self.done, self.persistent = n, code, done, persistent
        self.count = self.failed = 0


def _faulty(name: str) -> Callable[..., Any]:
    real = getattr(Files, name)

    def call(self: FaultyFiles, *arguments: Any) -> Any:
        self.count += 1
        writes = name not in {"exists", "read", "names", "unlink"}
        if not (self.n and (self.count == self.n or (self.persistent and writes and self.count > self.n))):
            return real(self, *arguments)
        self.failed += 1
        if self.done or name == "close":  # close(2) gives the descriptor back whatever it answers
            answer = real(self, *arguments)
            if name == "create":
                answer.close()
        raise OSError(self.code, "injected")

    return call


for _name in CALLS:
    setattr(FaultyFiles, _name, _faulty(_name))


@contextmanager
def workers_use(store: Store) -> Iterator[None]:
    """Let tasks in this process write to `store` itself."""
    before = worker.open_store
    worker.open_store = lambda location: store  # type: ignore[assignment]
    try:
        yield
    finally:
        worker.open_store = before


def attempted(plan: Plan, store: Store) -> str:
    """Run a plan once on a store that fails; return the name of the error, or nothing."""
    try:
        with workers_use(store):
            finish(plan, store)
    except SkyloomError as error:
        return type(error).__name__
    return ""


DISK = {
    "EIO": {"code": errno.EIO},
    "EIO after success": {"code": errno.EIO, "done": True},
    "ENOSPC": {"code": errno.ENOSPC, "persistent": True},
    "EDQUOT": {"code": errno.EDQUOT},
}
NETWORK = {
    "409": ("before", 409, "ConditionalRequestConflict"),
    "412": ("before", 412, ""),
    "503": ("before", 503, "SlowDown"),
    "timeout before": ("before", 0, "Timeout"),
    "timeout after success": ("after", 0, "Timeout"),
}


def failing_calls(folder: Path, *, n_tasks: int = 6, stride: int = 1) -> Tally:
    """C3: the n-th system call, or request, fails in each way; then the run is repeated."""
    plan, tally = toy.plan(n_tasks), Tally()
    calm = LocalStore(folder / "calm")
    finish(plan, calm)
    expected = toy_rows(n_tasks)
    manifest = check_layer(reader_of(calm.root), expected).manifest_sha256
    errors: dict[str, int] = {}

    def repeated(store: Store, again: Store, read: Callable[[str], bytes], root: str | None) -> None:
        error = attempted(plan, store)
        errors[error or "none"] = errors.get(error or "none", 0) + 1
        finish(plan, again)
        found = check_layer(read, expected, root=root)
        tally.add(found)
        tally.count(found.manifest_sha256 == manifest)

    for kind, fault in DISK.items():
        n = 1
        while True:
            root = folder / f"{kind}-{n}"
            files = FaultyFiles(n, **fault)  # type: ignore[arg-type]
            repeated(LocalStore(root, files), LocalStore(root), reader_of(root), str(root))
            if not files.failed:
                tally.injected, tally.survived = tally.injected - 1, tally.survived - 1
                break
            n += stride
    for fault in NETWORK.values():
        for n in range(1, 1_000, stride):
            store, again, requests = _on_objects(n, fault, times=1 if n % 2 else 9)
            repeated(store, again, again.read, None)
            if not requests.failed:
                tally.injected, tally.survived = tally.injected - 1, tally.survived - 1
                break
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(errors.items()))
    tally.note = (
        f"{len(DISK)} kinds of failed calls, {len(NETWORK)} of failed requests; first runs ended with {kinds}"
    )
    return tally


class FaultyRequests(Requests):
    """Fails at the n-th write, and at those that follow as often as told."""

    def __init__(self, inner: Requests, n: int, fault: tuple[str, int, str], times: int) -> None:
        self.inner, self.fault, self.span, self.count, self.failed = inner, fault, range(n, n + times), 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def create(self, key: str, data: bytes, attempt: str) -> None:
        self.count += 1
        when, status, code = self.fault
        if self.count not in self.span:
            self.inner.create(key, data, attempt)
            return
        self.failed += 1
        if when == "after":
            self.inner.create(key, data, attempt)
        raise RequestFailedError(status, code)

    def attempt(self, key: str) -> str | None:
        return self.inner.attempt(key)

    def size(self, key: str) -> int:
        return self.inner.size(key)

    def read(self, key: str) -> bytes:
        return self.inner.read(key)

    def read_range(self, key: str, start: int, end: int) -> bytes:
        return self.inner.read_range(key, start, end)

    def names(self, prefix: str) -> list[str]:
        return self.inner.names(prefix)

    def delete(self, key: str) -> None:
        self.inner.delete(key)


def _on_objects(n: int, fault: tuple[str, int, str], *, times: int) -> tuple[Store, Store, FaultyRequests]:
    memory = open_store(f"memory://{uuid.uuid4().hex}/layers")
    assert isinstance(memory, ObjectStore)
    requests = FaultyRequests(memory.requests, n, fault, times)
    return ObjectStore(memory.root, requests, waits_s=(0.0,) * 5), memory, requests


POINTS = ("before-sync", "before-link", "after-link", "after-directory-sync", "before-record")


def failpoints(folder: Path, *, points: tuple[str, ...] = POINTS, stride: int = 1) -> Tally:
    """C4: killed at every passage of every named point of a run, then run again."""
    plan, tally = toy.plan(3), Tally()
    calm = LocalStore(folder / "calm")
    finish(plan, calm)
    manifest = check_layer(reader_of(calm.root), toy_rows(3)).manifest_sha256
    for point in points:
        passage = 1
        while True:
            root = folder / f"{point}-{passage}"
            code = run_child(drive, plan, str(root), environment={"SKYLOOM_FAILPOINT": f"{point}:{passage}"})
            if code == 0:
                break
            again = run_child(drive, plan, str(root))
            found = check_layer(reader_of(root), toy_rows(3), root=root) if not again else Checked()
            tally.add(found)
            tally.count(code == -9 and found.manifest_sha256 == manifest)
            passage += stride
    tally.note = f"{len(points)} points"
    return tally


class Recorded(Files):
    """Notes the calls that make a name durable."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._paths: dict[int, str] = {}

    def create(self, path: Path) -> Any:
        file = super().create(path)
        self._paths[id(file)] = str(path)
        self.calls.append(("create", str(path)))
        return file

    def sync(self, file: Any) -> None:
        super().sync(file)
        self.calls.append(("sync", self._paths[id(file)]))

    def close(self, file: Any) -> None:
        super().close(file)
        self.calls.append(("close", self._paths[id(file)]))

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self.calls.append(("link", f"{source}>{target}"))

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.calls.append(("sync_directory", str(path)))


def calls_in_order(folder: Path) -> Tally:
    """C5: bytes synced before they get their name, the name before it is built upon."""
    files, tally = Recorded(), Tally()
    store = LocalStore(folder / "layers", files)
    with workers_use(store):
        finish(toy.plan(1), store)
    tally.add(check_layer(reader_of(store.root), toy_rows(1), root=store.root))
    calls = files.calls
    links = [i for i, (call, _) in enumerate(calls) if call == "link"]
    for i in links:
        source, target = calls[i][1].split(">")
        before = calls[i - 3 : i] == [("create", source), ("sync", source), ("close", source)]
        tally.count(before and calls[i + 1] == ("sync_directory", str(Path(target).parent)))
    order = [calls[i][1].split(">")[1].rpartition("/")[2] for i in links]
    wanted = ["job.json", "Npix=0.parquet", "Npix=0.json", "manifest.parquet", "manifest.json", "v00000001.json"]
    tally.count([name for name in order if name in wanted] == wanted)
    tally.note = "each name: create, write, fsync, close, link, fsync of the directory; then the next name"
    return tally


def racing_writers(folder: Path, *, writers: int = 16, names: int = 200) -> Tally:
    """C23: processes that put the same names at once; one of them wins each."""
    barrier = CONTEXT.Barrier(writers)
    store = LocalStore(folder / "layers")
    store.make_directories(["names", "won"])
    children = [start_child(_write_all, store.root, names, i, barrier) for i in range(writers)]
    for child in children:
        child.join(PATIENCE_S)
    wins = [name for i in range(writers) for name in store.read(f"won/{i}").decode().split()]
    winners = {name.split(":")[0]: name.split(":")[1] for name in wins}
    tally = Tally(note=f"{writers} processes, {len(wins)} wins")
    for name in map(str, range(names)):
        content = Path(store.root, "names", name).read_text()
        once = sum(win.startswith(f"{name}:") for win in wins) == 1
        tally.count(once and content == f"{winners[name]}:{name}" * 50)
    return tally


def _write_all(root: str, names: int, me: int, barrier: Any) -> None:
    store = LocalStore(root)
    barrier.wait()
    won = [n for n in range(names) if store.put_if_absent(f"names/{n}", f"{me}:{n}".encode() * 50)]
    store.put_if_absent(f"won/{me}", " ".join(f"{n}:{me}" for n in won).encode())
