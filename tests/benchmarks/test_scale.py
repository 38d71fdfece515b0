"""The benchmark of scale: it really runs, resumes and plans what it measures."""

from skyloom.catalog import open_catalog
from tests.benchmarks.scale import growth_of, many_partitions


def test_a_growth_runs_and_resumes_all_partitions():
    found = growth_of(30)
    assert found["partitions"] == 30
    assert found["run_ms"] > found["resume_ms"] > 0
    assert found["peak_kib"] >= found["base_kib"]
    assert min(found["seal_ms"], found["own_bytes"], found["log_bytes"], found["record_bytes"]) > 0


def test_the_catalog_of_many_partitions_is_one(tmp_path):
    catalog = open_catalog(many_partitions(tmp_path, 50))
    assert len(catalog.partitions()) == 50
    assert sum(partition.rows for partition in catalog.partitions()) == 500
