"""A job's rows, piece by piece, are its rows at once; a row that cannot be scored says why."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from skyloom.engine import process
from skyloom.engine.guarded import run_guarded
from skyloom.engine.journal import Journal
from skyloom.jobs import scoring
from skyloom.jobs.plan import plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.runtime.contract import KILLED_WORKER, MODEL_ERROR, OUT_OF_MEMORY, TIMEOUT


@pytest.fixture
def planned(shared_tiny_catalog, job_of):
    return plan_job(job_of(shared_tiny_catalog))


@pytest.fixture
def processor(planned):
    return Scoring(planned.plan.settings)


def test_pieces_are_the_whole(planned, processor):
    task = max(planned.tasks, key=lambda t: t.rows)
    whole, rows = process(processor, task), processor.split(task)
    cuts = [0, 1, task.rows // 2, task.rows]
    pieces = [rows.compute(a, b).table for a, b in itertools.pairwise(cuts)]
    assert pa.concat_tables(pieces).equals(whole.table)
    assert rows.row_keys == whole.row_keys


@pytest.mark.parametrize(
    ("cause", "flag"),
    [
        ("signal 11", KILLED_WORKER),
        ("exit 3", KILLED_WORKER),
        ("timeout", TIMEOUT),
        ("memory", OUT_OF_MEMORY),
        ("ValueError", MODEL_ERROR),
    ],
)
def test_a_row_that_cannot_be_scored_is_null_and_says_why(planned, processor, cause, flag):
    task = planned.tasks[0]
    rows = processor.split(task)
    row = rows.quarantined(1, cause)
    assert row.schema.equals(planned.schema)
    found, (last,) = rows.compute(1, 2).table.to_pylist()[0], row.to_pylist()
    repeated = set(planned.plan.settings["repeated"])
    assert {name for name, value in last.items() if value is not None} == repeated | {rows.flag_column}
    assert {name: last[name] for name in repeated} == {name: found[name] for name in repeated}
    assert last[rows.flag_column] == flag.mask
    assert rows.input_digest(1) != rows.input_digest(0)


def test_a_guarded_job_commits_the_same_values(planned, processor):
    store, plan = planned.store, planned.plan
    Journal(store, plan.layer, plan.job_id).begin(plan)
    work = plan.work(store.root)
    outcomes = run_guarded(work.work_id, work.to_json(), plan.tasks[:2], memory_bytes=None, deadline_s=60)
    assert [(o.status, o.message, o.quarantined) for o in outcomes] == [("computed", "", 0)] * 2


def test_batches_halve_when_memory_runs_out_and_stay_so(planned, processor, monkeypatch):
    task = max(planned.tasks, key=lambda t: t.rows)
    whole, real, tried = process(processor, task).table, scoring.score, []

    def greedy(*args, batch_rows, **kwargs):
        tried.append(batch_rows)
        if batch_rows > 4:
            raise MemoryError
        return real(*args, batch_rows=batch_rows, **kwargs)

    monkeypatch.setattr(scoring, "score", greedy)
    assert process(processor, task).table.equals(whole)
    assert tried[-1] == processor.batch_rows <= 4
    tried.clear()
    process(processor, task)
    assert len(tried) == 1
