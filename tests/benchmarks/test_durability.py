"""Durability and recovery: the contestants do the same work, so that their ratio means something."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from skyloom.storage import LocalStore
from tests.benchmarks import durability, recovery


@pytest.fixture
def small_plan(tmp_path):
    sizes = {"partitions": 3, "rows": 20_000}
    durability.make_catalog(tmp_path / "catalog", **sizes)
    return durability.plan_of(tmp_path / "catalog", **sizes)


def files_of(folder):
    return {path.name: path for path in folder.rglob("Npix=*.parquet")}


def check_equal(plan, folder, executor):
    for name, run in durability.CONTESTANTS.items():
        run(plan, folder / name, executor)
    durable, checked, plain = (files_of(folder / name) for name in durability.CONTESTANTS)
    assert sorted(durable) == sorted(checked) == sorted(plain)
    assert len(durable) == len(plan.tasks)
    for name, path in durable.items():
        assert path.read_bytes() == checked[name].read_bytes()
        assert pq.read_table(path, partitioning=None).equals(pq.read_table(plain[name], partitioning=None))


def test_the_protocol_changes_no_row_and_no_byte(small_plan, tmp_path):
    check_equal(small_plan, tmp_path, durability.in_process)


@pytest.mark.cluster
def test_the_protocol_changes_no_row_and_no_byte_on_a_cluster(small_plan, tmp_path):
    with durability.on_two_workers() as executor:
        check_equal(small_plan, tmp_path, executor)


def test_a_finished_run_is_found_finished_record_by_record_and_by_its_head(tmp_path):
    plan, store = recovery.plan_of(20), LocalStore(tmp_path)
    recovery.finish(plan, store)
    recovery.again(plan, store)
    recovery.head_only(plan, store)


def test_every_footer_of_the_files_to_plan_on_is_read(tmp_path):
    recovery.make_files(tmp_path, 40)
    assert recovery.scan(tmp_path, 40) == 40 * recovery.ROWS
