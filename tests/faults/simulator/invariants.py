"""What must hold at every moment of every schedule, read straight from the disk.

The numbers are those of the protocol: I1 a committed name is complete and durable, I2 one
content per job and partition for ever, I3 output rows are the input's rows, I4 readers see
only whole layers and versions never change their meaning, I5 everything under a job is of
that job, I6 flagged rows are the rows in quarantine, I7 what a reference names is there.
"""

from __future__ import annotations

import json
from typing import Any

from skyloom.engine import Plan, Record, partition_file
from skyloom.engine.publish import Reference
from skyloom.errors import DataError
from skyloom.storage import sha256_bytes
from tests.faults.simulator.files import ROOT, SimulatedFiles

__all__ = ["Told", "Violation", "check", "check_finished"]


class Violation(Exception):
    """A schedule on which the protocol breaks its promise."""


class Told:
    """What actors were told is done; whatever happens, it stays done."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], str] = {}
        self.references: dict[int, str] = {}

    def record(self, job_id: str, key: str, sha256: str) -> None:
        """Note that a partition is committed with this content."""
        known = self.records.setdefault((job_id, key), sha256)
        if known != sha256:
            raise Violation(f"I2 {key} of {job_id} was {known}, now {sha256}")

    def reference(self, reference: Reference) -> None:
        """Note what a version means."""
        known = self.references.setdefault(reference.version, reference.sha256)
        if known != reference.sha256:
            raise Violation(f"I4 version {reference.version} meant {known}, now {reference.sha256}")


def check(files: SimulatedFiles, plans: tuple[Plan, ...], told: Told) -> None:
    """Raise `Violation` unless every invariant holds now."""
    for plan in plans:
        digests = {}
        for task in plan.tasks:
            found = _check_partition(files, plan, task, told)
            if found is not None:
                digests[task.key] = found
        _check_manifest(files, plan, digests)
    _check_references(files, plans, told)


def job_path(plan: Plan, name: str) -> str:
    """Return the path of a file of the job of `plan`."""
    return f"{ROOT}/{plan.layer}/jobs/{plan.job_id}/{name}"


def _check_partition(files: SimulatedFiles, plan: Plan, task: Any, told: Told) -> str | None:
    data = files.peek(job_path(plan, f"dataset/{task.key}.parquet"))
    digest = None if data is None else _check_data(plan, task, data)
    record = files.peek(job_path(plan, f"records/{task.key}.json"))
    if record is not None:
        _check_record(plan, task, record, digest)
    promised = told.records.get((plan.job_id, task.key))
    if promised is not None and (record is None or digest != promised):
        raise Violation(f"I1 {task.key} was told to be recorded with {promised}; there is {digest}, {record!r}")
    return digest


def _check_data(plan: Plan, task: Any, data: bytes) -> str:
    try:
        found = partition_file.inspect(data, where=task.key)
    except DataError as error:
        raise Violation(f"I1 data of {task.key} is torn: {error.message}") from None
    if (found.footer["job_id"], found.footer["key"]) != (plan.job_id, task.key):
        raise Violation(f"I5 {task.key} of {plan.job_id} holds {found.footer['job_id']} {found.footer['key']}")
    if found.rows != task.rows or found.footer["row_keys"] != plan.settings["row_keys"][task.key]:
        raise Violation(f"I3 {task.key} has {found.rows} rows with keys {found.footer['row_keys']}")
    if int(found.footer["flagged"]) != len(found.faults):
        raise Violation(f"I6 {task.key} has {found.footer['flagged']} flags and {len(found.faults)} faults")
    return found.sha256


def _check_record(plan: Plan, task: Any, data: bytes, digest: str | None) -> None:
    try:
        record = Record.from_json(data, where=task.key)
    except DataError as error:
        raise Violation(f"I1 record of {task.key} is torn: {error.message}") from None
    if record.job_id != plan.job_id:
        raise Violation(f"I5 {task.key} of {plan.job_id} has a record of {record.job_id}")
    if record.sha256 != digest:
        raise Violation(f"I2 {task.key} is recorded as {record.sha256}, there is {digest}")


def _check_manifest(files: SimulatedFiles, plan: Plan, digests: dict[str, str]) -> None:
    data = files.peek(job_path(plan, "manifest.json"))
    if data is None:
        return
    try:
        manifest = json.loads(data)
    except ValueError:
        raise Violation(f"I1 manifest of {plan.job_id} is torn") from None
    if len(digests) != len(plan.tasks) or manifest["rows"] != plan.rows:
        raise Violation(f"I3 {plan.job_id} is sealed with {manifest['rows']} rows, {len(digests)} partitions")
    if manifest["flagged"] != manifest["quarantined"]:
        raise Violation(f"I6 {plan.job_id} has {manifest['flagged']} flags, {manifest['quarantined']} faults")
    for name, sha256 in manifest["others"].items():
        other = files.peek(job_path(plan, name))
        if other is None or sha256_bytes(other) != sha256:
            raise Violation(f"I1 {name} of {plan.job_id} is not what its manifest says")


def _check_references(files: SimulatedFiles, plans: tuple[Plan, ...], told: Told) -> None:
    folder = f"{ROOT}/{plans[0].layer}/refs"
    names = [name for name in files.peek_names(folder) if not name.startswith(".tmp-")]
    if names != [f"v{number:08d}.json" for number in range(1, len(names) + 1)]:
        raise Violation(f"I4 versions are {names}")
    by_job = {plan.job_id: plan for plan in plans}
    previous = ""
    for number, name in enumerate(names, start=1):
        data = files.peek(f"{folder}/{name}") or b""
        try:
            values = json.loads(data)
        except ValueError:
            raise Violation(f"I4 {name} is torn: {data!r}") from None
        if values["prev_sha256"] != previous or values["version"] != number:
            raise Violation(f"I4 {name} is not chained to the version before")
        previous = sha256_bytes(data)
        if told.references.get(number, previous) != previous:
            raise Violation(f"I4 version {number} changed its meaning")
        manifest = files.peek(job_path(by_job[values["job_id"]], "manifest.json"))
        if manifest is None or sha256_bytes(manifest) != values["manifest_sha256"]:
            raise Violation(f"I7 version {number} names a manifest that is not there")
    lost = sorted(set(told.references) - set(range(1, len(names) + 1)))
    if lost:
        raise Violation(f"I4 versions {lost} were seen and are gone")


def check_finished(files: SimulatedFiles, plans: tuple[Plan, ...], told: Told) -> None:
    """Raise `Violation` unless every job is published and nothing is left over."""
    check(files, plans, told)
    folder = f"{ROOT}/{plans[0].layer}/refs"
    data = [files.peek(f"{folder}/{name}") for name in files.peek_names(folder)]
    jobs = {json.loads(text)["job_id"] for text in data if text}
    if jobs != {plan.job_id for plan in plans}:
        raise Violation(f"I4 published are {sorted(jobs)}: a publication was lost")
    left = sorted(name for path in files.folders for name in files.peek_names(path) if name.startswith(".tmp-"))
    if left:
        raise Violation(f"I7 {left} are left over after collection")
