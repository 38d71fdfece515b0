"""A row that kills, hangs or exhausts its process is found, and no other row is touched."""

from __future__ import annotations

import math
import resource
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.engine import Journal, Limits, partition_file, process
from skyloom.engine.guarded import run_guarded
from skyloom.engine.isolation import Pace, isolated
from skyloom.engine.processor import Piece
from skyloom.errors import ErrorKind, PartitionError, SpecError
from skyloom.storage import LocalStore
from tests.engine import toy

ROWS = 120
LIMITS = Limits(memory_bytes=400_000_000)


def guarded(store, plan):
    """Do the tasks of a plan guarded; return their outcomes."""
    Journal(store, plan.layer, plan.job_id).begin(plan)
    work = plan.work(store.root)
    return run_guarded(work.work_id, work.to_json(), plan.tasks, memory_bytes=None, deadline_s=30)


def committed(store, plan, i=0):
    """Table and faults of a committed partition."""
    data = store.read(Journal(store, plan.layer, plan.job_id).data(plan.tasks[i].key))
    faults = partition_file.inspect(data, where="here").faults
    return pq.read_table(pa.BufferReader(data)), {row: (cause, digest) for row, cause, _, digest in faults}


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "layers")


@pytest.mark.parametrize("bad", [(41,), (0, 41, ROWS - 1)], ids=["one", "three"])
@pytest.mark.parametrize("kind", toy.CAUSES)
def test_exactly_the_bad_rows_are_flagged_and_the_others_are_as_without_them(store, kind, bad):
    plan = toy.poisoned(1, dict.fromkeys(bad, kind), rows=ROWS, limits=LIMITS)
    (outcome,) = guarded(store, plan)
    assert (outcome.status, outcome.rows, outcome.quarantined, outcome.flagged) == (
        "computed",
        ROWS,
        len(bad),
        len(bad),
    )
    table, faults = committed(store, plan)
    assert faults == {row: (toy.CAUSES[kind], f"sha256:{row:064d}") for row in bad}
    assert table["id"].to_pylist() == list(range(ROWS))
    assert table["double"].to_pylist() == [None if i in bad else math.sin(i) for i in range(ROWS)]
    flag = toy.FLAGS.get(toy.CAUSES[kind], toy.FLAGS["killed"])
    assert table["toy_flag"].to_pylist() == [flag if i in bad else 0 for i in range(ROWS)]


def test_a_guarded_partition_without_bad_rows_has_the_same_bytes(tmp_path):
    plan = toy.poisoned(2, {}, rows=ROWS)
    stores = LocalStore(tmp_path / "guarded"), LocalStore(tmp_path / "plain")
    guarded(stores[0], plan)
    table, _ = committed(stores[0], plan, 1)
    plain = process(toy.Poisoned(plan.settings), plan.tasks[1]).table
    assert table.replace_schema_metadata(None).equals(plain)


def test_slow_rows_are_not_taken_for_hung_ones(store):
    # Rows that take ten times what their neighbours do, and a child that shares its core.
    slow = {str(i): 0.05 for i in range(20, ROWS, 30)}
    plan = toy.poisoned(1, {60: "busy"}, rows=ROWS, row_s=0.002, slow=slow, limits=LIMITS)
    (outcome,) = guarded(store, plan)
    assert outcome.quarantined == 1
    assert set(committed(store, plan)[1]) == {60}


def test_a_model_that_fails_on_many_rows_is_said_to_be_broken(store):
    bad = dict.fromkeys(range(0, ROWS, 3), "segfault")
    (outcome,) = guarded(store, toy.poisoned(1, bad, rows=ROWS, limits=LIMITS))
    assert outcome.kind == ErrorKind.TOO_MANY_BAD_ROWS
    assert "the model, not the row, is broken" in outcome.message
    assert not outcome.retry


def test_lost_processes_are_counted_over_a_partition():
    plan = toy.poisoned(1, dict.fromkeys(range(9), "exit"), rows=ROWS, limits=Limits(max_isolations=5))
    rows = toy.Poisoned(plan.settings).split(plan.tasks[0])
    with pytest.raises(PartitionError, match="6 processes died"):
        list(isolated(plan.tasks[0], rows, plan.limits, Pace(30)))


def test_an_error_that_is_not_of_a_row_is_not_searched_for():
    plan = toy.poisoned(1, {}, rows=ROWS)
    rows = toy.Poisoned(plan.settings).split(plan.tasks[0])

    def refuse(start, stop):
        raise SpecError("this model has no such setting", kind=ErrorKind.UNKNOWN_KEY)

    rows.compute = refuse
    with pytest.raises(SpecError, match="no such setting") as caught:
        list(isolated(plan.tasks[0], rows, LIMITS, Pace(30)))
    assert caught.value.kind == ErrorKind.UNKNOWN_KEY


def test_rows_that_do_not_fit_into_memory_say_what_to_change(store):
    plan = toy.poisoned(1, {}, rows=ROWS, unreadable=True)
    (outcome,) = guarded(store, plan)
    assert "rows 0 to 119 exceeded 4000000000 bytes: lower batch_rows or raise" in outcome.message


@pytest.mark.parametrize(("confined", "is_limited"), [(True, True), (False, False)])
def test_only_a_confined_child_has_a_limit_on_its_address_space(confined, is_limited):
    class Asked(toy.PoisonedRows):
        def compute(self, start, stop):
            limited = resource.getrlimit(resource.RLIMIT_AS)[0] != before[0]
            return Piece(pa.table({"limited": [limited] * (stop - start)}))

    before = resource.getrlimit(resource.RLIMIT_AS)
    plan = toy.poisoned(1, {}, rows=3)
    limits = replace(LIMITS, confined=confined)
    pieces = list(isolated(plan.tasks[0], Asked(plan.settings, 0, 3), limits, Pace(30.0)))
    assert pa.concat_tables([p.table for p in pieces])["limited"].to_pylist() == [is_limited] * 3
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_host_that_dies_is_replaced_and_the_partition_named(store):
    (outcome,) = guarded(store, toy.plan(1, kill=[0]))
    assert (outcome.status, outcome.kind) == ("failed", ErrorKind.BAD_PARTITION)
    assert "Npix=0 alone ended with signal 9" in outcome.message
    (outcome,) = guarded(store, toy.plan(1))
    assert outcome.status == "computed"


def test_a_partition_without_rows_is_committed(store):
    (outcome,) = guarded(store, toy.poisoned(1, {}, rows=0))
    assert (outcome.status, outcome.rows) == ("computed", 0)


def test_several_partitions_share_hosts_and_keep_their_order(store):
    plan = toy.poisoned(6, {7: "segfault", 250: "hang", 251: "memory"}, rows=ROWS, limits=LIMITS)
    outcomes = guarded(store, plan)
    assert [outcome.key for outcome in outcomes] == [task.key for task in plan.tasks]
    assert [outcome.quarantined for outcome in outcomes] == [1, 0, 2, 0, 0, 0]
    assert len({outcome.process for outcome in outcomes}) <= 3


class TestPace:
    def test_nothing_known_gives_the_longest_time(self):
        assert Pace(30.0).limit_s(8, fresh=True) == 30.0

    def test_pieces_grow_to_a_time_worth_some_forks(self):
        pace = Pace(30.0)
        assert pace.rows() == 1
        pace.learn(1, 0.001, fresh=False, cut=False)
        assert pace.rows() == 50
        pace.learn(50, 0.002, fresh=False, cut=False)
        assert pace.rows() == 1250

    def test_a_row_alone_gets_at_least_what_the_slowest_piece_took(self):
        pace = Pace(30.0)
        pace.learn(8, 2.0, fresh=False, cut=False)
        assert pace.limit_s(1, fresh=False) > 6.0

    def test_a_fresh_child_may_be_as_slow_as_the_first_one(self):
        pace = Pace(30.0)
        pace.learn(8, 5.0, fresh=True, cut=False)
        pace.learn(8, 0.01, fresh=False, cut=False)
        assert pace.limit_s(8, fresh=True) > 15.0
        assert pace.limit_s(8, fresh=False) < 1.0
