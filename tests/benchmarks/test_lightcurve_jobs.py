"""The benchmark at scale runs over a valid catalog of the stars that its seed says, in bounded memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import check_catalog, open_catalog, read_partition
from skyloom.simulators.variables import variables
from tests.benchmarks import lightcurve_jobs as contest
from tests.benchmarks.simulated_catalog import load, make

SETTINGS = {"settings": {"points": 6}}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return make(tmp_path_factory.mktemp("simulated") / "stars", variables, rows=23, partition_rows=5, **SETTINGS)


def rows_of(folder):
    files = sorted(folder.rglob("Npix=*.parquet"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files]).sort_by("object_id")


def test_the_catalog_has_no_fault(catalog):
    assert check_catalog(open_catalog(catalog)).ok


def test_a_star_is_the_same_whatever_the_partitions(catalog, tmp_path):
    other = make(tmp_path / "stars", variables, rows=23, partition_rows=11, **SETTINGS)
    one, two = rows_of(catalog), rows_of(other)
    assert one["object_id"].to_pylist() == list(range(23))
    assert one["lc"].equals(two["lc"])


def test_no_more_than_a_partition_is_drawn_at_once(tmp_path):
    asked = []

    def simulator(n, *, seed, start):
        asked.append((start, n))
        return pa.table({"x": np.arange(start, start + n)})

    rows = rows_of(make(tmp_path / "stars", simulator, rows=11, partition_rows=4))
    assert asked == [(0, 4), (4, 4), (8, 3)]
    assert rows["x"].to_pylist() == list(range(11))


def test_both_contestants_score_every_row(catalog, tmp_path):
    of_system = contest.CONTESTS["lightcurve-features"]
    job = contest.job_of(of_system, catalog, tmp_path / "layers")
    batches = contest.batches_of(job, catalog, rows=23)
    assert sum(batch.num_rows for batch in batches) == 23
    assert contest.run_durable(of_system, catalog, tmp_path / "layers").rows == 23


def test_a_part_of_the_batches_is_taken_from_all_over_the_catalog(catalog, tmp_path):
    job = contest.job_of(contest.CONTESTS["lightcurve-features"], catalog, tmp_path)
    opened = open_catalog(catalog)
    parts = opened.partitions()
    lists = [read_partition(opened.root, part, ["lc"])["lc"].combine_chunks() for part in parts[::2]]
    batches = contest.batches_of(job, catalog, rows=11)
    assert [batch.num_rows for batch in batches] == [len(each) for each in lists]


@pytest.mark.parametrize("name", contest.CONTESTS)
def test_every_contest_has_its_job_and_its_simulator(name, tmp_path):
    of_system = contest.CONTESTS[name]
    assert contest.job_of(of_system, tmp_path, tmp_path).input.catalog == str(tmp_path)
    assert callable(load(of_system.simulator))
