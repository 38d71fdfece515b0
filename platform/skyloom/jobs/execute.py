"""Run a job: plan it, compute what is not committed, seal, publish, report."""

from __future__ import annotations

import json
import logging
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyloom.catalog.face import extension_face, layer_face
from skyloom.cluster import ClusterSpec, RunningCluster, fork_ahead, resolve, start, worker_environment
from skyloom.cluster.announce import ROUTE, Announcer
from skyloom.engine import (
    Executor,
    InProcessExecutor,
    Journal,
    Manifest,
    Record,
    SoloExecutor,
    history,
    publish,
    run_plan,
    seal,
)
from skyloom.engine.events import both
from skyloom.engine.lease import held
from skyloom.engine.publish import Reference, published
from skyloom.engine.run import RunSummary
from skyloom.errors import DataError, ErrorKind, SpecError, StoreFullError
from skyloom.jobs.eligibility import funnel_of
from skyloom.jobs.numerics import MEASURED, agreed
from skyloom.jobs.plan import JobPlan, plan_job
from skyloom.jobs.progress import progress as show_progress
from skyloom.jobs.spec import JobSpec, load_job, on_device
from skyloom.models.eligibility import Step
from skyloom.storage import LocalStore, canonical_json

__all__ = ["RunReport", "Workers", "collection_of", "face_of", "run", "run_planned"]

logger = logging.getLogger(__name__)

ROOM = 1.2
"""Free space asked for before a run, per byte that the layer is estimated to take."""
CATALOG_FILES = ("hats.properties", "properties")
"""Files that make a directory a HATS catalog: written only once the job is sealed."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did, and where its layer is."""

    job: str
    layer: str
    layer_path: str
    """Directory that `lsdb.open_catalog` takes."""
    collection: str
    """HATS collection of base and layer, for ``load_extension``."""
    version: int
    job_id: str
    rows: int
    partitions: int
    computed: int
    """Partitions computed in this run."""
    reused: int
    """Partitions that an earlier, interrupted run had committed."""
    flagged: int
    quarantined: int
    over_limit: bool
    """Whether more rows are in quarantine than the job allows."""
    up_to_date: bool
    """Whether there was nothing to do."""
    wall_s: float
    dashboard: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Summed over workers: where the time went."""
    funnel: tuple[Step, ...] = ()
    """Rows that each criterion of eligibility costs, in the job's order."""


def run(
    job: JobSpec | str | Path,
    *,
    cluster: str | Path | ClusterSpec | RunningCluster = "local",
    store: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> RunReport:
    """Run a job to its published layer, resuming what an earlier run committed.

    Parameters
    ----------
    job : JobSpec or path
        A job, or the path of its file.
    cluster : str, path, ClusterSpec or RunningCluster
        ``"local"`` (processes here), ``"in-process"``, a scheduler's address, a TOML file,
        or a cluster that runs already and is shared. None is started if nothing is left to do.
    store : str or Path, optional
        Where layers go, instead of the job's own place.
    device : str, optional
        ``"auto"``, ``"cpu"`` or ``"cuda"``: where networks compute, instead of the job's own [run] device.
    progress : bool
        Whether to show progress on stderr.

    Raises
    ------
    SpecError, NotFoundError, DataError
        If the job cannot run as it is; nothing has been written.
    TransientError
        If partitions failed, the cluster was lost or the store is full: run it again.
    ConflictError
        If the catalog changed, or another job published the layer meanwhile.

    Examples
    --------
    >>> import skyloom as sl
    >>> report = sl.run("jobs/lightcurve-features.toml")  # doctest: +SKIP
    """
    spec = on_device(job if isinstance(job, JobSpec) else load_job(job), device)
    wanted = cluster if isinstance(cluster, ClusterSpec | RunningCluster) else resolve(cluster)
    return run_planned(plan_job(spec, store=store, cluster=wanted), cluster=wanted, progress=progress)


def run_planned(planned: JobPlan, *, cluster: ClusterSpec | RunningCluster, progress: bool = True) -> RunReport:
    """Run a job that is planned; see `run`."""
    started = time.monotonic()
    newest = history(planned.store, planned.job.layer)
    if newest and newest[-1].job_id == planned.job_id:
        check_whole(planned, newest[-1])
        _write_version(planned, newest[-1])
        return _report(planned, newest[-1], None, wall_s=time.monotonic() - started)
    check_store(planned)
    other = planned.elsewhere
    if other:
        logger.warning("%s", other)
    announcer = Announcer(planned.job.layer, planned.job_id)
    workers = Workers.of(planned, cluster, announce=progress, announcer=announcer)
    workers.start_ahead()
    with show_progress(planned.job.layer, shown=progress) as show:
        summary = run_plan(
            planned.plan,
            planned.store,
            workers.executor,
            listener=both(show, announcer),
            group_tasks=planned.job.run.partitions_per_task,
        )
    journal = Journal(planned.store, planned.job.layer, planned.job_id)
    with held(journal):
        manifest = _seal(planned, summary)
        reference = publish(journal, manifest, agreed=planned.version)
    _write_version(planned, reference)
    return _report(planned, reference, summary, wall_s=time.monotonic() - started, dashboard=workers.dashboard)


class Workers:
    """Workers, started when the first is needed; `executor` is what the engine asks for.

    Parameters
    ----------
    cluster : ClusterSpec or RunningCluster
    announce : bool
        Whether to say on stderr where the dashboard is.
    gpus : bool
        Whether local workers get a GPU each.
    announcer : Announcer, optional
        Tells the scheduler of the run.
    alone : bool
        Whether there is one task, for which a process will do where workers would be local.
    imports : sequence of str
        Modules that local workers need.
    """

    def __init__(
        self,
        cluster: ClusterSpec | RunningCluster,
        *,
        announce: bool,
        gpus: bool = False,
        announcer: Announcer | None = None,
        alone: bool = False,
        imports: Sequence[str] = (),
    ) -> None:
        self.cluster = cluster
        self.gpus = gpus
        self.announcer = announcer
        self.announce = announce
        self.imports = imports
        self.local = isinstance(cluster, ClusterSpec) and cluster.kind == "local" and not gpus
        self.alone = self.local and alone
        self.dashboard: str | None = None

    @classmethod
    def of(
        cls,
        planned: JobPlan,
        cluster: ClusterSpec | RunningCluster,
        *,
        announce: bool,
        announcer: Announcer | None = None,
    ) -> Workers:
        """Return those for a job."""
        return cls(
            cluster,
            announce=announce,
            gpus=planned.on_gpu,
            announcer=announcer,
            alone=len(planned.tasks) == 1,
            imports=planned.imports,
        )

    def start_ahead(self) -> None:
        """Start what local workers are forked from, for a caller that is sure to need them; does not wait."""
        if self.local and not self.alone:
            fork_ahead(self.imports, worker_environment())

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        """Yield an executor on the cluster, which is started for it unless it runs."""
        if isinstance(self.cluster, RunningCluster):
            with self._of(self.cluster) as executor:
                yield executor
            return
        if self.alone:
            with closing(SoloExecutor(worker_environment(), memory_bytes=self.cluster.memory_bytes)) as executor:
                yield executor
            return
        self.start_ahead()
        with start(self.cluster, gpus=self.gpus) as running:
            if self.announce and running.dashboard:
                page = running.dashboard.replace("/status", ROUTE)
                sys.stderr.write(f"Dask dashboard: {running.dashboard}, this run: {page}\n")
            with self._of(running) as executor:
                yield executor

    @contextmanager
    def _of(self, running: RunningCluster) -> Iterator[Executor]:
        self.dashboard = running.dashboard
        if running.client is None:
            yield InProcessExecutor()
            return
        from skyloom.engine.on_dask import DaskExecutor

        with self.announcer.connected(running.client) if self.announcer else nullcontext():
            yield DaskExecutor(running.client)


def check_store(planned: JobPlan) -> None:
    """Refuse a store that cannot do what the protocol needs, or has too little room.

    Raises
    ------
    SpecError
        If it lies inside the catalog, cannot create a file exactly once, or is open to everybody.
    StoreFullError
        If it has less free space than the layer is estimated to take.
    """
    store = planned.store
    if f"{store.root}/".startswith(f"{planned.catalog.root.rstrip('/')}/"):
        msg = f"layers cannot go to {store.root}, inside catalog {planned.catalog.root}; choose a place beside it"
        raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, store=store.root)
    store.make_directories([planned.job.layer])
    store.probe()
    if not isinstance(store, LocalStore):
        # An object store tells nobody how much room it has.
        return
    root = Path(store.root)
    journal = Journal(store, planned.job.layer, planned.job_id)
    refuse_open_to_all(root, root / planned.job.layer, store.path(journal.name()))
    wanted = int(ROOM * 8 * planned.rows * len(planned.schema))
    free = shutil.disk_usage(root).free
    if free < wanted:
        msg = f"{root} has {free:,} bytes free and layer {planned.job.layer} may take {wanted:,}; make room"
        raise StoreFullError(msg, kind=ErrorKind.STORE_FULL, free=free, wanted=wanted)


def refuse_open_to_all(*folders: Path) -> None:
    """Refuse directories that every user of this machine may write into.

    Raises
    ------
    SpecError
        Naming the first: whoever can put files there can put values into the layer.
    """
    for folder in folders:
        if folder.exists() and folder.stat().st_mode & stat.S_IWOTH:
            msg = (
                f"everybody may write into {folder}, and so into the layer; say chmod o-w, or choose another store"
            )
            raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, folder=str(folder))


def check_whole(planned: JobPlan, reference: Reference) -> None:
    """Refuse to call a version up to date whose files are cut short or gone.

    Looks at names and sizes on file systems, a microsecond each; `verify_layer` looks at every
    byte. Object stores are taken at their word: one request a file is too much for nothing to do.

    Raises
    ------
    DataError
        Naming the file, and how to mend it.
    """
    store = planned.store
    if not isinstance(store, LocalStore):
        return
    layer = planned.job.layer
    found = published(store, layer, reference.version)
    for entry in found.files:
        name = found.journal.data(entry.key)
        size = store.size(name) if store.exists(name) else None
        if size != entry.size_bytes:
            now = "is missing" if size is None else f"has {size} bytes"
            msg = (
                f"{store.location(name)} {now} and was published with {entry.size_bytes}: version "
                f"{reference.version} of layer {layer} is damaged. `skyloom layer repair JOB.toml` computes such "
                "partitions again"
            )
            raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, key=entry.key, file=store.location(name))


def _seal(planned: JobPlan, summary: RunSummary) -> Manifest:
    journal = Journal(planned.store, planned.job.layer, planned.job_id)
    if planned.numerics and planned.numerics.differences:
        journal.store.put_if_absent(journal.name(MEASURED), canonical_json(planned.numerics.measured()))
    face, provenance = face_of(planned, summary.records)
    return seal(journal, planned.plan, summary.records, face=face, provenance=provenance, last=CATALOG_FILES)


def face_of(planned: JobPlan, records: Sequence[Record]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the small files that make a job's directory a HATS catalog, and its provenance."""
    face = layer_face(
        name=planned.job.layer,
        base=planned.catalog,
        schema=planned.schema,
        partitions=[(record.key, record.rows, record.size_bytes) for record in records],
    )
    return face, provenance_of(planned, records)


def provenance_of(planned: JobPlan, records: Sequence[Record]) -> dict[str, Any]:
    """Return what makes a layer: inputs, model, card, settings, versions.

    No times, paths or labels: two drivers of one job must state the same, wherever they run.
    """
    job, model = planned.job, planned.model
    card = model.card.to_toml() if model.card else None
    return {
        "job_id": planned.job_id,
        "layer": job.layer,
        "repeated_columns": list(planned.plan.settings["repeated"]),
        "identity": dict(planned.plan.identity),
        "question": getattr(model.system, "QUESTION", None),
        "card": card,
        **({"eligibility": planned.criteria.counted(records)} if planned.criteria else {}),
        **agreed(planned.numerics, Journal(planned.store, job.layer, planned.job_id)),
    }


def _write_version(planned: JobPlan, reference: Reference) -> None:
    """Write the HATS collection of a published version, unless it is there."""
    planned.store.make_directories([f"{planned.job.layer}/versions/v{reference.version:08d}"])
    for name, data in collection_of(planned, reference).items():
        planned.store.put_if_absent(name, data)


def collection_of(planned: JobPlan, reference: Reference) -> dict[str, bytes]:
    """Return the files of the HATS collection of a version, by their names in the store."""
    face = extension_face(
        name=planned.job.layer,
        base=planned.catalog,
        layer_path=planned.store.location(f"{planned.job.layer}/jobs/{reference.job_id}"),
        columns=[f.name for f in planned.schema if f.name not in planned.plan.settings["repeated"]],
    )
    folder = f"{planned.job.layer}/versions/v{reference.version:08d}"
    return {f"{folder}/{file}": data for file, data in face.items()}


def _report(
    planned: JobPlan,
    reference: Reference,
    summary: RunSummary | None,
    *,
    wall_s: float,
    dashboard: str | None = None,
) -> RunReport:
    layer, store = planned.job.layer, planned.store
    found = published(store, layer, reference.version)
    manifest, criteria = found.manifest, planned.criteria
    steps: tuple[Step, ...] = ()
    if criteria is not None:
        provenance = json.loads(store.read(found.journal.name("provenance.json")))
        steps = funnel_of(provenance, criteria.order)
    limit = planned.job.run.max_bad_fraction
    return RunReport(
        job=planned.job.job,
        layer=layer,
        layer_path=store.location(f"{layer}/jobs/{reference.job_id}"),
        collection=store.location(f"{layer}/versions/v{reference.version:08d}"),
        version=reference.version,
        job_id=reference.job_id,
        rows=manifest.rows,
        partitions=len(planned.tasks),
        computed=summary.computed if summary else 0,
        reused=summary.reused if summary else len(planned.tasks),
        flagged=manifest.flagged,
        quarantined=manifest.quarantined,
        over_limit=manifest.quarantined > limit * max(manifest.rows, 1),
        up_to_date=summary is None,
        wall_s=round(wall_s, 3),
        dashboard=dashboard,
        seconds=summary.seconds if summary else {},
        funnel=steps,
    )
