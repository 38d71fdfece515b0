"""From a job file to a plan: everything is read, checked and priced; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from skyloom.catalog import Catalog, Partition, expand_variables, open_catalog
from skyloom.cluster import ClusterSpec, RunningCluster
from skyloom.columns import schema_of
from skyloom.engine import DECOMPRESSION, Limits, Plan, Task, history
from skyloom.errors import ConflictError, ErrorKind, SpecError
from skyloom.jobs.bound import Bound
from skyloom.jobs.devices import decide
from skyloom.jobs.eligibility import Criteria, criteria_of
from skyloom.jobs.layers import Layer, check_aligned, open_layer
from skyloom.jobs.models import LoadedModel, load_model
from skyloom.jobs.numerics import Numerics, elsewhere, shown
from skyloom.jobs.sources import Source, bind
from skyloom.jobs.spec import JobSpec
from skyloom.jobs.tensors import AHEAD, TensorSource, bind_tensors, task_digest
from skyloom.models import registry
from skyloom.runtime.scoring import layer_columns
from skyloom.storage import Store, check_name, open_store

__all__ = ["JobPlan", "plan_job"]

SLICES_IN_USE = 4
"""Slices of tensors in memory beside those read ahead: the model's own, what it makes of it, and the first of the
partition that comes next."""


@dataclass(frozen=True)
class JobPlan:
    """A job that was found possible."""

    job: JobSpec
    catalog: Catalog
    layers: tuple[Layer, ...]
    model: LoadedModel
    sources: tuple[Source, ...]
    tensors: tuple[TensorSource, ...]
    store: Store
    plan: Plan
    version: int
    """Version of the layer that was newest when this was planned; 0 for none."""
    numerics: Numerics | None
    """What networks compute with; None for a model without any."""
    criteria: Criteria | None = None
    """Which rows the model is asked about; None for all."""

    @property
    def job_id(self) -> str:
        """Identifies the work: the same inputs, model and settings give the same id."""
        return self.plan.job_id

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One per partition."""
        return self.plan.tasks

    @property
    def rows(self) -> int:
        """Rows in, and out."""
        return self.plan.rows

    @property
    def bytes(self) -> int:
        """Bytes of the catalog's files, of which the columns read are a part, and of tensor stores."""
        return self.plan.size_bytes + sum(source.bytes for source in self.tensors)

    @property
    def memory_bytes(self) -> int:
        """Projected memory of the largest task."""
        return max((projected_memory_bytes(task, self.schema, self.tensors) for task in self.tasks), default=0)

    @property
    def on_gpu(self) -> bool:
        """Whether networks compute on a GPU."""
        return self.numerics is not None and self.numerics.on_gpu

    @property
    def imports(self) -> tuple[str, ...]:
        """Modules that every worker needs; pandas, since pyarrow looks for it when it makes its first array."""
        entry = self.plan.entry.partition(":")[0]
        networks = ("torch", "skyloom.runtime.networks") if self.numerics is not None else ()
        return ("pandas", "skyloom.engine.on_dask", entry, registry.module_of(self.model.name), *networks)

    @property
    def computing(self) -> dict[str, Any]:
        """Device, precision, memory order, tile and threads; None where only the model's source tells."""
        return shown(self.numerics, self.model)

    @property
    def elsewhere(self) -> str | None:
        """What to say of an earlier job of the layer that was the same but for its device or precision."""
        return elsewhere(self.store, self.job.layer, self.plan.identity, self.job_id)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the layer."""
        return self.plan.schema


def plan_job(
    job: JobSpec,
    *,
    store: str | Path | None = None,
    cluster: ClusterSpec | RunningCluster | None = None,
) -> JobPlan:
    """Check that a job can run, and say what it would do. Nothing is written.

    Parameters
    ----------
    job : JobSpec
    store : str or Path, optional
        Where layers go, instead of the job's own place.
    cluster : ClusterSpec or RunningCluster, optional
        Who will compute: asked what device it has, where the model has networks; default: this machine.

    Raises
    ------
    SpecError
        If the model, a column, its type or unit, a setting or the store is not as the job
        says, a partition is projected to need more memory than a task may have, or the device or
        the precision would change columns by more than the card of the weights tolerates.
    NotFoundError
        If the catalog, a layer or weights do not exist.
    DataError
        If a file of the catalog or the weights is broken.
    ConflictError
        If the catalog is not the snapshot that the job pins, or a layer's base has changed.
    """
    model = load_model(job.model, job.weights, job.model_settings)
    catalog = open_catalog(job.input.catalog)
    opened = open_store(store_of(job, catalog, store))
    layers = tuple(open_layer(name, opened.root if "/" not in name else None) for name in job.input.layers)
    criteria = criteria_of(job.eligibility, model, catalog, layers, job.input.columns)
    others = criteria.eligibility.columns if criteria else ()
    sources = bind(model.reads, catalog, layers, columns=job.input.columns, units=job.input.units, others=others)
    partitions = catalog.partitions()
    check_snapshot(job, catalog)
    check_aligned(catalog, layers)
    stores = {name: expand_variables(place, f"job {job.job}") for name, place in job.input.tensors.items()}
    tensors = bind_tensors(model.tensors, catalog, row_keys_of(catalog), stores=stores, units=job.input.units)
    schema, repeated = output_schema(job, catalog, model, sources, criteria)
    asked = (*sources, *(criteria.sources if criteria else ()))
    catalog.check_columns([*repeated, *(s.found.name for s in asked if not s.layer)])
    numerics = decide(job.run, model, cluster)
    bound = Bound(job, catalog, layers, model, sources, tensors, numerics, criteria)
    plan = Plan(
        layer=job.layer,
        identity=bound.identity(schema),
        schema=schema,
        row_keys=row_keys_of(catalog),
        tasks=tuple(_task(partition, tensors) for partition in partitions),
        entry="skyloom.jobs.scoring:Scoring",
        settings=bound.settings(repeated, row_keys_of(catalog)),
        footer={"model": model.name, "snapshot": catalog.snapshot()},
        fail_on_bad_row=job.on_bad_row == "fail",
        limits=Limits(
            max_bad_fraction=job.run.max_bad_fraction,
            memory_bytes=job.run.task_memory_bytes,
            confined=not (numerics and numerics.on_gpu),
            deadline_s=job.run.task_deadline_s,
        ),
    )
    check_memory(plan, job.run.task_memory_bytes, tensors)
    versions = history(opened, job.layer)
    return JobPlan(job, catalog, layers, model, sources, tensors, opened, plan, len(versions), numerics, criteria)


def store_of(job: JobSpec, catalog: Catalog, store: str | Path | None) -> str:
    """Return where layers go: as asked, as the job says, or as the catalog's descriptor says.

    Raises
    ------
    SpecError
        If none of them says.
    """
    place = store or job.output.store or catalog.layers_place
    if not place:
        msg = (
            f"nothing says where layer {job.layer} goes: give --store DIRECTORY, [output] store in the job file, "
            f"or `layers` in a descriptor of catalog {catalog.name}"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_JOB_FILE, layer=job.layer)
    return str(place)


def row_keys_of(catalog: Catalog) -> tuple[str, ...]:
    """Return the columns that say which row a row is; positions where there is nothing better."""
    keys = tuple(name for name in (catalog.healpix_column, catalog.id_column) if name)
    return keys or (catalog.ra_column, catalog.dec_column)


def check_snapshot(job: JobSpec, catalog: Catalog) -> None:
    """Refuse a catalog that is not the one that the job pins."""
    if job.input.snapshot is not None and job.input.snapshot != catalog.snapshot():
        msg = (
            f"job {job.job} pins snapshot {job.input.snapshot} of catalog {catalog.name}, and {catalog.root} is "
            f"{catalog.snapshot()}: files were changed, added or removed. Restore them, or pin the new one"
        )
        raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED, catalog=catalog.name)


def check_memory(plan: Plan, limit_bytes: int, tensors: Sequence[TensorSource] = ()) -> None:
    """Refuse partitions that are projected not to fit."""
    over = [task for task in plan.tasks if projected_memory_bytes(task, plan.schema, tensors) > limit_bytes]
    if over:
        worst = max(over, key=lambda task: task.size_bytes)
        msg = (
            f"{len(over)} of {len(plan.tasks)} partitions need more than task_memory_bytes={limit_bytes}; the "
            f"largest, {worst.key}, needs about {projected_memory_bytes(worst, plan.schema, tensors)}. Raise "
            "task_memory_bytes, or import the catalog with a smaller partition threshold"
        )
        raise SpecError(msg, kind=ErrorKind.PLAN_TOO_LARGE, key=worst.key)


def projected_memory_bytes(task: Task, schema: pa.Schema, tensors: Sequence[TensorSource] = ()) -> int:
    """Return the memory that a task is projected to need: input decoded, output whole, slices of tensors."""
    held = sum(
        min(source.store.slice_rows(), task.rows) * source.store.layout.row_bytes * (AHEAD + SLICES_IN_USE)
        for source in tensors
    )
    return DECOMPRESSION * task.size_bytes + 8 * task.rows * len(schema) + held


def output_schema(
    job: JobSpec,
    catalog: Catalog,
    model: LoadedModel,
    sources: Sequence[Source],
    criteria: Criteria | None = None,
) -> tuple[pa.Schema, tuple[str, ...]]:
    """Return the layer's schema, and the columns in it that repeat the catalog's.

    Raises
    ------
    SpecError
        If the model writes a column that the catalog has, or whose name cannot be one.
    """
    units = {source.read.name: source.found.unit for source in sources}
    reasons = criteria.flags if criteria else ()
    written = layer_columns(model.system, model.config, layer=job.layer, units=units, reasons=reasons)
    for column in written:
        check_name(column.name, what="column")
    repeated = [catalog.id_column, catalog.ra_column, catalog.dec_column, catalog.healpix_column]
    kept = [catalog.schema.field(name) for name in dict.fromkeys(filter(None, repeated))]
    clash = sorted({column.name for column in written} & set(catalog.schema.names))
    if clash:
        msg = (
            f"model {model.name} writes {', '.join(clash)}, which catalog {catalog.name} has already; "
            "a layer never replaces a column: rename it at import"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, columns=", ".join(clash))
    plain = [field.with_type(_plain(field.type)) for field in kept]
    return pa.schema([*plain, *schema_of(written)]), tuple(field.name for field in kept)


def _plain(dtype: pa.DataType) -> pa.DataType:
    return dtype.value_type if pa.types.is_dictionary(dtype) else dtype


def _task(partition: Partition, tensors: Sequence[TensorSource]) -> Task:
    return Task(partition.key, partition.rows, partition.bytes, task_digest(partition, tensors), partition.files)
