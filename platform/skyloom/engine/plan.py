"""Plan: what would be done, as data that can be printed, priced and refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from skyloom.engine.limits import Limits
from skyloom.engine.records import Record
from skyloom.errors import ErrorKind, SpecError
from skyloom.storage import canonical_json, check_name, sha256_bytes

__all__ = ["Plan", "Task", "Work", "identity_digest", "pending"]


@dataclass(frozen=True, slots=True)
class Task:
    """One partition of work."""

    key: str
    """The partition's path, such as ``Norder=3/Dir=0/Npix=512``."""
    rows: int
    size_bytes: int
    digest: str
    """Digest of what the task reads; a commit counts only for the same one."""
    inputs: tuple[str, ...] = ()
    """Files that the processor reads, relative to where its settings say."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker process loads once and keeps: how every task of a plan is done.

    Nothing here identifies the result (`Plan.identity` does): paths and batch sizes may
    differ between two runs of one job.
    """

    entry: str
    """``"module:callable"``; called with `settings`, returns a `Processor`."""
    settings: Mapping[str, Any]
    store: str
    layer: str
    job_id: str
    row_keys: tuple[str, ...]
    schema: pa.Schema
    footer: Mapping[str, str] = field(default_factory=dict)
    """What every data file says of its origin; the same for all of a job."""
    fail_on_bad_row: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def work_id(self) -> str:
        """Digest of this description: the key of a worker's cache."""
        return sha256_bytes(self.to_json().encode())

    def to_json(self) -> str:
        """Return the description as text that `from_json` reads back."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["schema"] = base64.b64encode(self.schema.serialize().to_pybytes()).decode()
        values["settings"], values["footer"] = dict(self.settings), dict(self.footer)
        values["limits"] = asdict(self.limits)
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        values["schema"] = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(values["schema"])))
        values["row_keys"] = tuple(values["row_keys"])
        values["limits"] = Limits(**values["limits"])
        return cls(**values)


@dataclass(frozen=True)
class Plan:
    """Everything that a run will do.

    Raises
    ------
    SpecError
        If the layer's name cannot be used, or two tasks have one key.
    """

    layer: str
    identity: Mapping[str, Any]
    """Everything that may change a value: inputs, model, settings, schema, versions."""
    schema: pa.Schema
    row_keys: tuple[str, ...]
    """Columns of the output that say which row a row is."""
    tasks: tuple[Task, ...]
    entry: str
    settings: Mapping[str, Any]
    footer: Mapping[str, str] = field(default_factory=dict)
    fail_on_bad_row: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_name(self.layer, what="layer")
        if len({task.key for task in self.tasks}) != len(self.tasks):
            msg = f"the plan of layer {self.layer} has two tasks with one key; every partition is planned once"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=self.layer)

    @cached_property
    def job_id(self) -> str:
        """20 hex digits that identify the work: equal if and only if `identity` is."""
        return identity_digest(self.identity)

    @property
    def rows(self) -> int:
        """Rows over all tasks."""
        return sum(task.rows for task in self.tasks)

    @property
    def size_bytes(self) -> int:
        """Bytes that the tasks read, at most."""
        return sum(task.size_bytes for task in self.tasks)

    def work(self, store: str) -> Work:
        """Return what workers need to do the tasks, with output going to `store`."""
        return Work(
            entry=self.entry,
            settings=self.settings,
            store=store,
            layer=self.layer,
            job_id=self.job_id,
            row_keys=self.row_keys,
            schema=self.schema,
            footer=self.footer,
            fail_on_bad_row=self.fail_on_bad_row,
            limits=self.limits,
        )


def identity_digest(identity: Mapping[str, Any]) -> str:
    """Return the job id of an identity: 20 hex digits."""
    return sha256_bytes(canonical_json(identity)).removeprefix("sha256:")[:20]


def pending(plan: Plan, records: Iterable[Record]) -> tuple[Task, ...]:
    """Return the tasks of `plan` that no record covers, in plan order.

    A record covers a task only when job, key *and* input digest match. A file that merely
    exists proves nothing: it may be torn, or made of other input.
    """
    done = {(r.key, r.input_digest) for r in records if r.job_id == plan.job_id}
    return tuple(task for task in plan.tasks if (task.key, task.digest) not in done)
