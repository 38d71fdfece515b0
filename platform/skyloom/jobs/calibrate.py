"""Calibrate: compute a few partitions of a job, measure, and throw them away.

They go through the code of a run, to the fsync of their records, in a process as a worker is one (its imports, its
threads, its allocator), and into a temporary directory (``TMPDIR``): nothing is written where the layer goes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import psutil  # type: ignore[import-untyped]

from skyloom.cluster import worker_environment
from skyloom.engine import DECOMPRESSION, Journal, Plan, Task
from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Work
from skyloom.engine.worker import commit, load, prepare, register
from skyloom.errors import ErrorKind, PartitionError, SpecError
from skyloom.jobs.cost import Assumptions, Calibration, Cost, Sample
from skyloom.jobs.plan import JobPlan
from skyloom.jobs.scoring import Scoring
from skyloom.places import module_path
from skyloom.storage import LocalStore

__all__ = ["calibrate", "cost_of", "sampled"]

BUDGET_S = 60.0
"""A partition that would end later, as those before it went, is left out."""
PARTITIONS = 3
KIB = 1024

Result = TypeVar("Result")


def cost_of(planned: JobPlan, *, partitions: int = PARTITIONS, assumptions: Assumptions | None = None) -> Cost:
    """Measure a few partitions of a job and return what all of it costs.

    Parameters
    ----------
    planned : JobPlan
    partitions : int
        How many to compute: the smallest, the largest, and those evenly between.
    assumptions : Assumptions, optional
        What cannot be measured so.

    Raises
    ------
    SpecError
        If `partitions` is less than one, or no partition has rows.
    PartitionError
        If a partition cannot be computed.

    Examples
    --------
    >>> import skyloom.jobs as jobs
    >>> planned = jobs.plan_job(jobs.load_job("jobs/colors-gaia.toml"))  # doctest: +SKIP
    >>> jobs.cost_of(planned).on(16).wall_s  # doctest: +SKIP
    """
    tasks = weighed(planned)
    calibration = calibrate(planned.plan, sampled(tasks, partitions), on_gpu=planned.on_gpu)
    row_bytes = DECOMPRESSION * planned.plan.size_bytes / max(1, planned.rows) + 8 * len(planned.schema)
    said = assumptions or Assumptions()
    return Cost(calibration, tasks, said, planned.job.run.partitions_per_task, row_bytes)


def weighed(planned: JobPlan) -> tuple[Task, ...]:
    """Return the tasks with rows, their bytes those of files and tensors."""
    per_row = sum(source.store.layout.row_bytes for source in planned.tensors)
    return tuple(replace(t, size_bytes=t.size_bytes + per_row * t.rows) for t in planned.tasks if t.rows)


def sampled(tasks: Sequence[Task], partitions: int) -> tuple[Task, ...]:
    """Return some of `tasks`, from the smallest to the largest: both of them, and those evenly between.

    Raises
    ------
    SpecError
        If there shall be less than one.
    """
    if partitions < 1:
        msg = f"{partitions} partitions calibrate nothing; say 1 or more (3 are a good number)"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if not tasks:
        return ()
    ordered = sorted(tasks, key=lambda task: (task.size_bytes, task.key))
    last = len(ordered) - 1
    steps = max(1, partitions - 1)
    places = {round(last * step / steps) for step in range(partitions)} if partitions > 1 else {last // 2}
    return tuple(ordered[place] for place in sorted(places))


def calibrate(
    plan: Plan, tasks: Sequence[Task], *, on_gpu: bool = False, budget_s: float = BUDGET_S
) -> Calibration:
    """Compute `tasks` in a new process, in their order, and return what they took.

    Parameters
    ----------
    plan : Plan
    tasks : sequence of Task
        Of the plan, but for `size_bytes`: the weights of the samples.
    on_gpu : bool
        Whether the model computes on a GPU.
    budget_s : float
        The first is computed in any case.

    Raises
    ------
    PartitionError
        If one cannot be computed, or kills the process.
    """
    if not tasks:
        return Calibration((), 0.0, 0.0, 0, on_gpu)
    with tempfile.TemporaryDirectory(prefix="skyloom-calibrate-") as folder:
        work = plan.work(folder)
        Journal(LocalStore(folder), plan.layer, plan.job_id).begin(replace(plan, tasks=tuple(tasks)))
        asked = {"work": work.to_json(), "tasks": [asdict(task) for task in tasks], "budget_s": budget_s}
        asked["started"] = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "skyloom.jobs.calibrate"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **worker_environment(), "PYTHONPATH": module_path()},
        )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"the process ended with {done.returncode}"]
        msg = (
            f"the plan cannot be calibrated by {', '.join(task.key for task in tasks)}: {said[0]}. "
            "A run quarantines rows that kill it; --plan without --calibrate computes nothing"
        )
        raise PartitionError(msg, kind=ErrorKind.INCOMPLETE)
    found = json.loads(done.stdout.splitlines()[-1])
    samples = tuple(
        Sample(**{**each, "seconds": tuple(each["seconds"]), "cpu_s": tuple(each["cpu_s"])})
        for each in found.pop("samples")
    )
    return Calibration(samples=samples, on_gpu=on_gpu, left_out=len(tasks) - len(samples), **found)


@dataclass(frozen=True, slots=True)
class _Taken:
    wall_s: float
    cpu_s: float


def _clocked(work: Callable[[], Result]) -> tuple[Result, _Taken]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = work()
    return result, _Taken(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def _measured(work_id: str, tasks: Sequence[Task], *, started: float, budget_s: float) -> dict[str, object]:
    """Do in this process what `calibrate` asks of it."""
    work, processor = load(work_id)
    store = LocalStore(work.store)

    def begun(task: Task) -> Callable[[], object]:
        found = prepare(work, processor, store, task)
        if isinstance(found, Outcome):
            raise TypeError(found.status)
        return found

    begun(tasks[0])()  # what is made at the first call, such as a network's kernels, belongs to the start
    start = {
        "start_s": time.time() - started,
        "start_cpu_s": time.process_time(),
        "memory_bytes": _peak_bytes(),
    }
    samples: list[Sample] = []
    since_s = time.perf_counter()
    for task in tasks:
        spent_s = time.perf_counter() - since_s
        if samples and spent_s + sum(samples[-1].seconds) * task.size_bytes / samples[-1].weight_bytes > budget_s:
            break
        beside = _Taken(0.0, 0.0)
        if isinstance(processor, Scoring) and processor.stores:
            _, beside = _clocked(processor.split(task).read_tensors)
        samples.append(_sample(work, store, task, begun, beside, base_bytes=int(start["memory_bytes"])))
    return {**start, "samples": [asdict(sample) for sample in samples]}


def _sample(
    work: Work,
    store: LocalStore,
    task: Task,
    begun: Callable[[Task], Callable[[], object]],
    tensors: _Taken,
    *,
    base_bytes: int,
) -> Sample:
    """Do one task; of what it computes in, reading tensors took what it took just before, by itself."""
    before = _read_bytes()
    compute, read = _clocked(lambda: begun(task))
    computed, model = _clocked(compute)
    after = _read_bytes()
    outcome, write = _clocked(lambda: commit(work, store, task, computed))  # type: ignore[arg-type]  # Computed
    record = Journal(store, work.layer, work.job_id).record(task.key)
    return Sample(
        key=task.key,
        rows=task.rows,
        weight_bytes=task.size_bytes,
        seconds=(read.wall_s + tensors.wall_s, max(0.0, model.wall_s - tensors.wall_s), write.wall_s),
        cpu_s=(read.cpu_s + tensors.cpu_s, max(0.0, model.cpu_s - tensors.cpu_s), write.cpu_s),
        read_bytes=task.size_bytes if before is None or after is None else after - before,
        written_bytes=outcome.size_bytes + store.size(record),
        memory_bytes=max(0, _peak_bytes() - base_bytes),
    )


def _read_bytes() -> int | None:
    """Return the bytes that this process has asked files for; None where the system does not count them."""
    counters = getattr(psutil.Process(), "io_counters", None)
    return None if counters is None else int(counters().read_chars)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def main() -> None:
    """Read on stdin what shall be computed, and print what it took."""
    asked = json.loads(sys.stdin.read())
    tasks = [Task(**{**task, "inputs": tuple(task["inputs"])}) for task in asked["tasks"]]
    work_id = Work.from_json(asked["work"]).work_id
    register(work_id, asked["work"])
    found = _measured(work_id, tasks, started=asked["started"], budget_s=asked["budget_s"])
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
