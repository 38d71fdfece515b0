"""Who takes part: drivers, workers, readers and the collection of leftovers, on the real code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import pyarrow as pa

from skyloom.engine import Computed, Fault, Journal, Plan, Task, pending, rows_digest
from skyloom.errors import ErrorKind, NotFoundError, SkyloomError, TransientError
from skyloom.storage import LocalStore, sha256_bytes
from skyloom.storage.store import TEMPORARY
from tests.faults.simulator.files import ROOT, SimulatedFiles
from tests.faults.simulator.invariants import Told, Violation
from tests.faults.simulator.schedule import Actor, Scheduler

__all__ = ["World", "collect", "drive", "make_plan", "read_layer", "work"]

# Modules, not their functions: a mutation replaces the functions there.
publishing: Any = import_module("skyloom.engine.publish")
sealing: Any = import_module("skyloom.engine.seal")
working: Any = import_module("skyloom.engine.worker")

LAYER = "toy"
ROWS = 4
VARIANTS = 4
"""Different contents that attempts of one task may make, as a model on unlike devices would."""
SCHEMA = pa.schema([("id", pa.int64()), ("value", pa.float64()), ("toy_flag", pa.uint32())])


@cache
def make_plan(job: str, partitions: int) -> Plan:
    """Return the plan of a job; settings carry the digests of the input's row keys."""
    tasks = tuple(Task(f"Dir=0/Npix={i}", ROWS, 1, sha256_bytes(b"%d" % i)) for i in range(partitions))
    return Plan(
        layer=LAYER,
        identity={"job": job, "partitions": partitions},
        schema=SCHEMA,
        row_keys=("id",),
        tasks=tasks,
        entry="",
        settings={"row_keys": {task.key: rows_digest(_ids(number(task)), ["id"]) for task in tasks}},
    )


def number(task: Task) -> int:
    """Return which partition a task is."""
    return int(task.key.rpartition("=")[2])


def _ids(partition: int) -> pa.Table:
    return pa.table({"id": pa.array(range(partition * ROWS, (partition + 1) * ROWS), pa.int64())})


@cache
def _compute(job_id: str, row_keys: str, partition: int, variant: int) -> Computed:
    ids = _ids(partition).column("id")
    faults = (Fault(1, "raised", "no such star"),) if partition == 0 else ()
    flags = pa.array([int(any(f.row == i for f in faults)) for i in range(ROWS)], pa.uint32())
    values = pa.array([float(variant)] * ROWS, pa.float64())
    table = pa.table([ids, values, flags], schema=SCHEMA)
    return Computed(table, row_keys, faults, "toy_flag")


@dataclass(frozen=True)
class Wavering:
    """A processor whose values differ from attempt to attempt, so that two contents can be told apart."""

    plan: Plan
    variant: int

    def process(self, task: Task) -> Computed:
        keys: Mapping[str, str] = self.plan.settings["row_keys"]
        return _compute(self.plan.job_id, keys[task.key], number(task), self.variant)


class World:
    """A disk, those who work on it, and what they were told.

    Parameters
    ----------
    random : Random
        Decides everything that is left to chance.
    plans : tuple of Plan
        The jobs, all of one layer.
    """

    def __init__(self, random: Random, plans: tuple[Plan, ...]) -> None:
        self.random = random
        self.plans = plans
        self.scheduler = Scheduler(random)
        self.files = SimulatedFiles(self.scheduler.step, random)
        self.files.linked = self._check_agreed
        self.told = Told()
        self.store = LocalStore(ROOT, self.files)
        self.works = {plan.job_id: plan.work(ROOT) for plan in plans}

    def _check_agreed(self, path: str) -> None:
        """A version may only replace the one that its driver had seen."""
        driver = self.scheduler.current
        if "/refs/v" in path and driver is not None and path[-13:-5] != f"{driver.agreed + 1:08d}":
            raise Violation(f"I4 {path} was made by a driver that agreed to replace version {driver.agreed}")

    def spawn_work(self, plan: Plan, task: Task) -> Actor:
        """Start one attempt of a task."""
        processor = Wavering(plan, int(self.random.random() * VARIANTS))
        return self.scheduler.spawn("worker", lambda _: work(self, plan, processor, task))


def expected(error: Exception) -> bool:
    """Return whether a driver may end so and be started again; anything else breaks the protocol."""
    if isinstance(error, SkyloomError):
        return isinstance(error, TransientError) or error.kind == ErrorKind.PUBLISH_CONFLICT
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def work(world: World, plan: Plan, processor: Wavering, task: Task) -> None:
    """Do one attempt of a task, as a worker process does."""
    store = world.store
    try:
        working.run_task(world.works[plan.job_id], processor, store, task)
    except (SkyloomError, OSError) as error:
        if not expected(error):
            raise Violation(f"a worker on {task.key} ended with {error!r}") from error
        return
    data = world.files.peek(store.location(Journal(store, LAYER, plan.job_id).data(task.key)))
    world.told.record(plan.job_id, task.key, "nothing" if data is None else sha256_bytes(data))


def drive(world: World, actor: Actor, plan: Plan) -> bool:
    """Bring a job to its publication, as a driver does; return whether it got there."""
    try:
        _drive(world, actor, plan)
    except (SkyloomError, OSError) as error:
        if not expected(error):
            raise Violation(f"a driver ended with {error!r}") from error
        return False
    return True


def _drive(world: World, actor: Actor, plan: Plan) -> None:
    store = world.store
    versions = publishing.history(store, LAYER)
    if versions and versions[-1].job_id == plan.job_id:
        world.told.reference(versions[-1])
        return
    actor.agreed = len(versions)
    journal = Journal(store, LAYER, plan.job_id)
    journal.begin(plan)
    records = tuple(journal.records(plan.tasks))
    while left := pending(plan, records):
        attempts = [task for task in left for _ in range(1 + (world.random.random() < 0.4))]
        actor.awaited = [world.spawn_work(plan, task) for task in attempts]
        # A turn that comes only when these have ended, or when the driver believes them lost.
        world.scheduler.step("wait")
        records = tuple(journal.records(plan.tasks))
    manifest = sealing.seal(journal, plan, records, face={"face.json": b"{}"}, provenance={})
    reference = publishing.publish(journal, manifest, agreed=actor.agreed)
    if reference.job_id != plan.job_id or reference.version <= actor.agreed:
        raise Violation(f"I4 a driver that agreed to replace {actor.agreed} was given {reference}")
    world.told.reference(reference)


def read_layer(world: World) -> None:
    """Read the newest version whole, as a reader does; what it saw stays true."""
    store = world.store
    try:
        version = publishing.published(store, LAYER)
        world.told.reference(version.reference)
        rows = 0
        for file in version.files:
            if sha256_bytes(store.read(version.journal.data(file.key))) != file.sha256:
                raise Violation(f"I2 a reader found other bytes of {file.key} than version {version.reference}")
            rows += file.rows
    except (SkyloomError, OSError) as error:
        absent = isinstance(error, NotFoundError) and error.kind == ErrorKind.NOT_FINISHED
        if not absent and not expected(error):
            raise Violation(f"I4 a reader ended with {error!r}") from error
        return
    if rows != version.manifest.rows or rows != ROWS * len(version.files):
        raise Violation(f"I3 a reader found {rows} rows of {version.manifest.rows}")


def collect(world: World) -> None:
    """Remove temporary files, whosever they are: their owner's link fails and it tries again."""
    files = world.files
    for path in files.walk(world.store.path(LAYER)):
        if path.name.startswith(TEMPORARY):
            files.unlink(path)
