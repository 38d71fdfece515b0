"""Care of layers: check a version against all that it promises, and make it whole."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skyloom.catalog import Catalog, open_catalog, read_partition
from skyloom.cluster import ClusterSpec, RunningCluster, resolve
from skyloom.engine import (
    Journal,
    repair,
    replay,
    rows_digest,
    verify,
)
from skyloom.engine.publish import Reference
from skyloom.engine.recheck import BaseKeys
from skyloom.engine.repair import Repaired
from skyloom.engine.replay import Replayed, check_same_job
from skyloom.engine.seal import FileEntry
from skyloom.engine.verify import Verification
from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.jobs.execute import Workers, collection_of, face_of
from skyloom.jobs.plan import JobPlan, plan_job
from skyloom.jobs.spec import JobSpec, load_job
from skyloom.jobs.tensors import catalog_part
from skyloom.storage import mender_of, open_store

__all__ = ["Checked", "base_keys", "repair_layer", "verify_layer"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a verification found, and a replay, if there was one."""

    verification: Verification
    replayed: Replayed | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return self.verification.ok and not (self.replayed and self.replayed.different)


def verify_layer(
    name: str,
    store: str | Path,
    *,
    version: int | None = None,
    catalog: Catalog | str | Path | None = None,
    job: JobSpec | str | Path | None = None,
    partitions: int = 0,
    seed: int = 0,
    cluster: str | Path | ClusterSpec | RunningCluster = "in-process",
) -> Checked:
    """Recompute every digest of a published version; see `skyloom.engine.verify`.

    Parameters
    ----------
    name : str
        The layer.
    store : str or Path
        Where it lies.
    version : int, optional
        By default the newest.
    catalog : Catalog, str or Path, optional
        The base: compare the row keys of every partition with it. By default that of `job`.
    job : JobSpec or path, optional
        The job that made the version; checks its HATS collection too, and is needed to replay.
    partitions : int
        Compute so many partitions again and compare their values bit for bit.
    seed : int
        Chooses which.
    cluster : str, path, ClusterSpec or RunningCluster
        Where they are computed.

    Raises
    ------
    NotFoundError
        If there is no such version, or it has expired.
    SpecError
        If a replay is asked for without a job.
    ConflictError
        If the job is not the one that made the version.
    """
    if partitions and job is None:
        msg = "a replay computes partitions again: name the job file that made the version"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=name)
    where = _cluster(cluster)
    planned = _planned(job, name, store, where) if job is not None else None
    base = planned.catalog if planned else catalog
    opened = open_catalog(base) if isinstance(base, str | Path) else base
    found = verify(open_store(store), name, version, base_keys=base_keys(opened) if opened else None)
    if opened is not None:
        _check_complete(found, opened)
    if planned is not None and found.reference is not None:
        check_same_job(found.reference, planned.plan)
        _check_collection(found, found.reference, planned)
    if not partitions or planned is None or found.published is None:
        return Checked(found)
    workers = Workers.of(planned, where, announce=False)
    return Checked(
        found, replay(found.published, planned.plan, workers.executor, partitions=partitions, seed=seed)
    )


def base_keys(catalog: Catalog) -> BaseKeys:
    """Return a reader of the row keys of a catalog's partitions."""
    partitions = {partition.key: partition for partition in catalog.partitions()}

    def digest(entry: FileEntry, row_keys: Sequence[str]) -> str:
        partition = partitions.get(entry.key)
        if partition is None:
            msg = f"{catalog.root} has no partition {entry.key}"
            raise DataError(msg, kind=ErrorKind.NO_SUCH_FILE, key=entry.key)
        if partition.digest != catalog_part(entry.input_digest):
            msg = f"partition {entry.key} of {catalog.root} is not the one that the layer was computed from"
            raise DataError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, key=entry.key)
        return rows_digest(read_partition(catalog.root, partition, list(row_keys)), row_keys)

    return digest


def _check_complete(found: Verification, catalog: Catalog) -> None:
    if found.published is not None:
        there = {entry.key for entry in found.published.files}
        for partition in catalog.partitions():
            if partition.key not in there:
                name = found.published.journal.name("manifest.parquet")
                found.add(name, f"lacks partition {partition.key} of {catalog.root}")


def _check_collection(found: Verification, reference: Reference, planned: JobPlan) -> None:
    for name, data in collection_of(planned, reference).items():
        if not planned.store.exists(name):
            found.add(name, "is missing")
        elif planned.store.read(name) != data:
            found.add(name, "is not the collection of this version")


def repair_layer(
    job: JobSpec | str | Path,
    *,
    store: str | Path | None = None,
    version: int | None = None,
    cluster: str | Path | ClusterSpec | RunningCluster = "in-process",
) -> Repaired:
    """Compute the damaged partitions of a version again and put them back; see `skyloom.engine.repair`.

    Parameters
    ----------
    job : JobSpec or path
        The job that made the version.
    store : str or Path, optional
        Where layers lie, instead of the job's own place.
    version : int, optional
        By default the newest.
    cluster : str, path, ClusterSpec or RunningCluster
        Where partitions are computed.

    Raises
    ------
    ConflictError
        If the job is not the one that made the version.
    DataError
        If what is computed now is not what was published; nothing was changed then.
    NotFoundError
        If there is no such version, or it has expired.
    """
    where = _cluster(cluster)
    planned = plan_job(job if isinstance(job, JobSpec) else load_job(job), store=store, cluster=where)
    workers = Workers.of(planned, where, announce=False)
    layer = planned.job.layer
    done = repair(
        planned.store, layer, planned.plan, workers.executor,
        face=lambda records: face_of(planned, records), version=version,
    )  # fmt: skip
    _mend_collection(done, planned)
    return done


def _mend_collection(done: Repaired, planned: JobPlan) -> None:
    """Write the HATS collection of the version again where it differs."""
    reference = done.after.reference
    if reference is None or not done.after.ok:
        return
    layer, stamp = planned.job.layer, uuid.uuid4().hex
    planned.store.make_directories([f"{layer}/versions/v{reference.version:08d}"])
    for name, data in collection_of(planned, reference).items():
        if planned.store.exists(name) and planned.store.read(name) == data:
            continue
        aside = Journal(planned.store, layer, reference.job_id).name("aside", stamp, name.partition("/")[2])
        if mender_of(planned.store).set_aside(name, aside):
            done.aside.append(aside)
        planned.store.put_if_absent(name, data)
        done.restored.append(name)


def _planned(
    job: JobSpec | str | Path, name: str, store: str | Path, cluster: ClusterSpec | RunningCluster
) -> JobPlan:
    planned = plan_job(job if isinstance(job, JobSpec) else load_job(job), store=store, cluster=cluster)
    if planned.job.layer != name:
        msg = f"job {planned.job.job} writes layer {planned.job.layer}, not {name}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=name)
    return planned


def _cluster(cluster: str | Path | ClusterSpec | RunningCluster) -> ClusterSpec | RunningCluster:
    return cluster if isinstance(cluster, ClusterSpec | RunningCluster) else resolve(cluster)
