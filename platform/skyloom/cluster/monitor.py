"""What the scheduler knows of runs: told by drivers, shown by the dashboard's page and by ``/metrics``.

A driver sends every event that it writes to its log; sums are the same as those of
`skyloom status`. Nothing here decides anything: a run whose monitor is deaf goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import SchedulerPlugin

from skyloom.cluster.announce import NAME, TOPIC
from skyloom.engine.tally import Tally

__all__ = ["Machine", "Moment", "Monitor", "Watched", "collect_metrics"]

RUNS_KEPT = 8
SAMPLE_S = 1.0
SAMPLES = 1200
"""Points of a curve over time: when there are more, every other one is dropped, however long the run is."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How a run was at one time."""

    time_s: float
    done: int
    failed: int
    rows_per_s: float


@dataclass(slots=True)
class Watched:
    """One run, as its driver tells it."""

    layer: str
    job_id: str
    run: str
    tally: Tally = field(default_factory=Tally)
    ended: bool = False
    moments: deque[Moment] = field(default_factory=deque)
    _every_s: float = SAMPLE_S

    def add(self, event: Mapping[str, Any]) -> None:
        """Add an event, and a point of the curve when one is due."""
        self.tally.add(event)
        self.sample(event["time"])

    def sample(self, now_s: float, *, last: bool = False) -> None:
        """Note how the run is, if the last time was long enough ago, or there is no other time."""
        if not last and self.moments and now_s < self.moments[-1].time_s + self._every_s:
            return
        tally = self.tally
        self.moments.append(Moment(now_s, tally.partitions_done, tally.failed, tally.rate(now_s)))
        if len(self.moments) > SAMPLES:
            self.moments = deque(list(self.moments)[::2])
            self._every_s *= 2

    @property
    def state(self) -> str:
        """``running``, ``stopped`` or ``ended``."""
        if self.tally.stopped:
            return "stopped"
        return "ended" if self.ended else "running"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a worker uses now."""

    name: str
    memory_bytes: int
    gpu_memory_bytes: int | None = None
    """Of the GPU as a whole; None without one, or without ``nvidia-ml-py``."""
    gpu_use: float | None = None
    """Fraction of the last moments in which the GPU computed."""

    @classmethod
    def of(cls, state: Any) -> Machine:
        """Read it from what the worker sends with its heartbeat."""
        gpu = state.metrics.get("gpu") or {}
        use = gpu.get("utilization")
        return cls(
            name=str(state.name),
            memory_bytes=int(state.metrics.get("memory", 0)),
            gpu_memory_bytes=gpu.get("memory-used"),
            gpu_use=None if use is None else use / 100.0,
        )


class Monitor(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """The plugin of the scheduler that hears drivers."""

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self.scheduler: Any = None
        self.runs: dict[str, Watched] = {}

    async def start(self, scheduler: Any) -> None:
        """Keep the scheduler, which knows which process is which worker."""
        self.scheduler = scheduler
        collect_metrics(self)

    def log_event(self, topic: str, msg: Any) -> None:
        """Hear what a driver sends; others may log what they like under any other topic."""
        if topic != TOPIC:
            return
        watched = self.runs.get(msg["run"])
        if watched is None:
            watched = self.runs[msg["run"]] = Watched(msg["layer"], msg["job_id"], msg["run"])
            while len(self.runs) > RUNS_KEPT:
                del self.runs[next(iter(self.runs))]
        for event in msg["events"]:
            watched.add(event)
        if msg["ended"] and not watched.ended:
            watched.ended = True
            watched.sample(watched.tally.last_s, last=True)

    @property
    def newest(self) -> Watched | None:
        """The run that was heard of last for the first time."""
        return next(reversed(self.runs.values()), None)

    def machines(self) -> dict[int, Machine]:
        """Return the workers there are, by process id."""
        states = self.scheduler.workers.values() if self.scheduler is not None else ()
        return {state.pid: Machine.of(state) for state in states}

    def at_work(self) -> int:
        """Return how many workers compute a group now."""
        workers = self.scheduler.workers.values() if self.scheduler is not None else ()
        return sum(any(str(task.key).startswith(f"{NAME}-") for task in state.processing) for state in workers)


class _Metrics:
    """Counters for Prometheus; of every monitor in this process, which is one on a real cluster."""

    def __init__(self) -> None:
        self.monitors: list[Monitor] = []

    def collect(self) -> Iterator[Any]:
        """Yield one family of samples after the other."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        rows = CounterMetricFamily("skyloom_rows", "rows committed", labels=["layer", "job"])
        quarantined = CounterMetricFamily(
            "skyloom_rows_quarantined", "rows in quarantine", labels=["layer", "job"]
        )
        flagged = CounterMetricFamily("skyloom_rows_flagged", "rows with a flag", labels=["layer", "job"])
        partitions = CounterMetricFamily(
            "skyloom_partitions", "partitions that ended", labels=["layer", "job", "outcome"]
        )
        planned = GaugeMetricFamily("skyloom_rows_planned", "rows of the layer", labels=["layer", "job"])
        rate = GaugeMetricFamily("skyloom_rows_per_second", "rows, last minute", labels=["layer", "job"])
        seconds = CounterMetricFamily(
            "skyloom_worker_seconds", "time of workers by what it went into", labels=["layer", "job", "what"]
        )
        for watched in self._watched():
            tally, about = watched.tally, [watched.layer, watched.job_id]
            rows.add_metric(about, tally.rows_ended)
            quarantined.add_metric(about, tally.quarantined)
            flagged.add_metric(about, tally.flagged)
            partitions.add_metric([*about, "committed"], tally.ended)
            partitions.add_metric([*about, "failed"], tally.failed)
            planned.add_metric(about, tally.rows)
            rate.add_metric(about, tally.rate(time.time()) if watched.state == "running" else 0.0)
            spent: dict[str, float] = {}
            for worker in tally.workers.values():
                for what, each_s in worker.seconds.items():
                    spent[what] = spent.get(what, 0.0) + each_s
            for what, total_s in spent.items():
                seconds.add_metric([*about, what.removesuffix("_s")], total_s)
        yield from (rows, quarantined, flagged, partitions, planned, rate, seconds)

    def _watched(self) -> Iterator[Watched]:
        """Yield the newest run of each job: labels must not be there twice."""
        newest = {each.job_id: each for monitor in self.monitors for each in monitor.runs.values()}
        yield from newest.values()


_metrics = _Metrics()


def collect_metrics(monitor: Monitor) -> None:
    """Offer the numbers of a monitor to Prometheus, in the place of those whose scheduler has ended."""
    from prometheus_client import REGISTRY

    if not _metrics.monitors:
        REGISTRY.register(_metrics)
    going = [each for each in _metrics.monitors if getattr(each.scheduler, "status", None) is not None]
    _metrics.monitors[:] = [*(each for each in going if each.scheduler.status.name == "running"), monitor]
