"""Run a plan: state it, find what is committed, do the rest, and say what is missing."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from skyloom.engine.abort import refuse_aborted
from skyloom.engine.dispatch import Executor, describe_failures, dispatch
from skyloom.engine.events import Event, EventLog, Listener, values_of
from skyloom.engine.journal import Journal
from skyloom.engine.lease import held, holders
from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Plan, pending
from skyloom.engine.records import Record
from skyloom.engine.stopping import stopping
from skyloom.errors import ErrorKind, TransientError
from skyloom.storage import Store

__all__ = ["RunSummary", "run_plan"]

logger = logging.getLogger(__name__)

ExecutorSource = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did."""

    records: tuple[Record, ...]
    """One per partition, in plan order."""
    reused: int
    """Partitions that were committed before this run."""
    computed: int
    """Partitions that this run computed and committed."""
    wall_s: float
    seconds: dict[str, float] = field(default_factory=dict)
    """Summed over workers, by what the time went into."""

    @property
    def flagged(self) -> int:
        """Rows with a flag."""
        return sum(record.flagged for record in self.records)

    @property
    def quarantined(self) -> int:
        """Rows in quarantine."""
        return sum(record.quarantined for record in self.records)


def run_plan(
    plan: Plan,
    store: Store,
    executor: ExecutorSource,
    *,
    listener: Listener | None = None,
    group_tasks: int | None = None,
) -> RunSummary:
    """Bring every task of `plan` to its record.

    Parameters
    ----------
    plan : Plan
    store : Store
        Where the layer lies.
    executor : callable
        Returns the context manager of an executor; called only if there is work left.
    listener : callable, optional
        Told of every `Event`.
    group_tasks : int, optional
        Partitions per task of the scheduler; measured out by default.

    Raises
    ------
    TransientError
        If partitions failed, or the run was cut short by Ctrl-C (once: what runs is finished
        first), a full store or a lost cluster: run the same command again.
    ConflictError
        If the job id stands for other work in this store, or the job was aborted.
    """
    started = time.monotonic()
    journal = Journal(store, plan.layer, plan.job_id)
    journal.begin(plan)
    refuse_aborted(journal)
    before = tuple(journal.records(plan.tasks))
    todo = pending(plan, before)
    _say_others(journal)
    counts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    with _log(journal, listener) as tell, held(journal) as lease:
        tell(
            Event(
                "planned",
                {
                    "job_id": plan.job_id,
                    "partitions": len(plan.tasks),
                    "rows": plan.rows,
                    "partitions_left": len(todo),
                    "rows_left": sum(task.rows for task in todo),
                },
            )
        )
        failures = []
        if todo:
            with stopping() as stop, executor() as workers:
                for outcome in dispatch(plan.work(store.root), todo, workers, group_tasks=group_tasks, stop=stop):
                    counts[outcome.status] += 1
                    seconds.update(outcome.seconds)
                    tell(_event(outcome))
                    if lease is not None:
                        lease.check()
                    if outcome.status == "failed":
                        failures.append(outcome)
        if failures:
            _raise_incomplete(plan, failures)
        records = tuple(journal.records(plan.tasks)) if todo else before
    return RunSummary(
        records=records,
        reused=len(plan.tasks) - len(todo),
        computed=counts["computed"],
        wall_s=time.monotonic() - started,
        seconds=dict(seconds),
    )


def _say_others(journal: Journal) -> None:
    for other in holders(journal):
        logger.warning(
            "another run of this job is active on %s; both go on, and of each partition the first result is kept",
            other,
        )


@contextmanager
def _log(journal: Journal, listener: Listener | None) -> Iterator[Listener]:
    with EventLog(journal.store, journal.name("log"), listener) as log:
        yield log


def _event(outcome: Outcome) -> Event:
    return Event("failed" if outcome.status == "failed" else "partition", values_of(outcome))


def _raise_incomplete(plan: Plan, failures: list[Outcome]) -> None:
    msg = (
        f"layer {plan.layer} is incomplete: {len(failures)} of {len(plan.tasks)} partitions failed, and nothing "
        f"was published:\n{describe_failures(failures)}\n"
        "The other partitions are committed; running the same command again computes only these."
    )
    raise TransientError(msg, kind=ErrorKind.INCOMPLETE, failed=len(failures), layer=plan.layer)
