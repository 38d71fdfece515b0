"""What a worker process does with a task: compute it, commit it, record it.

A second execution of a task is harmless, so nothing here tries to prevent one: of two
writers one wins the name, and both then record what is there.
"""

from __future__ import annotations

import importlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from skyloom.engine import partition_file
from skyloom.engine.guarded import run_guarded
from skyloom.engine.journal import Journal
from skyloom.engine.outcomes import Outcome
from skyloom.engine.overlap import Steps, overlapped
from skyloom.engine.partition_file import Inspected
from skyloom.engine.plan import Task, Work
from skyloom.engine.processor import Computed, Processor, begin
from skyloom.engine.records import Record
from skyloom.engine.rows import rows_digests
from skyloom.errors import DataError, ErrorKind, NotFoundError, PartitionError, without_secrets
from skyloom.storage import Store, open_store
from skyloom.storage.files import failpoint

__all__ = ["attempt", "load", "processor_of", "register", "run_group", "run_task"]


_WORKS: dict[str, tuple[str, int | None]] = {}
_LOADED: dict[str, tuple[Work, Processor]] = {}


def register(work_id: str, description: str, memory_bytes: int | None = None) -> None:
    """Tell this process of a work, so that tasks need to carry only its id."""
    _WORKS[work_id] = (description, memory_bytes)


def load(work_id: str) -> tuple[Work, Processor]:
    """Return a work that was registered, and its processor; made once, and kept until another is asked for."""
    if work_id not in _LOADED:
        work = Work.from_json(_WORKS[work_id][0])
        processor = processor_of(work)
        # One model at a time: the next job's replaces the last one's.
        _LOADED.clear()
        _LOADED[work_id] = (work, processor)
    return _LOADED[work_id]


def processor_of(work: Work) -> Processor:
    """Return a new processor of a work: imports its module, and loads its model."""
    module, _, name = work.entry.partition(":")
    processor: Processor = getattr(importlib.import_module(module), name)(work.settings)
    return processor


def run_group(
    work_id: str, tasks: Sequence[Task], *, guarded: bool = False, beat: Callable[[], None] = lambda: None
) -> list[Outcome]:
    """Do some tasks; an error of one is returned, not raised.

    Parameters
    ----------
    guarded : bool
        Whether to compute in child processes, which rows may kill.
    beat : callable
        Called after each task that is not guarded: the next one's deadline starts then.
    """
    if guarded:
        description, memory_bytes = _WORKS[work_id]
        deadline_s = Work.from_json(description).limits.deadline_s
        return run_guarded(work_id, description, tasks, memory_bytes=memory_bytes, deadline_s=deadline_s)
    try:
        work, processor = load(work_id)
        store = open_store(work.store)
    except Exception as error:  # the end of a task: whatever it was, the driver decides
        return [Outcome.of_error(task, error).timed(wall_s=0.0, process=os.getpid()) for task in tasks]
    steps = Steps(partial(prepare, work, processor, store), partial(commit, work, store), work.limits.memory_bytes)
    return list(overlapped(tasks, steps, beat))


def attempt(work: Work, processor: Processor, store: Store, task: Task) -> Outcome:
    """Do one task; an error is returned, not raised."""
    try:
        return run_task(work, processor, store, task)
    except Exception as error:  # the end of a task: whatever it was, the driver decides
        return Outcome.of_error(task, error)


def run_task(work: Work, processor: Processor, store: Store, task: Task) -> Outcome:
    """Bring one task to its record, from wherever an earlier attempt left it.

    Raises
    ------
    DataError
        If the output breaks the layer's schema, rows or row order.
    PartitionError
        If rows raised and the job says to fail then.
    """
    prepared = prepare(work, processor, store, task)
    return prepared if isinstance(prepared, Outcome) else commit(work, store, task, prepared())


def prepare(work: Work, processor: Processor, store: Store, task: Task) -> Outcome | Callable[[], Computed]:
    """Return the outcome of a task that is done, or what computes it: its rows are read then, if they can be."""
    journal = Journal(store, work.layer, work.job_id)
    recorded = _recorded(journal, task)
    if recorded is not None:
        return Outcome.of_record("reused", recorded)
    if store.exists(journal.data(task.key)):
        store.settle(journal.data(task.key))
        return Outcome.of_record("recovered", record_committed(journal, work, task))
    return begin(processor, task)


def commit(work: Work, store: Store, task: Task, computed: Computed) -> Outcome:
    """Check what was computed, commit it and record it."""
    started = time.perf_counter()
    journal = Journal(store, work.layer, work.job_id)
    footer = _footer(work, task, computed, columns=check_computed(work, task, computed))
    written = _commit(journal, task, computed.table, footer)
    failpoint("before-record")
    record = record_committed(journal, work, task, written)
    seconds = {**computed.seconds, "commit_s": time.perf_counter() - started}
    return Outcome.of_record("lost-race" if written is None else "computed", record, seconds=seconds)


def _recorded(journal: Journal, task: Task) -> Record | None:
    name = journal.record(task.key)
    try:
        data = journal.store.read(name)
    except NotFoundError:
        return None
    journal.store.settle(name)
    return Record.from_json(data, where=journal.store.location(name))


def check_computed(work: Work, task: Task, computed: Computed) -> str:
    """Refuse output that is not every row of the input, in order, in the declared types.

    Returns
    -------
    str
        `rows_digest` over all columns.

    Raises
    ------
    DataError
        Naming the partition and the difference.
    PartitionError
        If rows raised and the job says ``on_bad_row = "fail"``.
    """
    table = computed.table
    if table.num_rows != task.rows:
        msg = (
            f"partition {task.key} has {task.rows} rows and the model returned {table.num_rows}; "
            "a layer keeps every row, in order: return nulls and a flag for rows without a value"
        )
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=task.key, expected=task.rows, found=table.num_rows)
    if not table.schema.equals(work.schema):
        msg = f"partition {task.key}: {_difference(work.schema, table.schema)}"
        raise DataError(msg, kind=ErrorKind.MODEL_OUTPUT, key=task.key)
    row_keys, columns = rows_digests(table, work.row_keys)
    if row_keys != computed.row_keys:
        msg = f"partition {task.key}: the output's row keys {', '.join(work.row_keys)} differ from the input's"
        raise DataError(msg, kind=ErrorKind.ROW_ORDER, key=task.key)
    if computed.faults and work.fail_on_bad_row:
        first = computed.faults[0]
        msg = (
            f"partition {task.key}: {len(computed.faults)} of {task.rows} rows raised, the first at row "
            f"{first.row}: {first.message}. The job says on_bad_row = 'fail'; 'quarantine' flags them instead"
        )
        raise PartitionError(msg, kind=ErrorKind.BAD_ROW, key=task.key, row=first.row)
    return columns


def _difference(expected: pa.Schema, found: pa.Schema) -> str:
    for name in expected.names:
        if name not in found.names:
            return f"the output lacks column {name}"
        if not found.field(name).type.equals(expected.field(name).type):
            return f"the output's column {name} is {found.field(name).type}, declared {expected.field(name).type}"
    extra = [name for name in found.names if name not in expected.names]
    return (
        f"the output has undeclared columns {', '.join(extra)}"
        if extra
        else "the output's columns are out of order"
    )


def _footer(work: Work, task: Task, computed: Computed, *, columns: str) -> dict[str, str]:
    flagged = 0
    if computed.flag_column is not None:
        flags = pc.not_equal(computed.table.column(computed.flag_column), 0)
        flagged = sum(chunk.true_count for chunk in flags.chunks)
    return {
        **work.footer,
        "job_id": work.job_id,
        "layer": work.layer,
        "key": task.key,
        "input_digest": task.digest,
        "row_keys": computed.row_keys,
        "columns": columns,
        "flagged": str(flagged),
        "quarantine": json.dumps(
            [[f.row, f.cause, without_secrets(f.message), f.input_digest] for f in computed.faults]
        ),
        **({"counts": json.dumps(dict(computed.counts), sort_keys=True)} if computed.counts else {}),
    }


def _commit(journal: Journal, task: Task, table: pa.Table, footer: Mapping[str, str]) -> Inspected | None:
    """Commit a partition; return what was written, or None if another writer was first."""
    with journal.store.stage(journal.data(task.key)) as staged:
        written = partition_file.write(staged.file, table, footer)
        return written if staged.commit() else None


def record_committed(journal: Journal, work: Work, task: Task, written: Inspected | None = None) -> Record:
    """Check what lies under a partition's name now, and record it.

    Parameters
    ----------
    written : Inspected, optional
        What this attempt committed, synced and gave its name: names are never given twice, so
        this is what lies there, and the seal reads it again. Without it the file is read.

    Raises
    ------
    DataError
        If the file there belongs to other work or other input.
    """
    record = record_of(journal, work, task, written)
    if not journal.store.put_if_absent(journal.record(task.key), record.to_json()):
        data = journal.store.read(journal.record(task.key))
        return Record.from_json(data, where=journal.store.location(journal.record(task.key)))
    return record


def record_of(journal: Journal, work: Work, task: Task, written: Inspected | None = None) -> Record:
    """Return the record of what lies under a partition's name now; writes nothing.

    Raises
    ------
    DataError
        If the file there belongs to other work or other input.
    """
    name = journal.data(task.key)
    where = journal.store.location(name)
    found = written or partition_file.inspect(journal.store.read(name), where=where)
    expected = {"job_id": work.job_id, "key": task.key, "input_digest": task.digest}
    for key, value in expected.items():
        if found.footer.get(key) != value:
            msg = f"{where} says {key}={found.footer.get(key)!r}, this job {value!r}; move it away, run again"
            raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, key=task.key)
    if found.rows != task.rows:
        msg = f"{where} has {found.rows} rows, its partition {task.rows}; move it away and run again"
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, key=task.key)
    return Record(
        job_id=work.job_id,
        key=task.key,
        input_digest=task.digest,
        rows=found.rows,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        checksum=found.checksum,
        row_keys=found.footer["row_keys"],
        columns=found.footer["columns"],
        flagged=int(found.footer["flagged"]),
        quarantined=len(found.faults),
        counts=found.counts,
        attempt=uuid.uuid4().hex,
    )
