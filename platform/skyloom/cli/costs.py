"""What `skyloom run --plan --calibrate` prints: the price of a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from skyloom.cli.output import show_record, show_table, show_text

if TYPE_CHECKING:
    from skyloom.cluster import ClusterSpec
    from skyloom.jobs import Cost

__all__ = ["UNSCALED", "Scale", "priced_as_json", "show_cost"]

TIMES = (1, 4, 16)
"""Multiples of the workers asked for that are priced unless told."""
MB = 1e6


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Scale:
    """What to price with --calibrate, where that is not this catalog and this machine.

    Parameters
    ----------
    for_workers
        Numbers of workers (with GPUs: of GPUs) to price; by default the cluster's, 4 and 16 times as many.
    for_rows
        Price a catalog of so many rows like these.
    partition_rows
        Rows of each of its partitions; by default as many as here on average.
    model_rows_per_s
        Rows per second of the model on one worker, instead of what is measured: a GPU that is not here.
    store_bytes_per_s
        Bytes per second that the store gives and takes, all workers together.
    """

    for_workers: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative=())] = ()
    for_rows: int | None = None
    partition_rows: int | None = None
    model_rows_per_s: float | None = None
    store_bytes_per_s: float | None = None

    def applied(self, cost: Cost) -> Cost:
        """Return a cost as it is at this scale."""
        from skyloom.jobs import equal_tasks

        tasks = cost.tasks
        if self.for_rows is not None or self.partition_rows is not None:
            tasks = equal_tasks(tasks, cost.rows if self.for_rows is None else self.for_rows, self.partition_rows)
        assumptions = replace(
            cost.assumptions, model_rows_per_s=self.model_rows_per_s, store_bytes_per_s=self.store_bytes_per_s
        )
        return replace(cost, tasks=tasks, assumptions=assumptions)

    def workers(self, cluster: ClusterSpec) -> tuple[int, ...]:
        """Return the numbers of workers to price."""
        here = cluster.workers if cluster.kind == "local" else 1
        return self.for_workers or tuple(here * times for times in TIMES)


UNSCALED = Scale()


def priced_as_json(cost: Cost, workers: Sequence[int]) -> dict[str, Any]:
    """Return a cost for programs: totals, what was measured, what was assumed, estimates."""
    return {
        **_totals(cost),
        "seconds_by_step": cost.steps,
        "calibration": asdict(cost.calibration),
        "assumptions": asdict(cost.assumptions),
        "estimates": [asdict(cost.on(number)) for number in workers],
    }


def show_cost(cost: Cost, workers: Sequence[int]) -> None:
    """Print a cost as tables."""
    from skyloom.jobs.cost import STEPS

    found = cost.calibration
    measured = [
        {
            "partition": each.key,
            "rows": each.rows,
            "MB": round(each.weight_bytes / MB, 3),
            **{f"{step} s": round(seconds, 4) for step, seconds in zip(STEPS, each.seconds, strict=True)},
            "CPU s": round(sum(each.cpu_s), 4),
            "memory MB": round(each.memory_bytes / MB, 1),
            "rows/s": round(each.rows / max(sum(each.seconds), 1e-9)),
        }
        for each in found.samples
    ]
    show_table(measured, title="\nmeasured: partitions computed here, one step after the other, and thrown away")
    show_text(
        f"start of a worker: {found.start_s:.1f} s, {found.start_cpu_s:.1f} CPU-s, "
        f"{found.memory_bytes / MB:,.0f} MB"
    )
    if found.left_out:
        show_text(f"{found.left_out} larger partitions were left out: they would have taken too long here")
    show_text("\nthe whole job")
    show_record(_totals(cost))
    assumed = {name: value for name, value in asdict(cost.assumptions).items() if value is not None}
    show_text("\nassumed, not measured here")
    show_record(assumed)
    rows = [
        {
            "workers": each.workers,
            "time": _clock(each.wall_s),
            "from": _clock(each.low_s),
            "to": _clock(each.high_s),
            "CPU hours": round(each.cpu_hours, 3),
            **({"GPU hours": round(each.gpu_hours, 2)} if each.gpu_hours else {}),
            "bound by": each.bound_by,
        }
        for each in map(cost.on, workers)
    ]
    show_table(rows, title="\ntime by the clock")


def _totals(cost: Cost) -> dict[str, Any]:
    return {
        "partitions": cost.partitions,
        "rows": cost.rows,
        "rows_per_s_of_a_worker": round(cost.rows_per_s),
        "bytes_read": cost.read_bytes,
        "bytes_written": cost.written_bytes,
        "bytes_read_per_row": round(cost.read_bytes / cost.rows, 1),
        "bytes_written_per_row": round(cost.written_bytes / cost.rows, 1),
        "files": cost.files,
        "memory_bytes_of_a_worker": cost.worker_bytes,
        "memory_bytes_that_the_driver_grows_by": cost.driver_bytes,
    }


def _clock(seconds: float | None) -> str:
    """Return seconds as people say them: ``"3.2 s"``, ``"4 min 05 s"``, ``"2 h 07 min"``."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"
