"""How far a layer's newest job is, and how it is: from its files alone.

Whoever can read the store can look, from any terminal or machine, while the run is on and after
it died. What a driver tells its own progress bar it also writes to its log, line by line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from skyloom.engine import Journal, history, holders
from skyloom.engine.abort import aborted
from skyloom.engine.lease import LEASE_S
from skyloom.engine.tally import Tally
from skyloom.errors import ErrorKind, NotFoundError, close_matches
from skyloom.storage import LocalStore, Store, open_store
from skyloom.storage.names import check_name

__all__ = ["Status", "Watch", "WorkerStatus", "layer_status", "run_of"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What one worker process has done in the newest run."""

    process: int
    partitions: int
    rows: int
    busy_s: float
    """Time spent in partitions; those that it reads ahead overlap."""
    seconds: dict[str, float]
    """The same by what it went into, such as ``model`` and ``commit_s``."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a job is."""

    layer: str
    job_id: str
    state: str
    """``running``; ``published``; ``computed`` (all done, not published); ``stopped`` (it said why);
    ``died`` (it could not say); ``aborted``."""
    partitions: int
    partitions_done: int
    partitions_failed: int
    """Given up in the newest run; the same command tries them again."""
    rows: int
    rows_done: int
    flagged: int
    """Rows with a flag, of the partitions computed in the newest run."""
    quarantined: int
    """The like: rows that raised or killed their worker."""
    rows_per_s: float
    """Of the last minute while it runs, else of the whole run."""
    seconds_left: float | None
    """None unless it runs and its pace is known."""
    begun: str
    """When the newest run began; UTC, ISO 8601."""
    last_event: str
    """When it last said something."""
    runner: str
    """Host and process of whoever runs it now; empty for nobody."""
    reason: str
    """Why it stopped, or the first failure; empty for no trouble."""
    version: int | None
    """Version of the layer that the job was published as."""
    workers: tuple[WorkerStatus, ...]

    @property
    def at_work(self) -> bool:
        """Whether it may still go on by itself."""
        return self.state == "running"


class Watch:
    """Look at a layer again and again; each look reads what is new.

    Parameters
    ----------
    layer : str
    store : str or Path
        The folder or URL where layers lie.

    Raises
    ------
    NotFoundError
        If no run of such a layer was ever begun there; the close names are offered.
    """

    def __init__(self, layer: str, store: str | Path) -> None:
        self._layer, self._store = check_name(layer, what="layer"), open_store(store)
        self._log: _RunLog | None = None
        if _newest(self._store, layer) is None:
            there = [name for name in self._store.names("") if self._store.names(f"{name}/jobs")]
            msg = f"no run of layer {layer!r} was begun in {self._store.root}; {close_matches(layer, there)}"
            raise NotFoundError(msg, kind=ErrorKind.NOT_FINISHED, layer=layer)

    def look(self) -> Status:
        """Return how the newest run is now."""
        job_id, run = _newest(self._store, self._layer) or ("", "")
        journal = Journal(self._store, self._layer, job_id)
        # Who runs it is asked first: what ends between the two questions has its last word in the log.
        running = holders(journal)
        if self._log is None or self._log.place != (job_id, run):
            self._log = _RunLog(job_id, run)
        self._log.read_on(journal)
        runner = " and ".join(map(str, running))
        if not isinstance(self._store, LocalStore) and self._log.silent_s < LEASE_S:
            runner = f"a driver that was heard of {self._log.silent_s:.0f} s ago"  # no heartbeat is kept there
        return self._log.status(journal, running=runner)


def layer_status(layer: str, store: str | Path) -> Status:
    """Return how the newest job of a layer is.

    Raises
    ------
    NotFoundError
        If no run of such a layer was ever begun there.
    """
    return Watch(layer, store).look()


def _newest(store: Store, layer: str) -> tuple[str, str] | None:
    """Return job id and log of the run that began last: names of logs begin with the time."""
    logs = [
        (run_of(name), job_id)
        for job_id in store.names(f"{layer}/jobs")
        for name in store.names(f"{layer}/jobs/{job_id}/log")
    ]
    if not logs:
        return None
    run, job_id = max(logs)
    return job_id, run


def run_of(log: str) -> str:
    """Return the run that a log is of; its pieces in an object store have a number before the suffix."""
    run = log.removesuffix(".jsonl")
    whole, _, number = run.rpartition(".")
    return whole if len(number) == 5 and number.isdigit() else run


class _RunLog:
    """The log of one run, summed up as far as it was read."""

    def __init__(self, job_id: str, run: str) -> None:
        self.place = (job_id, run)
        self._run = run
        self._read: dict[str, int] = {}
        """Characters of each piece that are summed up already."""
        self._tally = Tally()

    def read_on(self, journal: Journal) -> None:
        for line in self._new_lines(journal):
            self._tally.add(json.loads(line))

    @property
    def silent_s(self) -> float:
        """How long ago it said something."""
        return time.time() - self._tally.last_s

    def _new_lines(self, journal: Journal) -> Iterator[str]:
        """Yield whole lines that were not read before; the last one may not be written out yet."""
        folder = journal.name("log")
        for name in (n for n in journal.store.names(folder) if run_of(n) == self._run):
            text = journal.store.read(f"{folder}/{name}").decode()
            end = text.rfind("\n") + 1
            yield from text[self._read.get(name, 0) : end].splitlines()
            self._read[name] = end

    def status(self, journal: Journal, *, running: str) -> Status:
        tally, version = self._tally, _version(journal)
        state = self._state(journal, running=bool(running), version=version)
        now_s = time.time() if state == "running" else None
        return Status(
            layer=journal.layer,
            job_id=journal.job_id,
            state=state,
            partitions=tally.partitions,
            partitions_done=tally.partitions_done,
            partitions_failed=tally.failed,
            rows=tally.rows,
            rows_done=tally.rows_done,
            flagged=tally.flagged,
            quarantined=tally.quarantined,
            rows_per_s=tally.rate(now_s),
            seconds_left=None if now_s is None else tally.seconds_left(now_s),
            begun=_utc(tally.begun_s),
            last_event=_utc(tally.last_s),
            runner=running if state == "running" else "",
            reason=tally.stopped or tally.failure,
            version=version,
            workers=tuple(
                WorkerStatus(process, each.partitions, each.rows, each.busy_s, dict(each.seconds))
                for process, each in sorted(tally.workers.items())
            ),
        )

    def _state(self, journal: Journal, *, running: bool, version: int | None) -> str:
        if version is not None:
            return "published"
        if aborted(journal) is not None:
            return "aborted"
        if self._tally.stopped:
            return "stopped"
        if running:
            return "running"
        done = self._tally.planned and self._tally.partitions_done == self._tally.partitions
        return "computed" if done else "died"


def _version(journal: Journal) -> int | None:
    """Return the version that this job was published as, the newest of them."""
    if not journal.store.exists(journal.name("manifest.json")):
        return None
    for reference in reversed(history(journal.store, journal.layer)):
        if reference.job_id == journal.job_id:
            return reference.version
    return None


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time_s else ""
