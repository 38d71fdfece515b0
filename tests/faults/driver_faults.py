"""Faults of drivers, disks and models without a cluster: rows C9, C10, C13, C15, C17, C19 and C24."""

from __future__ import annotations

import math
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skyloom.engine import Journal, Limits, history, publish, repair, run_plan, seal, verify
from skyloom.engine.guarded import run_guarded
from skyloom.errors import DataError, SkyloomError, StoreFullError
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.finished import DAMAGE, FACE, PROVENANCE, face, finish, in_process
from tests.faults.checking import Checked, Expected, check_layer, reader_of
from tests.faults.children import AGAIN, CONFLICT, CONTEXT, PATIENCE_S, drive, run_child, start_child
from tests.faults.processors import WIDE_ROWS, wide, wide_value
from tests.faults.protocol_faults import toy_rows
from tests.faults.tally import Tally

__all__ = [
    "collected_files",
    "damaged_files",
    "full_store",
    "mounted",
    "other_jobs",
    "poison_rows",
    "publish_race",
    "two_drivers",
]


def two_drivers(folder: Path, *, rounds: int = 3) -> Tally:
    """C9: two drivers of one job start together; there is one version, and both are content."""
    tally, executions = Tally(), 0
    for i in range(rounds):
        root, noted = folder / f"layers-{i}", folder / f"noted-{i}"
        noted.mkdir()
        plan, together = toy.plan(24, journal=str(noted), wait_s=0.02), CONTEXT.Barrier(2)
        drivers = [start_child(drive, plan, str(root), together=together) for _ in range(2)]
        for driver in drivers:
            driver.join(PATIENCE_S)
        tally.add(check_layer(reader_of(root), toy_rows(24), root=root))
        versions = len(history(LocalStore(root), "toy"))
        tally.count([driver.exitcode for driver in drivers] == [0, 0] and versions == 1)
        executions += len(toy.executions(noted))
    tally.note = f"{executions - 24 * rounds} of {24 * rounds} partitions computed twice"
    return tally


def publish_race(folder: Path, *, rounds: int = 10) -> Tally:
    """C10: two jobs of one layer publish at once; one is told of the other, and publishes when run again."""
    tally = Tally()
    for i in range(rounds):
        root, barrier = folder / f"layers-{i}", CONTEXT.Barrier(2)
        plans = [toy.plan(2, identity={"model": name}) for name in ("one", "other")]
        drivers = [start_child(drive, plan, str(root), before_publish=barrier, agreed=0) for plan in plans]
        for driver in drivers:
            driver.join(PATIENCE_S)
        codes = [driver.exitcode for driver in drivers]
        if sorted(codes) == [0, CONFLICT]:
            run_child(drive, plans[codes.index(CONFLICT)], str(root))
        versions = [v.job_id for v in history(LocalStore(root), "toy")]
        tally.count(sorted(versions) == sorted(plan.job_id for plan in plans))
        for version in range(1, len(versions) + 1):
            tally.add(check_layer(reader_of(root), toy_rows(2), version=version, root=root))
    return tally


KINDS = tuple(toy.CAUSES)
POISON_ROWS = 60


def poison_rows(folder: Path, *, kinds: tuple[str, ...] = KINDS) -> Tally:
    """C13: one bad row, and three, of each kind, found in child processes; all other rows as without them."""
    places = [((41,), kind) for kind in kinds] + [((0, 41, POISON_ROWS - 1), kind) for kind in kinds]
    poison = {i * POISON_ROWS + row: kind for i, (rows, kind) in enumerate(places) for row in rows}
    plan = toy.poisoned(
        len(places), poison, rows=POISON_ROWS, limits=Limits(memory_bytes=400_000_000, deadline_s=2.0)
    )
    store = LocalStore(folder / "layers")
    Journal(store, plan.layer, plan.job_id).begin(plan)
    work = plan.work(store.root)
    outcomes = run_guarded(work.work_id, work.to_json(), plan.tasks, memory_bytes=None, deadline_s=30)
    bad = [outcome.message for outcome in outcomes if outcome.status == "failed"]
    if bad:
        return Tally(len(poison), note=f"{len(bad)} partitions failed: {bad[0]}")
    finish(plan, store)
    expected = Expected(
        range(len(places) * POISON_ROWS), math.sin, {row: toy.CAUSES[kind] for row, kind in poison.items()}
    )
    found = check_layer(reader_of(store.root), expected, root=store.root)
    tally = Tally(len(poison), len(poison) if not found.wrong else 0, note=", ".join(kinds))
    tally.add(found)
    return tally


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[str]:
    """Mount a small file system in memory for a while; yield why that cannot be done, or nothing."""
    folder.mkdir()
    if os.geteuid() != 0:
        yield "only root can mount a small file system"
        return
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"no small file system can be mounted here ({done.stderr.strip()})"
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def full_store(folder: Path, *, n_tasks: int = 40) -> Tally:
    """C15: the store runs full; the run pauses and says so, and goes on when there is room."""
    place = folder / "small"
    with mounted(place, 3) as why_not:
        if why_not:
            return Tally(skipped=why_not)
        plan, store = wide(n_tasks), LocalStore(place / "layers")
        tally = Tally()
        try:
            run_plan(plan, store, in_process)
        except StoreFullError as error:
            tally.count("make room" in error.message)
        else:
            return Tally(1, note="the store did not run full")
        committed = len(list(Journal(store, "toy", plan.job_id).records(plan.tasks)))
        left = sum(1 for _ in place.rglob(".tmp-*"))
        tally.count(0 < committed < n_tasks and not left)
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        finish(plan, store)
        tally.add(
            check_layer(reader_of(store.root), Expected(range(n_tasks * WIDE_ROWS), wide_value), root=store.root)
        )
        tally.note = f"{committed} of {n_tasks} partitions committed before, {left} temporary files left"
    return tally


def damaged_files(folder: Path, *, n_tasks: int = 3) -> Tally:
    """C17: a committed file changes: the seal refuses it, `verify` names it, `repair` makes it again."""
    tally, plan = Tally(), toy.plan(n_tasks)
    for how, damage in DAMAGE.items():
        for task in plan.tasks:
            store = LocalStore(folder / f"{how}-{task.key[-1]}")
            journal = Journal(store, "toy", plan.job_id)
            records = run_plan(plan, store, in_process).records
            name = journal.data(task.key)
            whole = store.read(name)
            damage(store.path(name))
            try:
                seal(journal, plan, records, face=FACE, provenance=PROVENANCE)
            except (DataError, SkyloomError) as error:
                tally.count(task.key in f"{error.message} {error}")
            else:
                tally.count(False)
            store.path(name).unlink(missing_ok=True)
            store.put_if_absent(name, whole)
            manifest = seal(journal, plan, records, face=FACE, provenance=PROVENANCE)
            publish(journal, manifest, agreed=0)
            damage(store.path(name))
            tally.count({d.key for d in verify(store, "toy").differences} == {task.key})
            repair(store, "toy", plan, in_process, face=face)
            tally.add(check_layer(reader_of(store.root), toy_rows(n_tasks), root=store.root))
    tally.note = f"{', '.join(DAMAGE)}; before the seal and after"
    return tally


CHANGES = {"model": {"model": "newer"}, "settings": {"threshold": 2}, "code": {"code": "sha256:1"}}


def other_jobs(folder: Path) -> Tally:
    """C19: a run cut short is not continued by a job with another model, settings or code."""
    tally = Tally()
    for name, change in CHANGES.items():
        root = folder / name
        store, old, new = LocalStore(root), toy.plan(6), toy.plan(6, identity=change)
        with suppress(SkyloomError):
            finish(toy.plan(6, **{"raise": [3]}), store)
        finish(new, store)
        reused = run_plan(old, store, in_process).reused
        finish(old, store, agreed=1)
        tally.count(new.job_id != old.job_id and reused == 5)
        for version in (1, 2):
            tally.add(check_layer(reader_of(root), toy_rows(6), version=version, root=root))
    tally.note = ", ".join(CHANGES)
    return tally


def collected_files(folder: Path, *, n_tasks: int = 150) -> Tally:
    """C24: every temporary file is deleted as soon as it is seen, while a run goes on."""
    tally, ended, deleted, runs = Tally(), threading.Event(), 0, 0
    root = folder / "layers"
    # Where fsync takes no time a temporary file is hardly ever seen: tasks that wait do not help, more of them do.
    plan = toy.plan(n_tasks)

    def run() -> None:
        nonlocal runs
        until = time.monotonic() + PATIENCE_S
        code = AGAIN
        while code == AGAIN and time.monotonic() < until:
            code, runs = run_child(drive, plan, str(root)), runs + 1
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not ended.is_set():
        for path in root.rglob(".tmp-*"):
            with suppress(FileNotFoundError):
                path.unlink()
                deleted += 1
    thread.join()
    found = (
        check_layer(reader_of(root), toy_rows(n_tasks), root=root)
        if history(LocalStore(root), "toy")
        else Checked()
    )
    tally.add(found)
    tally.injected = tally.survived = deleted
    if not found.rows_in:
        tally.survived = 0
    tally.note = f"runs until it was finished: {runs}"
    return tally
