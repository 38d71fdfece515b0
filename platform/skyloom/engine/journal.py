"""Journal: the names under which one job keeps its work, and reading them back.

::

    <layer>/jobs/<job_id>/job.json               create-once: identity and planned partitions
                          dataset/<key>.parquet  create-once: the commit point of a partition
                          records/<key>.json     create-once: proof that it is durable
                          log/<run>.jsonl        what happened, for people; in an object
                                                 store in pieces, log/<run>.00000.jsonl, …
                          manifest.json          create-once: the seal
    <layer>/refs/v00000001.json                  create-once: publication
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from skyloom.engine.plan import Plan, Task
from skyloom.engine.records import Record
from skyloom.errors import ConflictError, ErrorKind
from skyloom.storage import Store, canonical_json

__all__ = ["Journal"]


@dataclass(frozen=True, slots=True)
class Journal:
    """The files of one job in a store."""

    store: Store
    layer: str
    job_id: str

    def name(self, *parts: str) -> str:
        """Return the store's name of a file of this job."""
        return "/".join((self.layer, "jobs", self.job_id, *parts))

    def data(self, key: str) -> str:
        """Return the name of a partition's data file."""
        return self.name("dataset", f"{key}.parquet")

    def record(self, key: str) -> str:
        """Return the name of a partition's commit record."""
        return self.name("records", f"{key}.json")

    def begin(self, plan: Plan) -> None:
        """Make the places for the work of `plan` and state its identity, once.

        Only a driver calls this; a worker that outlives its job cannot bring it back.

        Raises
        ------
        ConflictError
            If the job exists with another identity or other partitions.
        """
        self.store.make_directories(self._places(plan))
        stated = canonical_json(_statement(plan))
        if not self.store.put_if_absent(self.name("job.json"), stated):
            found = self.store.read(self.name("job.json"))
            if found != stated:
                where = self.store.location(self.name("job.json"))
                msg = f"{where} states other work under job id {self.job_id}; move that directory away"
                raise ConflictError(msg, kind=ErrorKind.DIGEST_MISMATCH, job_id=self.job_id)

    def _places(self, plan: Plan) -> set[str]:
        folders = {str(PurePosixPath(task.key).parent) for task in plan.tasks} | {"."}
        places = {self.name("log"), f"{self.layer}/refs", f"{self.layer}/versions"}
        for folder in folders:
            for kind in ("dataset", "records"):
                places.add(self.name(kind) if folder == "." else self.name(kind, folder))
        return places

    def records(self, tasks: tuple[Task, ...]) -> Iterator[Record]:
        """Yield the records there are of `tasks`."""
        for name, data in self.store.read_present(self.record(task.key) for task in tasks):
            yield Record.from_json(data, where=self.store.location(name))


def _statement(plan: Plan) -> dict[str, Any]:
    return {
        "job_id": plan.job_id,
        "layer": plan.layer,
        "identity": dict(plan.identity),
        "partitions": [[task.key, task.rows, task.digest] for task in plan.tasks],
    }
