"""A system of the benchmarks as a durable job of skyloom: it is not one of those that are shipped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from skyloom.cluster import ClusterSpec
from skyloom.jobs.execute import run_planned
from skyloom.jobs.plan import JobPlan, plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.spec import parse_job
from skyloom.models import registry
from tests.benchmarks.peers.plain import CORES

__all__ = ["SYSTEMS", "TILE", "Processing", "planned_job", "run_job"]

SYSTEMS = {f"bench-{name}": f"tests.benchmarks.peers.{name}.by_skyloom" for name in ("table", "images", "curves")}
TILE = "SKYLOOM_BENCH_TILE_ROWS"
"""Variable with another tile than the system's own: for tiny partitions, a tile of thousands is mostly padding."""


class Processing(Scoring):
    """The processor of the jobs, in a process to which nobody has told of these systems."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        registry._SYSTEMS.update(SYSTEMS)
        super().__init__(settings)


def planned_job(name: str, out: Path, given: Mapping[str, Any], *, batch_rows: int) -> JobPlan:
    """Plan a job of the system called `name`.

    Parameters
    ----------
    name : str
        One of `SYSTEMS`, and of model, job and layer.
    out : path
        Where the layer goes.
    given : mapping
        The section ``[input]``.
    batch_rows : int
    """
    registry._SYSTEMS.update(SYSTEMS)
    named = dict.fromkeys(("job", "model", "layer"), name)
    how = {"batch_rows": batch_rows, **({"tile_rows": int(os.environ[TILE])} if TILE in os.environ else {})}
    job = parse_job({**named, "input": dict(given), "run": how}, where="the benchmark")
    planned = plan_job(job, store=out)
    return replace(planned, plan=replace(planned.plan, entry=f"{__name__}:{Processing.__name__}"))


def run_job(name: str, out: Path, given: Mapping[str, Any], *, batch_rows: int) -> int:
    """Run it on one worker per core and publish its layer; return the number of rows. See `planned_job`."""
    planned = planned_job(name, out, given, batch_rows=batch_rows)
    return run_planned(planned, cluster=ClusterSpec(workers=CORES, dashboard=""), progress=False).rows
