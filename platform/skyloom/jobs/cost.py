"""Cost: what a job takes on so many workers, from what a few of its partitions took on one.

Arithmetic alone; `skyloom.jobs.calibrate` measures. Each step of a partition (reading, model, writing)
takes a time of its own and a time per byte read; partitions go to workers in the groups, and in the
order, in which a run sends them. What a calibration cannot know is stated in `Assumptions`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.engine import Task
from skyloom.engine.dispatch import grouped
from skyloom.errors import ErrorKind, SpecError

__all__ = ["Assumptions", "Calibration", "Cost", "Estimate", "Sample", "equal_tasks"]

STEPS = ("reading", "model", "writing")
HELD = 2
"""Partitions in memory as a calibration sees one: the next one's input and the last one's output make another."""
ALIKE = 3
"""Samples whose sizes differ by less do not tell a time of its own from one per byte: it is all taken per byte."""
FEW_PARTITIONS = 1.25
"""A run that takes so many times its work over its workers waits for its last partitions."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one partition of the real job took, in a process of its own, one step after the other."""

    key: str
    rows: int
    weight_bytes: int
    """Bytes of its files and tensors: what a step's time grows with."""
    seconds: tuple[float, float, float]
    """By the clock: reading, model, writing."""
    cpu_s: tuple[float, float, float]
    """Of all threads of the process, for the same."""
    read_bytes: int
    """Bytes that were read of them."""
    written_bytes: int
    """Of the data file and its record."""
    memory_bytes: int
    """By which the process had to grow for it, and for those before it."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a few partitions of a job took here."""

    samples: tuple[Sample, ...]
    """From the smallest to the largest."""
    start_s: float
    """By the clock, from the start of a process until its model is loaded and has seen rows once."""
    start_cpu_s: float
    memory_bytes: int
    """Of that process then."""
    on_gpu: bool
    left_out: int = 0
    """Partitions that would have taken longer than a calibration may."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a calibration does not see. Defaults are what ``make bench-scale`` prints on two cores, rounded up."""

    driver_s: float = 0.003
    """CPU seconds of driver and scheduler per partition."""
    driver_bytes: int = 3072
    """Memory that driver and scheduler grow by per partition."""
    cluster_s: float = 1.0
    """By the clock, of imports, scheduler and connections before a worker begins to start, and of their end."""
    cluster_cpu_s: float = 1.5
    """CPU seconds of the same."""
    worker_cpu_s: float = 0.3
    """CPU seconds of Dask's own process around each worker."""
    plan_s: float = 0.0001
    """Planning and sealing, per partition."""
    model_rows_per_s: float | None = None
    """Of one worker, instead of what was measured: the same model on another device."""
    store_bytes_per_s: float | None = None
    """Of the store, all workers together; None: as much as they ask for."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job takes on so many workers."""

    workers: int
    wall_s: float
    low_s: float | None
    """If all partitions were like the fastest one measured, beside the fit; None with one partition."""
    high_s: float | None
    """If all were like the slowest, and no step overlapped with another one."""
    cpu_hours: float
    gpu_hours: float
    bound_by: str
    """``"reading"``, ``"model"``, ``"writing"``, ``"scheduler"``, ``"store"`` or ``"few partitions"``."""


@dataclass(frozen=True)
class Cost:
    """What a job costs.

    Parameters
    ----------
    calibration : Calibration
    tasks : sequence of Task
        Their `size_bytes` are the weights: see `Sample.weight_bytes`.
    assumptions : Assumptions
    group_tasks : int, optional
        As the job says; see `skyloom.engine.dispatch.grouped`.
    row_bytes : float

    Raises
    ------
    SpecError
        If there are no tasks, or no samples.
    """

    calibration: Calibration
    tasks: tuple[Task, ...]
    assumptions: Assumptions = field(default_factory=Assumptions)
    group_tasks: int | None = None
    row_bytes: float = 0.0
    """Memory per row of partitions with more rows than those measured, as the plan projects it."""

    def __post_init__(self) -> None:
        if not (self.tasks and self.calibration.samples):
            msg = "a job without rows costs nothing that could be calibrated; choose another catalog or region"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        object.__setattr__(self, "_weights", np.array([task.size_bytes for task in self.tasks], float))
        object.__setattr__(self, "_rows", np.array([task.rows for task in self.tasks], float))

    @property
    def partitions(self) -> int:
        """Tasks."""
        return len(self.tasks)

    @property
    def rows(self) -> int:
        """Rows over all tasks."""
        return sum(task.rows for task in self.tasks)

    @property
    def read_bytes(self) -> int:
        """Bytes read, footers of planning left out."""
        return int(self._at([s.read_bytes for s in self._samples]).sum())

    @property
    def written_bytes(self) -> int:
        """Bytes of all data files and records."""
        return int(self._at([s.written_bytes for s in self._samples]).sum())

    @property
    def files(self) -> int:
        """Files of the layer: data and record of each partition, and the small ones beside them."""
        return 2 * self.partitions + 8

    @property
    def worker_bytes(self) -> int:
        """Memory of one worker at its largest partition, one more read ahead and one committed behind."""
        most = max(task.rows for task in self.tasks)
        larger = max(0, most - max(s.rows for s in self._samples))
        grown = max(s.memory_bytes for s in self._samples) + larger * self.row_bytes
        return int(self.calibration.memory_bytes + HELD * grown)

    @property
    def driver_bytes(self) -> int:
        """Memory that driver and scheduler grow by."""
        return self.assumptions.driver_bytes * self.partitions

    @property
    def steps(self) -> dict[str, float]:
        """Seconds of all partitions in each step, by the clock, on one worker."""
        return dict(zip(STEPS, (float(each.sum()) for each in self._seconds()), strict=True))

    @property
    def rows_per_s(self) -> float:
        """Rows per second of one worker once it runs."""
        return self.rows / float(self._busy().sum())

    @property
    def spread(self) -> tuple[float, float] | None:
        """The fastest and the slowest sample beside the fit, as ratios; None with one sample."""
        if len(self._samples) < 2:
            return None
        cost = replace(self, tasks=tuple(Task(s.key, s.rows, s.weight_bytes, "") for s in self._samples))
        measured = [self._worker_s(*s.seconds, sum(s.cpu_s)) for s in self._samples]
        model = self.assumptions.model_rows_per_s
        if model:
            measured = [max(s.seconds[0], s.rows / model, s.seconds[2]) for s in self._samples]
        ratios = np.asarray(measured) / cost._busy()
        return float(ratios.min()), float(ratios.max())

    def on(self, workers: int) -> Estimate:
        """Return what the job takes on so many workers.

        Raises
        ------
        SpecError
            If `workers` is less than one.
        """
        if workers < 1:
            msg = f"a job cannot be priced for {workers} workers; say 1 or more"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, workers=workers)
        said, busy = self.assumptions, self._busy()
        scheduler_s = said.driver_s * self.partitions
        store_s = (
            (self.read_bytes + self.written_bytes) / said.store_bytes_per_s if said.store_bytes_per_s else 0.0
        )
        span_s = _span_s(self.tasks, busy, workers, self.group_tasks)
        around_s = said.cluster_s + self.calibration.start_s + said.plan_s * self.partitions
        wall_s = around_s + max(span_s, scheduler_s, store_s)
        low, high = self.spread or (None, None)
        apart_s = _span_s(self.tasks, np.sum(self._seconds(), axis=0), workers, self.group_tasks)
        cpu_s = float(self._cpu().sum()) + said.cluster_cpu_s
        # Local workers are forked from one process that imports for all; those with a GPU import each for itself.
        imports = workers if self.calibration.on_gpu else 1
        cpu_s += imports * self.calibration.start_cpu_s + workers * said.worker_cpu_s
        cpu_s += (said.driver_s + said.plan_s) * self.partitions
        return Estimate(
            workers=workers,
            wall_s=wall_s,
            low_s=None if low is None else around_s + max(low * span_s, scheduler_s, store_s),
            high_s=None if high is None else around_s + max(high * apart_s, scheduler_s, store_s),
            cpu_hours=cpu_s / 3600,
            gpu_hours=workers * wall_s / 3600 if self._on_gpu else 0.0,
            bound_by=self._bound(workers, span_s, {"scheduler": scheduler_s, "store": store_s}),
        )

    def _bound(self, workers: int, span_s: float, others: dict[str, float]) -> str:
        name = max(others, key=lambda each: others[each])
        if others[name] > span_s:
            return name
        if span_s > FEW_PARTITIONS * float(self._busy().sum()) / workers:
            return "few partitions"
        steps = self.steps
        return max(steps, key=lambda each: steps[each])

    @property
    def _samples(self) -> tuple[Sample, ...]:
        return self.calibration.samples

    @property
    def _on_gpu(self) -> bool:
        return self.calibration.on_gpu or self.assumptions.model_rows_per_s is not None

    def _at(self, found: Sequence[float]) -> NDArray[np.float64]:
        """Return a quantity for each task, from what it was for the samples."""
        alone, per_byte = _line([s.weight_bytes for s in self._samples], found)
        return np.asarray(alone + per_byte * self._weights)  # type: ignore[attr-defined]  # set when made

    def _seconds(self) -> tuple[NDArray[np.float64], ...]:
        """Return seconds by the clock of each task, for each step."""
        found = [self._at([s.seconds[step] for s in self._samples]) for step in range(len(STEPS))]
        if self.assumptions.model_rows_per_s:
            found[1] = self._rows / self.assumptions.model_rows_per_s  # type: ignore[attr-defined]  # set when made
        return tuple(found)

    def _cpu(self) -> NDArray[np.float64]:
        """Return CPU seconds of each task; a model that another device computes takes none."""
        elsewhere = self.assumptions.model_rows_per_s is not None
        return self._at([s.cpu_s[0] + s.cpu_s[2] + (0.0 if elsewhere else s.cpu_s[1]) for s in self._samples])

    def _busy(self) -> NDArray[np.float64]:
        """Return for how long each task keeps a worker busy."""
        read, model, write = self._seconds()
        return np.asarray(self._worker_s(read, model, write, self._cpu()))

    def _worker_s(self, read: Any, model: Any, write: Any, cpu: Any) -> Any:
        """Return how long steps that overlap take: on one core, only as far as they wait."""
        longest = np.maximum(np.maximum(read, model), write)
        return longest if self._on_gpu else np.maximum(longest, cpu)


def _line(weights: Sequence[float], found: Sequence[float]) -> tuple[float, float]:
    """Return what is least off, relatively, of ``alone + per_byte * weight``, neither below zero."""
    from scipy.optimize import nnls

    x, y = np.asarray(weights, float), np.maximum(np.asarray(found, float), 1e-12)
    if x.max() < ALIKE * x.min():
        return 0.0, float(y.mean() / max(x.mean(), 1.0))
    scale = x.max()
    (alone, per_scale), _ = nnls(np.stack([1 / y, x / scale / y], axis=1), np.ones(len(x)))
    return float(alone), float(per_scale / scale)


def _span_s(tasks: Sequence[Task], busy: NDArray[np.float64], workers: int, group_tasks: int | None) -> float:
    """Return seconds from the first task to the last: each group goes to the worker that is free first."""
    free = [0.0] * workers
    done = 0
    ends = np.concatenate([[0.0], np.cumsum(busy)])
    for group in grouped(tasks, workers, group_tasks=group_tasks):
        heapq.heapreplace(free, free[0] + float(ends[done + len(group)] - ends[done]))
        done += len(group)
    return max(free)


def equal_tasks(tasks: Sequence[Task], rows: int, partition_rows: int | None = None) -> tuple[Task, ...]:
    """Return tasks of a catalog of `rows` rows whose rows are, on average, those of `tasks`.

    Parameters
    ----------
    tasks : sequence of Task
    rows : int
    partition_rows : int, optional
        Rows of each; by default as many as `tasks` have on average.

    Raises
    ------
    SpecError
        If a number is less than one.
    """
    known = sum(task.rows for task in tasks)
    each = partition_rows or max(1, known // max(1, len(tasks)))
    if rows < 1 or each < 1 or not known:
        msg = f"a catalog of {rows} rows in partitions of {each} cannot be priced; say 1 or more of both"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    per_row = sum(task.size_bytes for task in tasks) / known
    sizes = [each] * (rows // each) + ([rows % each] if rows % each else [])
    return tuple(Task(str(number), size, round(per_row * size), "") for number, size in enumerate(sizes))
