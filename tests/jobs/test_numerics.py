"""A job is what its device and precision are, too. GPUs are stand-ins: what torch.cuda says is patched."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import toy_network
from skyloom.cluster import RunningCluster
from skyloom.engine import Limits
from skyloom.engine.isolation import IsolatedProcessor
from skyloom.errors import ConflictError, SpecError, TransientError
from skyloom.evaluation.numerics import DEFAULT_TOLERANCE
from skyloom.jobs import run
from skyloom.jobs.care import verify_layer
from skyloom.jobs.devices import decide
from skyloom.jobs.models import LoadedModel, load_model
from skyloom.jobs.numerics import Numerics
from skyloom.jobs.plan import plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.spec import RunSpec
from skyloom.models import registry
from skyloom.runtime import device, networks
from skyloom.runtime.contract import KILLED_WORKER, SMALLER_TILE
from skyloom.runtime.device import DeviceSettings

BFLOAT = {"precision": "bfloat16", "device": "cpu"}
LOOSE = {"score": 0.05}


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    import sys

    monkeypatch.setitem(registry._SYSTEMS, "toy-network", "toy_network")
    monkeypatch.setitem(sys.modules, "toy_network", toy_network)
    monkeypatch.setattr(networks, "_tiles", {})


@pytest.fixture
def toy_job(shared_tiny_catalog, job_of):
    return lambda **run: job_of(shared_tiny_catalog, model="toy-network", layer="toy", run=run)


@pytest.fixture
def gpu(monkeypatch):
    """A machine that says that it has a GPU, on which the CPU computes."""
    monkeypatch.setattr(device, "_built_for_cpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA Toy")
    monkeypatch.setattr(device, "prepare", lambda settings: torch.device("cpu"))


@pytest.fixture
def tolerant(monkeypatch):
    """A card that lets the score change."""
    monkeypatch.setattr(LoadedModel, "tolerance", LOOSE)


def layer_rows(report):
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    table = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts])
    return table.sort_by("object_id")


def done(job, **how):
    return run(job, cluster="in-process", progress=False, **how)


def test_what_changes_bits_changes_the_job_and_what_does_not_does_not(toy_job, tolerant, gpu):
    plain = plan_job(toy_job(device="cpu"))
    assert plain.numerics == Numerics("cpu", "float32", False, 64)
    ids = {
        plan_job(toy_job(**run)).job_id
        for run in (
            {"device": "cpu", "tile_rows": 32},
            {"device": "cpu", "channels_last": True},
            {"device": "cpu", "precision": "bfloat16"},
            {"device": "cuda"},
            {"device": "cuda", "precision": "bfloat16"},
        )
    }
    assert len(ids) == 5
    assert plain.job_id not in ids
    said = {"device": "cpu", "tile_rows": 64, "channels_last": False, "batch_rows": 7}
    assert plan_job(toy_job(**said)).job_id == plain.job_id
    assert plan_job(toy_job()).job_id == plan_job(toy_job(device="cuda")).job_id


def test_auto_is_the_cpu_where_there_is_no_gpu(toy_job, monkeypatch):
    monkeypatch.setattr(device, "_built_for_cpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert plan_job(toy_job()).job_id == plan_job(toy_job(device="cpu")).job_id
    with pytest.raises(SpecError, match="torch finds no GPU here"):
        plan_job(toy_job(device="cuda"))


@pytest.mark.parametrize(
    "said", [{"device": "cuda"}, {"precision": "float16"}, {"channels_last": False}, {"tile_rows": 4}], ids=str
)
def test_a_model_without_networks_takes_no_numerics(shared_tiny_catalog, job_of, said):
    with pytest.raises(SpecError, match=rf"\[run\] {next(iter(said))}: model lightcurve-features has no network"):
        plan_job(job_of(shared_tiny_catalog, run=said))
    plain = plan_job(job_of(shared_tiny_catalog))
    assert plain.numerics is None
    assert "numerics" not in plain.plan.identity
    assert plan_job(job_of(shared_tiny_catalog, run={"device": "cpu"})).job_id == plain.job_id


def test_bfloat16_beyond_the_cards_tolerance_is_refused_with_its_figure_and_writes_nothing(toy_job, tmp_path):
    with pytest.raises(SpecError, match=r"precision = bfloat16 would change 1 of 2 columns .* score by 0\.00"):
        done(toy_job(**BFLOAT))
    assert not (tmp_path / "layers").exists()


def test_bfloat16_within_the_cards_tolerance_runs_and_says_what_it_cost(toy_job, tolerant):
    report = done(toy_job(**BFLOAT))
    plain = layer_rows(done(toy_job(device="cpu")))["score"].to_numpy()
    lower = layer_rows(report)["score"].to_numpy()
    assert 0 < np.nanmax(np.abs(plain - lower)) < LOOSE["score"]
    said = json.loads((Path(report.layer_path) / "provenance.json").read_text())
    measured, tolerated = said["differences_from_float32"]["score"]
    assert DEFAULT_TOLERANCE < measured < tolerated == LOOSE["score"]
    assert said["identity"]["numerics"]["precision"] == "bfloat16"
    assert done(toy_job(**BFLOAT)).up_to_date is False  # the plain one is newest
    assert done(toy_job(**BFLOAT)).up_to_date


def test_all_drivers_of_a_job_say_what_the_first_one_measured(toy_job, tolerant, monkeypatch):
    first = done(toy_job(**BFLOAT))
    monkeypatch.setattr("skyloom.jobs.devices.measure", lambda *_: {"score": 0.001, "flag": 0.0})
    assert plan_job(toy_job(**BFLOAT)).numerics.measured()["score"][0] == 0.001
    assert done(toy_job(**BFLOAT)).up_to_date
    checked = verify_layer("toy", Path(first.layer_path).parents[2], job=toy_job(**BFLOAT), partitions=2)
    assert checked.ok


def test_real_classes_of_galaxies_lose_too_much_in_bfloat16_unless_the_card_allows_it():
    real = load_model("gamornet")
    with pytest.raises(SpecError, match=r"gm_p_disk by 0\.0\d+ \(tolerated: 0.01\)"):
        decide(RunSpec(**BFLOAT), real)
    columns = [column.name for column in real.system.writes(real.config)]
    loose = replace(real, card=replace(real.card, tolerance=dict.fromkeys(columns, 0.1)))
    found = decide(RunSpec(**BFLOAT), loose)
    assert found.precision == "bfloat16"
    assert set(found.measured()) == {*columns, "flag"}
    assert 0.01 < found.measured()["gm_p_disk"][0] <= 0.1


def test_a_real_network_runs_in_bfloat16_where_its_card_allows_it(tmp_path, tiny_catalog, job_of, monkeypatch):
    from tests.jobs.galaxies import store_of_galaxies

    catalog = tiny_catalog(rows=60, threshold=100)
    store = store_of_galaxies(tmp_path / "store", catalog)

    def job(**said):
        return job_of(
            catalog, model="gamornet", layer="shapes", input={"tensors": {"cutout": str(store)}}, run=said
        )

    plain = layer_rows(done(job(device="cpu")))
    assert plain["gm_p_disk"].null_count < 10
    with pytest.raises(SpecError, match=r"precision = bfloat16, .* would change"):
        done(job(**BFLOAT))
    monkeypatch.setattr(LoadedModel, "tolerance", dict.fromkeys(plain.column_names, 0.1))
    report = done(job(**BFLOAT))
    lower = layer_rows(report)
    known = np.asarray(plain["gm_p_disk"].is_valid())
    away = np.abs(plain["gm_p_disk"].to_numpy()[known] - lower["gm_p_disk"].to_numpy()[known])
    assert 1e-4 < away.max() < 0.1
    assert lower["shapes_flag"].equals(plain["shapes_flag"])
    measured = json.loads((Path(report.layer_path) / "provenance.json").read_text())["differences_from_float32"]
    assert measured["gm_p_disk"][0] == plan_job(job(**BFLOAT)).numerics.measured()["gm_p_disk"][0] > 0.01


def test_work_begun_with_other_numerics_is_named_once_and_left_alone(toy_job, gpu, caplog, monkeypatch):
    first = done(toy_job(device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert f"finished job {first.job_id}" in plan_job(toy_job()).elsewhere
    with caplog.at_level(logging.WARNING):
        second = done(toy_job())
    assert (
        f"finished job {first.job_id} of layer toy is this one but for device_class 'cuda NVIDIA Toy'"
        in caplog.text
    )
    assert "run it where there is 'cuda NVIDIA Toy'" in caplog.text
    assert (second.computed, second.reused) == (first.partitions, 0)
    assert plan_job(toy_job()).elsewhere is None
    caplog.clear()
    done(toy_job())
    done(toy_job(tile_rows=2), device="cpu")
    assert "tile_rows 64, not 2" in caplog.text
    assert "NVIDIA" not in caplog.text


def test_a_worker_on_another_class_of_device_refuses_the_whole_run(toy_job, gpu, monkeypatch):
    settings = plan_job(toy_job(device="cuda")).plan.settings
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA Other")
    planned = plan_job(toy_job(device="cuda"))
    task = planned.tasks[0]
    rows = Scoring(settings).split(task)
    with pytest.raises(
        ConflictError, match="computes on 'cuda NVIDIA Other' and the run was planned for 'cuda NVID"
    ):
        rows.compute(0, task.rows)


def test_the_process_that_isolates_rows_leaves_the_gpu_to_its_children(toy_job, gpu):
    planned = plan_job(toy_job(device="cuda"))
    task = max(planned.tasks, key=lambda t: t.rows)
    scoring = Scoring(planned.plan.settings)
    limits = Limits(max_bad_fraction=0.1, memory_bytes=4_000_000_000, deadline_s=30.0)
    found = IsolatedProcessor(scoring, limits, lambda: None).process(task)
    assert "estimator" not in vars(scoring)
    assert found.table.equals(Scoring(planned.plan.settings).split(task).compute(0, task.rows).table)
    assert "estimator" in vars(Scoring(plan_job(toy_job(device="cpu")).plan.settings))


def test_a_row_that_breaks_the_gpu_is_alone_in_quarantine(toy_job, gpu, monkeypatch):
    planned = plan_job(toy_job(device="cuda"))
    task = max(planned.tasks, key=lambda t: t.rows)
    rows = Scoring(planned.plan.settings).split(task)
    whole, bad = rows.compute(0, task.rows).table, task.rows // 3
    monkeypatch.setattr(toy_network, "BREAKS", rows._rows.column("mwebv")[bad].as_py())
    limits = Limits(max_bad_fraction=0.1, memory_bytes=4_000_000_000, deadline_s=30.0)
    done = IsolatedProcessor(Scoring(planned.plan.settings), limits, lambda: None).process(task)
    assert [(fault.row, fault.cause) for fault in done.faults] == [(bad, "signal 6")]
    assert done.table["toy_flag"][bad].as_py() == KILLED_WORKER.mask
    others = pa.array(np.arange(task.rows) != bad)
    assert done.table.filter(others).equals(whole.filter(others))


@pytest.mark.parametrize(
    ("where", "error"), [("cpu", MemoryError), ("cuda", torch.OutOfMemoryError)], ids=["host", "gpu"]
)
def test_memory_that_runs_out_costs_a_flag_not_the_run(toy_job, gpu, monkeypatch, where, error):
    whole = layer_rows(done(toy_job(device=where)))
    assert not whole["toy_flag"].to_numpy().any()
    monkeypatch.setattr(toy_network, "LIMIT", 20)
    monkeypatch.setattr(toy_network, "ERROR", error)
    monkeypatch.setattr("skyloom.jobs.devices.measure", lambda *_: {"score": 0.0, "flag": 0.0})
    report = done(toy_job(device=where, channels_last=True))  # the same network, another job
    found = layer_rows(report)
    assert (found["toy_flag"].to_numpy() == SMALLER_TILE.mask).all()
    assert report.flagged == report.rows == 240
    assert report.quarantined == 0
    np.testing.assert_allclose(found["score"].to_numpy(), whole["score"].to_numpy(), atol=1e-6)


def workers(*classes):
    """A client whose workers have these devices."""
    found = {f"tcp://10.0.0.{k}:1": each for k, each in enumerate(classes)}

    def wait(n, timeout):
        if not found:
            raise TimeoutError

    client = SimpleNamespace(
        run=lambda ask, settings: found,
        wait_for_workers=wait,
        submit=lambda ask, *given, **how: SimpleNamespace(result=lambda: {"score": 0.0, "flag": 0.0}),
    )
    return RunningCluster(client, None)


def test_a_driver_without_a_gpu_asks_its_workers():
    toy = load_model("toy-network")
    assert decide(RunSpec(), toy, workers("cuda A", "cuda A")).device_class == "cuda A"
    assert decide(RunSpec(device="cuda"), toy, workers("cuda A")).device_class == "cuda A"
    assert decide(RunSpec(), toy, workers("cpu", "cpu")).device_class == "cpu"
    assert decide(RunSpec(device="cpu"), toy, workers("cuda A")).device_class == "cpu"
    assert decide(RunSpec(device="cpu"), toy, workers()).device_class == "cpu"


def test_workers_that_differ_or_lack_what_is_asked_for_or_are_not_there_are_said():
    toy = load_model("toy-network")
    with pytest.raises(SpecError, match="cuda A and on cuda B, whose last bits differ"):
        decide(RunSpec(), toy, workers("cuda A", "cuda B"))
    with pytest.raises(SpecError, match=r"cpu and on cuda A.*Say device = cpu"):
        decide(RunSpec(), toy, workers("cpu", "cuda A"))
    with pytest.raises(SpecError, match=r"no GPU on 1 of 2 workers \(such as tcp://10.0.0.1:1\)"):
        decide(RunSpec(device="cuda"), toy, workers("cuda A", "cpu"))
    with pytest.raises(TransientError, match="no worker joined within 60 s"):
        decide(RunSpec(), toy, workers())


@pytest.mark.cluster
def test_real_workers_answer_what_they_have_and_what_it_costs(monkeypatch):
    from skyloom.cluster import ClusterSpec, start

    real = load_model("gamornet")
    with start(ClusterSpec(workers=1, dashboard="")) as running:
        assert decide(RunSpec(), real, running).device_class == "cpu"
        found = decide(RunSpec(channels_last=not real.channels_last), real, running)
    here = decide(RunSpec(device="cpu", channels_last=not real.channels_last), real)
    assert found == here


def test_the_settings_survive_the_way_to_a_worker():
    there = Numerics("cuda A", "float16", True, 32)
    assert Numerics.from_identity(json.loads(json.dumps(there.identity()))) == there
    assert there.settings == DeviceSettings("cuda", "float16", True, 32, 1)
