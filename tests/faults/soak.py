"""Chaos for a while: ``python -m tests.faults.soak --minutes 30 --seed 1``.

Two drivers of one job share a cluster. Workers, drivers and the scheduler are killed at
random, rows are poisonous, temporary files are collected meanwhile. When the job is
published its layer is checked from the files alone, and the next job begins, which becomes
the next version. At the end memory growth is measured, and mutated files are read.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from skyloom.engine import collect, history
from skyloom.engine.collect import leftovers
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.faults.checking import Expected, check_layer, files_of, reader_of
from tests.faults.children import AGAIN, CONFLICT, Outside
from tests.faults.driver import plan_of, start_driver
from tests.faults.fuzz import fuzz
from tests.faults.growth import memory_growth
from tests.faults.tally import Tally

__all__ = ["main"]

ROWS = 100
KINDS = ("raise", "segfault", "hang", "memory")
POISON = 0.001
PER_START = {"worker": 4.0, "driver": 12.0, "scheduler": 36.0}
"""Mean time between two kills, in times that a worker takes to be replaced; in seconds at least `FLOOR_S`."""
FLOOR_S = {"worker": 8.0, "driver": 25.0, "scheduler": 75.0}
GROWTH = 0.05
JOB_S = 900.0
"""A job that is not published after so long is stuck."""


@dataclass
class Soak:
    """What was done, and what was found."""

    folder: Path
    random: random.Random
    partitions: int
    kills: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    jobs: int = 0
    poison: int = 0
    acknowledged: int = 0
    forgotten: int = 0
    collected: int = 0
    left_over: int = 0
    restarts: int = 0
    rss_bytes: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "layers")

    def plan(self) -> dict[str, Any]:
        """Return the next job: other settings, other poison."""
        rows = self.partitions * ROWS
        bad = self.random.sample(range(rows), max(1, round(POISON * rows)))
        return {
            "n_tasks": self.partitions,
            "rows": ROWS,
            "poison": {str(row): KINDS[i % len(KINDS)] for i, row in enumerate(sorted(bad))},
            "row_s": 0.0005,
            "limits": {"deadline_s": 2.0, "memory_bytes": 1_000_000_000},
            "identity": {"version": 1, "settings": self.jobs},
        }

    def chaos(self, until: float, pauses_s: dict[str, float]) -> None:
        """Run jobs one after the other until the time is over; the last one is brought to its end calmly."""
        with Outside(self.folder) as outside:
            while time.monotonic() < until:
                values = self.plan()
                self.jobs += 1
                _Job(self, outside, values, pauses_s, until).run()

    def seen(self, memory_bytes: int) -> None:
        """Note how much memory a process took."""
        self.rss_bytes = max(self.rss_bytes, memory_bytes)


class _Job:
    """One job with two drivers, on a cluster that is killed in parts."""

    def __init__(
        self, soak: Soak, outside: Outside, values: dict[str, Any], pauses_s: dict[str, float], until: float
    ) -> None:
        self.soak, self.outside, self.values, self.until = soak, outside, values, until
        self.pauses_s = pauses_s
        self.drivers: list[subprocess.Popen[bytes] | None] = [None, None]
        self.next_s = {what: self.later(what) for what in PER_START}

    def later(self, what: str) -> float:
        return time.monotonic() + self.soak.random.expovariate(1 / self.pauses_s[what])

    def run(self) -> None:
        soak, version = self.soak, len(history(self.soak.store, "toy")) + 1
        give_up = time.monotonic() + JOB_S
        try:
            while not all(driver is not None and driver.poll() == 0 for driver in self.drivers):
                self.tend()
                if time.monotonic() > give_up:
                    soak.violations.append(f"job {soak.jobs} was not published after {JOB_S:.0f} s")
                    return
                if time.monotonic() < self.until:
                    self.kill_some()
                soak.collected += len(collect(soak.store, "toy"))
                self.watch()
                time.sleep(0.2)
        finally:
            for driver in self.drivers:
                _end(driver)
        self.check(version)

    def tend(self) -> None:
        """Start what is not there: drivers that were killed, or told to run again."""
        if self.outside.scheduler.poll() is not None:
            self.outside.end()
            self.outside.begin()
        for i, driver in enumerate(self.drivers):
            code = None if driver is None else driver.poll()
            if driver is not None and (code is None or code == 0):
                continue
            if code not in {None, AGAIN, CONFLICT, -signal.SIGKILL}:
                said = (self.soak.folder / f"driver-{i}.err").read_text()[-600:]
                self.soak.violations.append(f"a driver ended with {code}: {said}")
            self.soak.restarts += driver is not None
            _end(driver)
            file = self.soak.folder / f"driver-{i}.json"
            self.drivers[i] = start_driver(
                file, self.values, Path(self.soak.store.root), cluster=self.outside.address, group_tasks=2
            )

    def kill_some(self) -> None:
        for what in PER_START:
            if time.monotonic() >= self.next_s[what]:
                self.next_s[what] = self.later(what)
                victims = [pid for pid in self.victims(what) if psutil.pid_exists(pid)]
                if victims:
                    with suppress(ProcessLookupError):
                        os.kill(self.soak.random.choice(victims), signal.SIGKILL)
                        self.soak.kills[what] += 1

    def victims(self, what: str) -> list[int]:
        if what == "worker":
            return [process.pid for process in self.outside.workers()]
        if what == "driver":
            return [driver.pid for driver in self.drivers if driver is not None and driver.poll() is None]
        return [self.outside.scheduler.pid]

    def watch(self) -> None:
        drivers = [psutil.Process(d.pid) for d in self.drivers if d is not None and d.poll() is None]
        for process in (*drivers, *self.outside.workers()):
            with suppress(psutil.Error):
                self.soak.seen(process.memory_info().rss)

    def check(self, version: int) -> None:
        """Compare what was published, and what drivers were told, with what is there."""
        soak, root = self.soak, Path(self.soak.store.root)
        plan = plan_of(self.values)
        versions = history(soak.store, "toy")
        if len(versions) != version or versions[-1].job_id != plan.job_id:
            soak.violations.append(f"version {version} is not that of job {soak.jobs}: {versions[-1:]}")
            return
        poison = {int(row): toy.CAUSES[kind] for row, kind in self.values["poison"].items()}
        soak.poison += len(poison)
        expected = Expected(range(self.values["n_tasks"] * ROWS), math.sin, poison)
        found = check_layer(reader_of(root), expected, version=version, root=root)
        soak.tally.add(found)
        if found.lost or found.duplicated or found.torn or found.wrong:
            soak.violations.append(f"version {version}: {found}")
        told = _acknowledged(root / "toy" / "jobs" / plan.job_id / "log")
        there = files_of(root / "toy" / "jobs" / plan.job_id / "dataset")
        missing = {key for key in told if f"{key}.parquet" not in there}
        soak.acknowledged += len(told)
        soak.forgotten += len(missing)
        if missing:
            soak.violations.append(f"version {version}: {len(missing)} acknowledged partitions are gone")
        collect(soak.store, "toy")
        left = [leftover.name for leftover in leftovers(soak.store, "toy")]
        left += [str(path) for path in root.rglob(".tmp-*")]
        soak.left_over += len(left)
        print(f"  version {version}: {found.rows_out} rows, kills so far {dict(soak.kills)}", flush=True)


def _acknowledged(log: Path) -> set[str]:
    """Return the partitions that drivers noted as committed; the last line of a killed one may be torn."""
    told = set()
    for path in log.iterdir():
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if event["event"] == "partition":
                    told.add(event["key"])
    return told


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def worker_start_s(folder: Path) -> float:
    """Return how long a killed worker takes to be replaced, here and now."""
    from distributed import Client

    with Outside(folder, workers=1) as outside, Client(outside.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=300)
        before = set(client.scheduler_info()["workers"])
        (worker,) = outside.workers()[:1]
        started = time.monotonic()
        worker.kill()
        while not set(client.scheduler_info()["workers"]) - before:
            time.sleep(0.05)
            if time.monotonic() - started > 300:
                raise TimeoutError("a killed worker was not replaced")
        return time.monotonic() - started


def main(argv: list[str] | None = None) -> int:
    """Return 0 if nothing was lost, doubled, torn or left, and no process failed in its own way."""
    parser = argparse.ArgumentParser(description="Kill workers, drivers and scheduler of runs for a while.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=400, help="of each job")
    parser.add_argument("--fuzz", type=int, default=2_000, help="mutated files to read")
    parser.add_argument("--growth", type=int, default=2_000, help="partitions over which memory must not grow")
    options = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    until = time.monotonic() + 60 * options.minutes
    folder = Path(tempfile.mkdtemp(prefix="skyloom-soak-"))
    soak = Soak(folder, random.Random(options.seed), options.partitions)
    try:
        start_s = worker_start_s(folder)
        pauses_s = {what: max(FLOOR_S[what], times * start_s) for what, times in PER_START.items()}
        pauses = ", ".join(f"{what} {pause_s:.0f} s" for what, pause_s in pauses_s.items())
        print(f"seed {options.seed}; a worker is replaced in {start_s:.1f} s; between kills: {pauses}", flush=True)
        soak.chaos(until, pauses_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    grown = memory_growth(options.growth)
    if grown > GROWTH:
        soak.violations.append(f"memory grew by {grown:.1%} over {options.growth} partitions")
    read = fuzz(options.fuzz, seed=options.seed)
    soak.violations += read.violations
    tally = soak.tally
    said = (
        f"chaos: seed {options.seed}, {soak.jobs} jobs of {options.partitions} partitions, "
        f"kills {dict(soak.kills)}, drivers started again {soak.restarts}",
        f"rows in {tally.rows_in}, rows out {tally.rows_out}, lost {tally.lost}, duplicated {tally.duplicated}, "
        f"torn {tally.torn}, wrong or unflagged {tally.wrong} ({soak.poison} poison rows)",
        f"acknowledged {soak.acknowledged}, of which gone {soak.forgotten}; temporary files collected "
        f"{soak.collected}, left over {soak.left_over}; largest process {soak.rss_bytes / 1e6:.0f} MB",
        f"memory over {options.growth} partitions: {grown:+.1%}",
        f"fuzz: {read}",
    )
    print("\n".join(said))
    if soak.left_over:
        soak.violations.append(f"{soak.left_over} files were left over")
    for violation in soak.violations:
        print(f"VIOLATION {violation}")
    print(f"{len(soak.violations)} violations")
    return 1 if soak.violations or not tally.rows_in else 0


if __name__ == "__main__":
    sys.exit(main())
