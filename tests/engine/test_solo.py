"""One task, one process: what it writes is what workers write, and what kills it does not kill the run."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from dataclasses import replace

import pytest

from skyloom.engine import InProcessExecutor, Journal, Limits, SoloExecutor, dispatch, run_plan
from skyloom.storage import LocalStore
from tests.engine import toy

LIMITS = Limits(deadline_s=0.3)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "layers")


def solo():
    return closing(SoloExecutor({"SKYLOOM_TEST_WORD": "heard"}))


def outcomes(plan, store):
    Journal(store, plan.layer, plan.job_id).begin(plan)
    with solo() as executor:
        return list(dispatch(plan.work(store.root), plan.tasks, executor))


def test_a_task_is_computed_by_another_process(store):
    (outcome,) = outcomes(toy.plan(1), store)

    assert outcome.status == "computed"
    assert outcome.process != os.getpid()


def test_records_are_those_of_this_process(tmp_path):
    plan = toy.plan(3)
    alone = run_plan(plan, LocalStore(tmp_path / "alone"), solo)
    here = run_plan(plan, LocalStore(tmp_path / "here"), lambda: nullcontext(InProcessExecutor()))

    assert [replace(r, attempt="") for r in alone.records] == [replace(r, attempt="") for r in here.records]


@pytest.mark.parametrize("misdeed", ["segfault", "exit", "hang", "memory", "raise"])
def test_a_row_that_ends_the_process_is_found_and_the_rest_computed(store, misdeed):
    plan = toy.poisoned(1, {4: misdeed}, limits=replace(LIMITS, memory_bytes=4 << 30))

    (outcome,) = outcomes(plan, store)

    assert (outcome.status, outcome.rows, outcome.quarantined) == ("computed", toy.ROWS, 1)


def test_an_error_of_a_partition_is_told_as_by_any_worker(store):
    (outcome,) = outcomes(toy.plan(1, **{"raise": [0]}), store)

    assert outcome.status == "failed"
    assert "poison in Norder=1/Dir=0/Npix=0" in outcome.message


def test_the_process_ends_with_the_executor(store):
    found = outcomes(toy.plan(2), store)

    assert len({outcome.process for outcome in found}) == 1

    with pytest.raises(ProcessLookupError):
        os.kill(found[0].process, 0)
