"""Replay: compute partitions of a published version again beside it, and compare bit for bit."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from skyloom.engine.collect import SCRATCH
from skyloom.engine.plan import Plan, Task
from skyloom.engine.publish import Published, Reference
from skyloom.engine.records import Record
from skyloom.engine.run import ExecutorSource, run_plan
from skyloom.errors import ConflictError, ErrorKind, SpecError
from skyloom.storage import Store, mender_of, open_store

__all__ = ["Replayed", "check_same_job", "recomputed", "replay"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found."""

    keys: tuple[str, ...]
    """Partitions that were computed again, as the seed chose them."""
    different: tuple[str, ...] = ()
    """Those whose values are not bit for bit those published."""


def replay(pinned: Published, plan: Plan, executor: ExecutorSource, *, partitions: int, seed: int = 0) -> Replayed:
    """Compute some partitions again, and compare their values bit for bit with the published ones.

    Parameters
    ----------
    pinned : Published
    plan : Plan
        Of the same job.
    executor : callable
        As for `run_plan`.
    partitions : int
        How many, at most; chosen at random.
    seed : int
        The same seed chooses the same partitions.

    Raises
    ------
    ConflictError
        If `plan` is of another job.
    SpecError
        If `partitions` is below 1.
    """
    check_same_job(pinned.reference, plan)
    if partitions < 1:
        msg = f"replay at least 1 partition, not {partitions}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    chosen = random.Random(seed).sample(plan.tasks, min(partitions, len(plan.tasks)))  # noqa: S311 (no secret)
    journal, different = pinned.journal, []
    with recomputed(journal.store, plan, chosen, executor) as (_, records):
        for record in records:
            name = journal.record(record.key)
            said = Record.from_json(journal.store.read(name), where=journal.store.location(name))
            if said.columns != record.columns:
                different.append(record.key)
    return Replayed(tuple(task.key for task in chosen), tuple(different))


def check_same_job(reference: Reference, plan: Plan) -> None:
    """Refuse a plan that would compute something else than what was published.

    Raises
    ------
    ConflictError
        If the job ids differ.
    """
    if plan.job_id != reference.job_id:
        msg = (
            f"version {reference.version} of layer {plan.layer} was made by job {reference.job_id}, and here the "
            f"job is {plan.job_id}: its inputs, model, settings, code, device or versions are not the same. "
            "`skyloom layer history` says what made each version; with what is here, run the job as a new version"
        )
        raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, layer=plan.layer, job_id=plan.job_id)


@contextmanager
def recomputed(
    store: Store, plan: Plan, tasks: Sequence[Task], executor: ExecutorSource
) -> Iterator[tuple[Store, tuple[Record, ...]]]:
    """Compute some tasks into a store of their own, which is removed at the end.

    It lies inside `store`, where every worker can write.
    """
    name = f"{SCRATCH}{uuid.uuid4().hex}"
    store.make_directories([name])
    scratch = open_store(store.location(name))
    try:
        yield scratch, run_plan(replace(plan, tasks=tuple(tasks)), scratch, executor).records
    finally:
        mender_of(store).remove(name)
