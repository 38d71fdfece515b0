"""The arithmetic of a job's cost, and the calibration that feeds it."""

import os
from dataclasses import replace

import numpy as np
import pytest

from skyloom.engine import Task
from skyloom.errors import PartitionError, SpecError
from skyloom.jobs.calibrate import calibrate, cost_of, sampled
from skyloom.jobs.cost import Assumptions, Calibration, Cost, Sample, equal_tasks
from skyloom.jobs.plan import plan_job

FREE = Assumptions(driver_s=0.0, cluster_s=0.0, cluster_cpu_s=0.0, worker_cpu_s=0.0, plan_s=0.0)


def sample(weight, *, rows=10, seconds=(0.1, 0.6, 0.3), scale=1.0):
    taken = tuple(scale * s for s in seconds)
    return Sample("k", rows, weight, taken, taken, weight, 2 * weight, 3 * weight)


def calibration(*samples, on_gpu=False):
    return Calibration(samples or (sample(100),), 0.0, 0.0, 1000, on_gpu)


def tasks(number, *, weight=100, rows=10):
    return tuple(Task(str(i), rows, weight, "") for i in range(number))


def test_a_worker_with_one_core_takes_the_sum_of_steps_and_one_with_a_gpu_the_longest():
    on_core, on_gpu = (Cost(calibration(on_gpu=gpu), tasks(64), FREE) for gpu in (False, True))
    assert on_core.on(1).wall_s == pytest.approx(64 * 1.0)
    assert on_gpu.on(1).wall_s == pytest.approx(64 * 0.6)
    assert on_gpu.on(1).gpu_hours == pytest.approx(64 * 0.6 / 3600)
    assert on_core.on(1).gpu_hours == 0


def test_work_divides_by_the_workers_and_cpu_hours_do_not():
    cost = Cost(calibration(), tasks(6400), FREE)
    one, many = cost.on(1), cost.on(16)
    assert many.wall_s == pytest.approx(one.wall_s / 16, rel=0.02)
    assert many.cpu_hours == pytest.approx(one.cpu_hours)
    assert (one.bound_by, many.bound_by) == ("model", "model")


def test_no_number_of_workers_beats_the_largest_partition_the_driver_or_the_store():
    cost = Cost(calibration(), tasks(8), FREE)
    assert cost.on(1000).wall_s == pytest.approx(1.0)
    assert cost.on(1000).bound_by == "few partitions"
    by_driver = replace(cost, assumptions=replace(FREE, driver_s=2.0))
    assert by_driver.on(1000).wall_s == pytest.approx(16.0)
    assert by_driver.on(1000).bound_by == "scheduler"
    by_store = replace(cost, assumptions=replace(FREE, store_bytes_per_s=100.0))
    assert by_store.on(1000).wall_s == pytest.approx(8 * 3.0)
    assert by_store.on(1000).bound_by == "store"


def test_a_partition_costs_a_time_of_its_own_and_one_per_byte():
    found = calibration(*(sample(w, seconds=(1.0 + w, 0.0, 0.0)) for w in (10, 100, 1000)))
    assert Cost(found, tasks(1, weight=500), FREE).on(1).wall_s == pytest.approx(501.0)
    assert Cost(found, tasks(1, weight=500), FREE).spread == pytest.approx((1.0, 1.0))


def test_samples_of_one_size_are_taken_per_byte():
    found = calibration(sample(100), sample(110), sample(120))
    ten = Cost(found, tasks(1, weight=1000), FREE).on(1).wall_s
    assert ten == pytest.approx(10 * Cost(found, tasks(1, weight=100), FREE).on(1).wall_s)


def test_memory_is_that_of_the_largest_sample_and_projected_beyond_it():
    cost = Cost(calibration(), tasks(5), FREE, row_bytes=7.0)
    assert cost.worker_bytes == 1000 + 2 * 300
    assert replace(cost, tasks=tasks(5, rows=110)).worker_bytes == 1000 + 2 * (300 + 700)


def test_the_range_is_that_of_the_samples_about_the_fit():
    found = calibration(sample(100, scale=0.5), sample(100), sample(100, scale=1.5))
    estimate = Cost(found, tasks(64), FREE).on(1)
    assert (estimate.low_s, estimate.high_s) == pytest.approx((32.0, 96.0))
    alone = Cost(calibration(), tasks(64), FREE).on(1)
    assert alone.low_s is alone.high_s is None


def test_a_stated_rate_replaces_the_model_alone():
    cost = Cost(calibration(), tasks(64), replace(FREE, model_rows_per_s=1000.0))
    assert cost.steps == pytest.approx({"reading": 6.4, "model": 0.64, "writing": 19.2})
    assert cost.on(1).wall_s == pytest.approx(19.2)
    assert cost.on(1).cpu_hours == pytest.approx(64 * 0.4 / 3600)
    assert cost.on(1).gpu_hours > 0


def test_a_larger_catalog_has_the_same_bytes_a_row():
    larger = equal_tasks(tasks(5), 1003, 100)
    assert sum(task.rows for task in larger) == 1003
    assert [task.rows for task in larger[-2:]] == [100, 3]
    assert sum(task.size_bytes for task in larger) == pytest.approx(10_030)
    assert len(equal_tasks(tasks(5), 1000)) == 100


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_samples_are_of_all_sizes(number):
    some = [Task(str(i), 1, int(s), "") for i, s in enumerate(np.random.default_rng(0).permutation(100))]
    found = [task.size_bytes for task in sampled(some, number)]
    assert found == sorted(found)
    assert len(found) == number
    if number > 1:
        assert (found[0], found[-1]) == (0, 99)


@pytest.mark.parametrize("ask", [lambda: sampled(tasks(2), 0), lambda: equal_tasks(tasks(2), 0), lambda: Cost(
    calibration(), tasks(1)).on(0), lambda: Cost(calibration(), ())])  # fmt: skip
def test_what_has_no_price_is_refused(ask):
    with pytest.raises(SpecError):
        ask()


def test_calibrating_computes_partitions_and_leaves_nothing(shared_tiny_catalog, job_of, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    planned = plan_job(job_of(shared_tiny_catalog))
    cost = cost_of(planned, partitions=2)
    assert cost.rows == planned.rows
    assert len(cost.calibration.samples) == 2
    for each in cost.calibration.samples:
        assert min(*each.seconds, each.written_bytes, each.read_bytes) > 0
    assert cost.on(1).wall_s > cost.calibration.start_s
    assert os.listdir(tmp_path) == ["scratch"]
    assert not os.listdir(tmp_path / "scratch")


def test_a_partition_that_cannot_be_computed_is_named(shared_tiny_catalog, job_of):
    planned = plan_job(job_of(shared_tiny_catalog))
    broken = replace(planned.tasks[0], inputs=("dataset/nowhere.parquet",))
    with pytest.raises(PartitionError, match=broken.key):
        calibrate(planned.plan, [broken])
