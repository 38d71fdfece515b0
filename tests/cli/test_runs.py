import json
import types
from dataclasses import replace

import pyarrow as pa
import pytest

import skyloom.jobs
from skyloom.cli import main
from skyloom.columns import Column
from skyloom.engine import Task
from skyloom.evaluation.numerics import Difference
from skyloom.jobs import RunReport
from skyloom.jobs.cost import Assumptions, Calibration, Cost, Sample
from skyloom.jobs.numerics import Numerics

REPORT = RunReport(
    job="j",
    layer="flares",
    layer_path="/store/flares/jobs/abc",
    collection="/store/flares/versions/v00000001",
    version=1,
    job_id="abc",
    rows=1234,
    partitions=4,
    computed=3,
    reused=1,
    flagged=5,
    quarantined=2,
    over_limit=False,
    up_to_date=False,
    wall_s=1.5,
)


NUMERICS = Numerics("cpu", "bfloat16", True, 32, (Difference("score", 0.002, 0.01),))
COMPUTING = {"device": "cpu", "precision": "bfloat16", "channels_last": True, "tile_rows": None, "threads": 1}


@pytest.fixture
def jobs(monkeypatch):
    asked = {}
    plan = types.SimpleNamespace(
        job_id="abc", tasks=[1, 2], rows=10, bytes=99, memory_bytes=7, numerics=NUMERICS, criteria=None,
        computing=COMPUTING,
        elsewhere="finished job xyz is this one",
        schema=pa.schema([Column("score", "mag", "how strange", ucd="phot.mag").field()]),
    )  # fmt: skip
    fake = types.SimpleNamespace(
        asked=asked,
        report=REPORT,
        template=lambda: "job = 'x'\n",
        load_job=lambda path: path,
        plan_job=lambda job, *, store=None, cluster=None: plan,
        on_device=lambda job, device: asked.update(planned_for=device) or job,
        run=lambda job, **how: asked.update(job=str(job), **how) or fake.report,
    )
    for name in ("template", "load_job", "plan_job", "run", "on_device"):
        monkeypatch.setattr(skyloom.jobs, name, getattr(fake, name), raising=False)
    return fake


def test_a_run_passes_on_cluster_and_store_and_prints_what_it_did(jobs, capsys):
    options = ["--cluster", "tcp://10.0.0.5:8786", "--store", "s", "--device", "cuda"]
    assert main(["run", "jobs/flares.toml", *options]) == 0
    assert jobs.asked == {
        "job": "jobs/flares.toml",
        "cluster": "tcp://10.0.0.5:8786",
        "store": "s",
        "device": "cuda",
        "progress": True,
    }
    out = capsys.readouterr().out
    assert "/store/flares" in out
    assert "1,234" in out
    assert "3 computed, 1 resumed" in out


def test_a_run_that_finds_its_layer_says_so_in_one_line(jobs, capsys):
    jobs.report = replace(REPORT, up_to_date=True)
    assert main(["run", "jobs/flares.toml"]) == 0
    assert capsys.readouterr().out == "flares: up to date (version 1, 1,234 rows), nothing to do\n"


def test_more_bad_rows_than_the_limit_is_exit_code_3(jobs):
    jobs.report = replace(REPORT, over_limit=True)
    assert main(["run", "jobs/flares.toml"]) == 3


def test_json_is_all_that_stdout_gets(jobs, capsys):
    assert main(["run", "jobs/flares.toml", "--json"]) == 0
    assert jobs.asked["progress"] is False
    assert json.loads(capsys.readouterr().out)["job_id"] == "abc"


def test_a_plan_shows_the_schema_and_runs_nothing(jobs, capsys):
    assert main(["run", "jobs/flares.toml", "--plan", "--device", "cpu"]) == 0
    assert jobs.asked == {"planned_for": "cpu"}
    out = capsys.readouterr().out
    assert all(
        word in out for word in ("bfloat16", "the model's own", "threads", "0.002", "0.01", "job xyz is this one")
    )
    assert "tasks" in out
    assert "score" in out
    assert "how strange" in out


@pytest.fixture
def cost(jobs, monkeypatch):
    sample = Sample("Norder=1/Dir=0/Npix=7", 10, 1000, (0.1, 0.7, 0.2), (0.1, 0.7, 0.2), 500, 200, 3_000_000)
    tasks = tuple(Task(str(i), 10, 1000, "") for i in range(40))
    price = Cost(Calibration((sample,), 2.0, 1.5, 300_000_000, on_gpu=False), tasks)
    monkeypatch.setattr(skyloom.jobs, "cost_of", lambda planned, *, partitions: price, raising=False)
    return price


def test_a_calibrated_plan_prints_what_the_job_takes(cost, capsys):
    assert main(["run", "jobs/flares.toml", "--plan", "--calibrate", "1", "--for-workers", "1", "8"]) == 0
    out = capsys.readouterr().out
    clock = f"{42.0 + Assumptions().cluster_s:.1f} s"
    for word in ("Npix=7", "bytes written", "8,000", "assumed", clock, "bound by", "model"):
        assert word in out, word


def test_a_plan_is_priced_for_rows_workers_and_rates_that_are_not_here(cost, capsys):
    words = ["--for-rows", "1000000", "--partition-rows", "1000", "--model-rows-per-s", "5000"]
    asked = ["run", "x.toml", "--plan", "--json", "--calibrate", "1", "--for-workers", "16", *words]
    assert main(asked) == 0
    said = json.loads(capsys.readouterr().out)["cost"]
    assert (said["rows"], said["partitions"]) == (1_000_000, 1000)
    assert said["assumptions"]["model_rows_per_s"] == 5000
    (estimate,) = said["estimates"]
    assert estimate["workers"] == 16
    assert estimate["gpu_hours"] > 0


def test_calibrating_without_a_plan_is_refused(jobs, capsys):
    assert main(["run", "jobs/flares.toml", "--calibrate", "3"]) == 2
    assert "--plan" in capsys.readouterr().err


def test_a_plan_in_json_has_its_columns(jobs, capsys):
    assert main(["run", "jobs/flares.toml", "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["tasks"] == 2
    assert plan["columns"][0]["unit"] == "mag"
    assert {name: plan[name] for name in ("device", "precision", "channels_last", "tile_rows", "threads")} == {
        "device": "cpu",
        "precision": "bfloat16",
        "channels_last": True,
        "tile_rows": None,
        "threads": 1,
    }
    assert plan["differences_from_float32"] == [{"column": "score", "measured": 0.002, "tolerance": 0.01}]


def test_help_job_prints_the_template_alone(jobs, capsys):
    assert main(["run", "--help-job"]) == 0
    assert capsys.readouterr().out == "job = 'x'\n"


def test_no_job_file_is_a_wrong_request_that_names_the_way_out(jobs, capsys):
    assert main(["run"]) == 2
    assert "--help-job" in capsys.readouterr().err
