"""`skyloom demo`: import a survey's tables, run three jobs over them, query the result."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyloom.cli.output import DONE, TOO_MANY_BAD, show_record, show_table, show_title
from skyloom.errors import ConflictError, ErrorKind

if TYPE_CHECKING:
    from skyloom.catalog.spec import ImportSpec
    from skyloom.jobs import CatalogView, JobPlan, JobSpec, RunReport

__all__ = ["DATA", "JOBS", "demo"]

DATA = Path(__file__).parent / "demo_data"
JOBS = ("lightcurve-features", "transient-class", "transient-anomaly")
WORKERS = 2


def demo(*, output: Path = Path("demo-output")) -> int:
    """Import a sample of PLAsTiCC light curves, compute three layers over it, query them.

    Everything is written below one folder. A second run finds it up to date and
    does nothing.

    For example:
        skyloom demo
        skyloom demo --output /tmp/skyloom-demo

    Parameters
    ----------
    output
        The folder for catalog and layers.
    """
    place = output.resolve()
    catalog = import_sample(place)
    reports = run_jobs(catalog, place / "layers")
    show_answers(catalog, place / "layers")
    _show_places(catalog, reports)
    return TOO_MANY_BAD if any(report.over_limit for report in reports) else DONE


def import_sample(place: Path) -> Path:
    """Make the demo's catalog below `place`, unless it is there; return its directory.

    Raises
    ------
    ConflictError
        If a catalog is there that another sample or import file made.
    """
    from skyloom.catalog.ingest import import_catalog

    catalog = place / "catalogs" / "plasticc-demo"
    receipt = place / "catalogs" / "plasticc-demo.sha256"
    digest = _digest_of_sample()
    if catalog.exists() and receipt.is_file() and receipt.read_text().strip() == digest:
        show_title(f"catalog plasticc-demo: up to date in {_short(catalog)}")
        return catalog
    if catalog.exists() and any(catalog.iterdir()):
        msg = f"{catalog} was not made from this version's sample: remove {place}, or choose another --output"
        raise ConflictError(msg, kind=ErrorKind.ALREADY_EXISTS, path=str(catalog))
    show_title("importing two tables of PLAsTiCC (CC-BY-4.0) as a HATS catalog with nested light curves")
    spec = sample_spec(catalog)
    catalog.parent.mkdir(parents=True, exist_ok=True)
    # Before the import, which ends in one rename: a catalog that is there has its receipt.
    catalog.with_suffix(".toml").write_text(_descriptor(spec, place / "layers"), encoding="utf-8")
    receipt.write_text(f"{digest}\n")
    found = import_catalog(spec).describe()
    show_record(
        {"catalog": _short(catalog), "rows": found.rows, "partitions": found.partitions, "bytes": found.bytes}
    )
    return catalog


def sample_spec(output: Path) -> ImportSpec:
    """Return the import of the sample that ships with the package."""
    from skyloom.catalog.spec import load_import_spec

    spec = load_import_spec(DATA / "import.toml", output=str(output))
    here = {
        part: table.model_copy(update={"files": tuple(str(DATA / name) for name in table.files)})
        for part, table in (("objects", spec.objects), ("sources", spec.sources))
        if table is not None
    }
    return spec.model_copy(update=here)


def _descriptor(spec: ImportSpec, layers: Path) -> str:
    # JSON's strings are TOML's.
    values = {
        "name": spec.name,
        "title": spec.title,
        "location": spec.name,
        "licence": spec.licence,
        "citation": spec.citation,
        "description": spec.description,
        "layers": str(layers),
    }
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def _digest_of_sample() -> str:
    digest = hashlib.sha256()
    for name in ("import.toml", "objects.parquet", "lightcurves.parquet"):
        digest.update((DATA / name).read_bytes())
    return digest.hexdigest()


def demo_job(name: str, catalog: Path) -> JobSpec:
    """Return one of the demo's jobs, over the catalog that the demo made."""
    from skyloom.jobs import load_job

    job = load_job(DATA / "jobs" / f"{name}.toml")
    return job.model_copy(update={"input": job.input.model_copy(update={"catalog": str(catalog)})})


def run_jobs(catalog: Path, store: Path) -> list[RunReport]:
    """Run the three jobs on one cluster, which is started when there is something to do."""
    from skyloom.cluster import ClusterSpec, RunningCluster, start
    from skyloom.jobs import plan_job
    from skyloom.jobs.execute import run_planned

    reports = []
    with ExitStack() as stack:
        running = RunningCluster(None, None)
        for name in JOBS:
            planned = plan_job(demo_job(name, catalog), store=store)
            if running.client is None and not _is_published(planned):
                show_title(f"starting {WORKERS} worker processes")
                running = stack.enter_context(start(ClusterSpec(workers=WORKERS)))
                sys.stdout.write(f"Dask dashboard: {running.dashboard}\n")
                sys.stdout.flush()
            report = run_planned(planned, cluster=running)
            reports.append(report)
            show_title(_line(report))
    return reports


def _is_published(planned: JobPlan) -> bool:
    from skyloom.engine import history

    versions = history(planned.store, planned.job.layer)
    return bool(versions) and versions[-1].job_id == planned.job_id


def _line(report: RunReport) -> str:
    if report.up_to_date:
        return f"layer {report.layer}: up to date (version {report.version}, {report.rows:,} rows)"
    return (
        f"layer {report.layer}: {report.rows:,} rows in {report.partitions} partitions, "
        f"{report.flagged:,} with a flag, {report.quarantined:,} in quarantine, {report.wall_s:.1f} s"
    )


def show_answers(catalog: Path, store: Path) -> None:
    """Ask catalog and layers, by SQL, what the models found."""
    from skyloom.jobs import open_catalog

    view = open_catalog(catalog).with_layers(*JOBS, store=store)
    for path in sorted((DATA / "queries").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        show_table(view.query(sql).to_pylist(), title="\n" + sql.partition("\n")[0].removeprefix("-- "))
    show_table(_flags(view), title="\nflags: why a row has nulls, or a caveat on its values")


def _flags(view: CatalogView) -> list[dict[str, Any]]:
    from skyloom.models.registry import system
    from skyloom.runtime.contract import PLATFORM_FLAGS

    rows = []
    for name in JOBS:
        column = f"{name.replace('-', '_')}_flag"
        values = view.query(f"select {column} from catalog where {column} <> 0")[column].to_pylist()  # noqa: S608
        for flag in (*system(name).FLAGS, *PLATFORM_FLAGS):
            count = sum(bool(value & flag.mask) for value in values)
            if count:
                rows.append({"layer": name, "flag": flag.name, "rows": count, "means": flag.description})
    return rows


def _show_places(catalog: Path, reports: list[RunReport]) -> None:
    places = {"catalog": _short(catalog)}
    places |= {f"layer {report.layer}": _short(report.layer_path) for report in reports}
    dashboards = {report.dashboard for report in reports if report.dashboard}
    if dashboards:
        places["Dask dashboard"] = f"{dashboards.pop()} (while jobs run)"
    show_title("\nwhere everything is")
    show_record(places)
    if all(report.up_to_date for report in reports):
        show_title("\neverything is up to date: nothing was computed")


def _short(path: Path | str) -> str:
    """Return a path as seen from here, where that is shorter."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else str(path)
