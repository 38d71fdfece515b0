"""Faults of Dask processes, injected with signals: rows C6 to C8, C11, C12, C14 and C16 of the matrix."""

from __future__ import annotations

import errno
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from skyloom.cluster import ClusterSpec, start
from skyloom.engine import Journal, Limits, Plan, publish, run_plan, seal
from skyloom.engine.events import Event
from skyloom.engine.on_dask import DaskExecutor
from skyloom.errors import SkyloomError
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.finished import FACE, PROVENANCE, finish
from tests.faults.checking import Expected, check_layer, reader_of
from tests.faults.children import PATIENCE_S, Outside
from tests.faults.driver import start_driver
from tests.faults.driver_faults import mounted
from tests.faults.processors import noted
from tests.faults.protocol_faults import toy_rows
from tests.faults.tally import Tally

__all__ = [
    "full_scratch",
    "gil_hang",
    "killed_drivers",
    "killed_replacement",
    "killed_scheduler",
    "killed_workers",
    "zombie",
]


def on(client: Any) -> Callable[[], Any]:
    """Return what gives the engine an executor on a client."""

    @contextmanager
    def executor() -> Iterator[DaskExecutor]:
        yield DaskExecutor(client)

    return executor


def notes(folder: Path) -> Path:
    """Return an empty directory for a processor's journal."""
    place = folder / "noted"
    place.mkdir()
    return place


def sealed(plan: Plan, store: LocalStore, executor: Callable[[], Any], listener: Any = None, **how: Any) -> None:
    """Run, seal and publish a plan on a cluster."""
    summary = run_plan(plan, store, executor, listener=listener, **how)
    journal = Journal(store, plan.layer, plan.job_id)
    publish(journal, seal(journal, plan, summary.records, face=FACE, provenance=PROVENANCE), agreed=0)


def newest_worker(noted_in: Path) -> int | None:
    """Return the process that noted an execution last and is still there."""
    files = [path for path in noted_in.iterdir() if path.name.isdigit()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        if psutil.pid_exists(int(path.name)):
            return int(path.name)
    return None


def killed_workers(folder: Path, *, n_tasks: int = 40, kills: tuple[int, ...] = (6, 14, 22)) -> Tally:
    """C6: workers are killed in the middle of a partition."""
    noted_in, ended, tally = notes(folder), [], Tally()
    plan, store = toy.plan(n_tasks, journal=str(noted_in), wait_s=0.2), LocalStore(folder / "layers")

    def kill(event: Event) -> None:
        if event.kind == "partition":
            ended.append(event)
            worker = newest_worker(noted_in) if len(ended) in kills else None
            if worker is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                    tally.injected += 1

    with start(ClusterSpec(workers=2, dashboard="")) as running:
        sealed(plan, store, on(running.client), kill, group_tasks=1)
    tally.survived = tally.injected
    tally.add(check_layer(reader_of(store.root), toy_rows(n_tasks), root=store.root))
    tally.note = f"partitions computed again: {len(toy.executions(noted_in)) - n_tasks}"
    return tally


def killed_drivers(folder: Path, *, n_tasks: int = 40, at: tuple[float, ...] = (0.3, 0.6, 0.9)) -> Tally:
    """C7: a driver with its cluster is killed; another run resumes, while the workers of the first may go on."""
    tally, again = Tally(), []
    for part in at:
        place = folder / f"at-{part}"
        place.mkdir()
        noted_in, root = notes(place), place / "layers"
        values = {"n_tasks": n_tasks, "journal": str(noted_in), "wait_s": 0.1}
        driver = start_driver(place / "plan.json", values, root)
        try:
            committed = _wait_for(
                lambda root=root: sum(1 for _ in root.rglob("records/**/*.json")), part * n_tasks
            )
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            finish(toy.plan(**values), LocalStore(root))
        finally:
            _end(driver.pid)
        tally.count(committed < n_tasks)
        tally.add(check_layer(reader_of(root), toy_rows(n_tasks), root=root))
        again.append(len(toy.executions(noted_in)) - n_tasks)
    tally.note = f"killed at {', '.join(f'{part:.0%}' for part in at)}; computed again: {again} of {n_tasks}"
    return tally


def _wait_for(count: Callable[[], int], wanted: float) -> int:
    until = time.monotonic() + PATIENCE_S
    while (found := count()) < wanted:
        if time.monotonic() > until:
            raise TimeoutError(f"{found} of {wanted} after {PATIENCE_S:.0f} s")
        time.sleep(0.01)
    return found


def _end(session: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def killed_scheduler(folder: Path, *, n_tasks: int = 30) -> Tally:
    """C8: the scheduler is killed; the run says so soon, and resumes elsewhere."""
    noted_in, tally, killed = notes(folder), Tally(), []
    plan, store = toy.plan(n_tasks, journal=str(noted_in), wait_s=0.1), LocalStore(folder / "layers")
    with Outside(folder) as outside:

        def kill(event: Event) -> None:
            if event.kind == "partition" and not killed:
                killed.append(time.monotonic())
                outside.scheduler.kill()

        try:
            with start(outside.spec) as running:
                running.client.wait_for_workers(1, timeout=120)
                run_plan(plan, store, on(running.client), listener=kill, group_tasks=1)
        except SkyloomError as error:
            tally.count(error.kind == "cluster-lost" or "run the same command again" in error.message)
            noticed_s = time.monotonic() - killed[0]
        else:
            return Tally(1, note="the run did not notice")
        finish(plan, store)
    tally.add(check_layer(reader_of(store.root), toy_rows(n_tasks), root=store.root))
    tally.note = (
        f"noticed after {noticed_s:.1f} s; computed again: {len(toy.executions(noted_in)) - n_tasks} of {n_tasks}"
    )
    return tally


def zombie(folder: Path, *, n_tasks: int = 12) -> Tally:
    """C11: worker and nanny are stopped in the middle of a partition, given up, and wake when all is done."""
    noted_in, tally, frozen = notes(folder), Tally(), threading.Event()
    plan, store = noted(n_tasks, noted_in, wait_s=0.7), LocalStore(folder / "layers")
    stopped: list[psutil.Process] = []
    before: dict[str, int] = {}

    def stop_one(outside: Outside) -> None:
        _wait_for(lambda: len(toy.executions(noted_in)), 2)
        time.sleep(0.1)
        worker = newest_worker(noted_in)
        family = next((f for f in outside.families() if worker in {p.pid for p in f}), [])
        for process in family:
            process.send_signal(signal.SIGSTOP)
        stopped.extend(family)
        before.update(_ended(noted_in))
        frozen.set()

    with Outside(folder, worker_ttl="5s") as outside:
        with start(outside.spec) as running:
            running.client.wait_for_workers(2, timeout=120)
            thread = threading.Thread(target=stop_one, args=(outside,), daemon=True)
            thread.start()
            sealed(plan, store, on(running.client), group_tasks=1)
            thread.join()
        committed = _digests(store)
        asleep = {p.pid for p in stopped}
        for process in stopped[1:]:  # the nanny sleeps on: awake, it would kill its worker
            process.send_signal(signal.SIGCONT)
        _wait_for(lambda: sum(_ended(noted_in).get(str(pid), 0) - before.get(str(pid), 0) for pid in asleep), 1)
        time.sleep(1.0)  # what comes after its note: to write, to lose the name, to record
    tally.count(bool(stopped) and frozen.is_set() and _digests(store) == committed)
    tally.add(check_layer(reader_of(store.root), toy_rows(n_tasks), root=store.root))
    twice = sum(_ended(noted_in).values()) - n_tasks
    tally.note = f"partitions that two workers brought to an end: {twice}; each has one file, unchanged"
    return tally


def _ended(noted_in: Path) -> dict[str, int]:
    return {path.name.removeprefix("ended-"): len(path.read_text().split()) for path in noted_in.glob("ended-*")}


def _digests(store: LocalStore) -> dict[str, tuple[int, bytes]]:
    files = Path(store.root).rglob("dataset/**/*.parquet")
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def killed_replacement(folder: Path, *, after_s: float = 14.85) -> Tally:
    """C12: a worker is killed, and its replacement when Dask by default would look whether it came back."""
    noted_in, tally = notes(folder), Tally()
    plan, store = toy.plan(60, journal=str(noted_in), wait_s=0.6), LocalStore(folder / "layers")

    def kill() -> None:
        _wait_for(lambda: len(toy.executions(noted_in)), 1)
        for wait_s in (0.0, after_s):
            time.sleep(wait_s)
            worker = newest_worker(noted_in)
            if worker is not None:
                os.kill(worker, signal.SIGKILL)
                tally.injected += 1

    with start(ClusterSpec(workers=1, dashboard="")) as running:
        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        sealed(plan, store, on(running.client), group_tasks=1)
        thread.join()
    tally.survived = tally.injected
    tally.add(check_layer(reader_of(store.root), toy_rows(60), root=store.root))
    tally.note = f"one worker, killed at 0 and after {after_s} s"
    return tally


def gil_hang(folder: Path) -> Tally:
    """C14: a row sleeps for ever and holds the GIL; its worker is killed at the deadline of 3 s."""
    store, bad = LocalStore(folder / "layers"), {133: "gil"}
    plan = toy.poisoned(16, bad, rows=10, limits=Limits(deadline_s=3.0))
    with start(ClusterSpec(workers=2, dashboard="")) as running:
        running.client.wait_for_workers(2, timeout=120)
        started = time.monotonic()
        sealed(plan, store, on(running.client), group_tasks=2)
        wall_s = time.monotonic() - started
    found = check_layer(
        reader_of(store.root), Expected(range(160), math.sin, {133: toy.CAUSES["gil"]}), root=store.root
    )
    tally = Tally(1, int(not found.wrong), note=f"found and flagged {wall_s:.1f} s after the start")
    tally.add(found)
    return tally


def full_scratch(folder: Path) -> Tally:
    """C16: the scratch directory of the workers is full; the run does not need it."""
    import dask

    place, store, plan = folder / "scratch", LocalStore(folder / "layers"), toy.plan(40)
    with mounted(place, 4) as why_not:
        if why_not:
            return Tally(skipped=why_not)
        with (
            dask.config.set({"temporary-directory": str(place)}),
            start(ClusterSpec(workers=2, dashboard="")) as it,
        ):
            it.client.wait_for_workers(2, timeout=120)
            used = any(place.iterdir())
            full = _filled(place / "ballast")
            started = time.monotonic()
            sealed(plan, store, on(it.client))
            wall_s = time.monotonic() - started
            full = full and _filled(place / "more")
    tally = Tally(note=f"ended {wall_s:.1f} s after it was full")
    tally.count(used and full)
    tally.add(check_layer(reader_of(store.root), toy_rows(40), root=store.root))
    return tally


def _filled(path: Path) -> bool:
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        return error.errno == errno.ENOSPC
