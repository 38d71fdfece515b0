"""`skyloom run`: a job file becomes a layer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from skyloom.cli.costs import UNSCALED, Scale, priced_as_json, show_cost
from skyloom.cli.output import DONE, TOO_MANY_BAD, show_json, show_record, show_table, show_text
from skyloom.errors import ErrorKind, SpecError

if TYPE_CHECKING:
    from skyloom.jobs import Cost, JobPlan, RunReport
    from skyloom.models.eligibility import Step

__all__ = ["run", "show_funnel", "show_report"]


def run(
    job: Path | None = None,
    /,
    *,
    plan: Annotated[bool, Parameter(negative=())] = False,
    calibrate: int | None = None,
    scale: Scale = UNSCALED,
    cluster: str = "local",
    store: str | None = None,
    device: str | None = None,
    insecure: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    help_job: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Compute the columns that a job file names, as a layer; resumes by itself.

    For example:
        skyloom run jobs/lightcurve-features.toml --plan
        skyloom run jobs/lightcurve-features.toml --plan --calibrate 3 --for-workers 2 64
        skyloom run jobs/lightcurve-features.toml
        skyloom run jobs/transient-class.toml --cluster cluster.toml --store /data/layers

    Parameters
    ----------
    job
        The job file.
    plan
        Print tasks, rows, bytes, memory, device, precision and the output schema; run nothing.
    calibrate
        With --plan: compute this many partitions, throw them away, and print what the job will take.
    scale
        With --calibrate: what to price where that is not this catalog and this machine.
    cluster
        "local" (processes here), "in-process", a scheduler's address, or a TOML file.
    store
        Where layers are written, instead of the job's own [output] store.
    device
        "auto", "cpu" or "cuda": where networks compute, instead of the job's own [run] device.
    insecure
        Talk to a scheduler on another machine without TLS.
    json
        Print JSON, for programs.
    help_job
        Print a commented job file with every key, and stop.
    """
    from skyloom import jobs

    if help_job:
        sys.stdout.write(jobs.template())
        return DONE
    if job is None:
        msg = "no job file given. Name one, as in `skyloom run jobs/lightcurve-features.toml`, or see --help-job"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    from skyloom.cluster import resolve

    if plan:
        spec, wanted = jobs.on_device(jobs.load_job(job), device), resolve(cluster, insecure=insecure)
        planned = jobs.plan_job(spec, store=store, cluster=wanted)
        cost = None if calibrate is None else scale.applied(jobs.cost_of(planned, partitions=calibrate))
        _show_plan(planned, cost, scale.workers(wanted), as_json=json)
        return DONE
    if calibrate is not None:
        msg = "--calibrate computes partitions and throws them away: say --plan with it, or leave it out to run"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    where = resolve(cluster, insecure=True) if insecure else cluster
    report = jobs.run(job, cluster=where, store=store, device=device, progress=not json)
    show_report(report, as_json=json)
    return TOO_MANY_BAD if report.over_limit else DONE


def show_report(report: RunReport, *, as_json: bool = False) -> None:
    """Print what a run did."""
    if as_json:
        show_json(report)
    elif report.up_to_date:
        sys.stdout.write(
            f"{report.layer}: up to date (version {report.version}, {report.rows:,} rows), nothing to do\n"
        )
    else:
        shown = {
            "layer": report.layer_path,
            "version": report.version,
            "rows": report.rows,
            "partitions": f"{report.computed:,} computed, {report.reused:,} resumed",
            "flagged_rows": report.flagged,
            "quarantined_rows": report.quarantined,
            "seconds": report.wall_s,
        }
        show_record(shown)
        show_funnel(report.rows, report.funnel)


def show_funnel(rows: int, steps: Sequence[Step]) -> None:
    """Print how many rows each criterion of eligibility costs, if there are any."""
    if not steps:
        return
    listed = [
        {"criterion": s.criterion, "holds": s.holds, "fails": s.fails, "not known": s.not_known, "left": s.left}
        for s in steps
    ]
    show_table(
        [{"criterion": "(all rows)", "left": rows}, *listed],
        columns=("criterion", "holds", "fails", "not known", "left"),
        title="\neligible rows: alone, and left after the criteria so far",
    )


def _show_plan(plan: JobPlan, cost: Cost | None, workers: Sequence[int], *, as_json: bool) -> None:
    from skyloom.columns import Column

    columns = [Column.of_field(field) for field in plan.schema]
    summary = {
        "job_id": plan.job_id,
        "tasks": len(plan.tasks),
        "rows": plan.rows,
        "bytes": plan.bytes,
        "memory_bytes": plan.memory_bytes,
        **plan.computing,
        **({"eligibility": list(plan.criteria.order)} if plan.criteria else {}),
    }
    written = [
        {"column": c.name, "type": c.dtype, "unit": c.unit, "ucd": c.ucd, "description": c.description}
        for c in columns
    ]
    changes = [asdict(each) for each in plan.numerics.differences] if plan.numerics else []
    if as_json:
        said = {"differences_from_float32": changes, "other_work": plan.elsewhere}
        priced = {} if cost is None else {"cost": priced_as_json(cost, workers)}
        show_json({**summary, "columns": written, **said, **priced})
        return
    show_record({name: "the model's own" if value is None else value for name, value in summary.items()})
    if plan.elsewhere:
        show_text(plan.elsewhere)
    if changes:
        show_table(changes, title="\nlargest differences from float32 on a CPU, on made-up rows")
    show_table(written, title="\nwrites")
    if cost is not None:
        show_cost(cost, workers)
