"""A job asks its model about eligible rows alone, says so in the layer, and counts without a second pass."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toy_tensors
from skyloom.catalog import open_catalog, read_partition
from skyloom.cli import main
from skyloom.engine import Limits
from skyloom.engine.isolation import IsolatedProcessor
from skyloom.errors import ErrorKind, SpecError
from skyloom.jobs import open_catalog as open_view
from skyloom.jobs import open_layer, run, verify_layer
from skyloom.jobs.eligibility import funnel_of
from skyloom.jobs.plan import plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.tensors import TensorRows
from skyloom.models import registry
from skyloom.runtime.contract import CUTOUT_CORRUPT, CUTOUT_MISSING, KILLED_WORKER
from tests.tensor_stores import write_tensors

CRITERIA = ("count(lc.mjd) >= 20", "hostgal_photoz < 0.8", "not ddf or mwebv < 0.1")


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setitem(registry._SYSTEMS, "toy-tensors", "toy_tensors")
    monkeypatch.setitem(sys.modules, "toy_tensors", toy_tensors)


def whole(location, columns):
    opened = open_catalog(location)
    return pa.concat_tables([read_partition(opened.root, p, columns) for p in opened.partitions()])


def expected(location):
    """Which rows are eligible, and which criteria each misses, by numpy; by object id."""
    table = whole(location, ["object_id", "lc.mjd", "hostgal_photoz", "ddf", "mwebv"])
    points = np.array(
        [len(row) if row is not None else -1 for row in table["lc"].combine_chunks().field("mjd").to_pylist()]
    )
    z, ddf, mwebv = (table[name].to_numpy(zero_copy_only=False) for name in ("hostgal_photoz", "ddf", "mwebv"))
    with np.errstate(invalid="ignore"):
        holds = (points >= 20, z < 0.8, ~ddf.astype(bool) | (mwebv < 0.1))
    return dict(zip(table["object_id"].to_pylist(), zip(*map(list, holds), strict=True), strict=True))


def layer_rows(report):
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    return pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts]).sort_by("object_id")


def done(job):
    return run(job, cluster="in-process", progress=False)


def test_ineligible_rows_are_null_and_eligible_ones_have_the_values_of_a_job_without_criteria(
    shared_tiny_catalog, job_of, tmp_path
):
    plain = layer_rows(done(job_of(shared_tiny_catalog, output={"store": str(tmp_path / "plain")})))
    report = done(job_of(shared_tiny_catalog, eligibility=CRITERIA))
    table = layer_rows(report)
    holds = expected(shared_tiny_catalog)
    eligible = np.array([all(holds[i]) for i in table["object_id"].to_pylist()])
    assert 0 < eligible.sum() < 240
    assert table["features_eligible"].to_pylist() == eligible.tolist()
    assert table["object_id"].equals(plain["object_id"])
    for name in plain.schema.names:
        kept = pa.array(eligible)
        assert table[name].filter(kept).equals(plain[name].filter(kept)), name
        if name.startswith("lcf_"):
            assert table[name].filter(pa.array(~eligible)).null_count == int((~eligible).sum())


def test_the_flag_says_which_criteria_a_row_misses(shared_tiny_catalog, job_of):
    planned = plan_job(job_of(shared_tiny_catalog, eligibility=CRITERIA))
    masks = [
        next(flag.mask for flag in planned.criteria.flags if text in flag.description)
        for text in planned.criteria.order
    ]
    table = layer_rows(done(planned.job))
    holds = expected(shared_tiny_catalog)
    for object_id, flag in zip(table["object_id"].to_pylist(), table["features_flag"].to_pylist(), strict=True):
        missed = sum(mask for mask, holding in zip(masks, holds[object_id], strict=True) if not holding)
        assert flag & sum(masks) == missed
        if missed:
            assert flag == missed  # the model, which saw nothing, gives no reason of its own


def test_the_funnel_counts_every_row_once_and_is_kept_with_the_layer(shared_tiny_catalog, job_of, tmp_path):
    report = done(job_of(shared_tiny_catalog, eligibility=CRITERIA))
    holds = list(expected(shared_tiny_catalog).values())
    z_known = int(np.isfinite(whole(shared_tiny_catalog, ["hostgal_photoz"])["hostgal_photoz"].to_numpy()).sum())
    left = len(holds)
    for k, step in enumerate(report.funnel):
        assert step.criterion == CRITERIA[k]
        assert step.holds == sum(each[k] for each in holds)
        assert step.holds + step.fails + step.not_known == report.rows == 240
        assert step.left == sum(all(each[: k + 1]) for each in holds) <= left
        left = step.left
    assert report.funnel[1].not_known == 240 - z_known > 0
    layer = open_layer("features", tmp_path / "layers")
    assert set(funnel_of(layer.provenance)) != set()
    assert funnel_of(layer.provenance, CRITERIA) == report.funnel
    assert done(job_of(shared_tiny_catalog, eligibility=CRITERIA)).funnel == report.funnel  # up to date


def test_the_order_of_criteria_is_the_same_job_and_another_criterion_another_one(shared_tiny_catalog, job_of):
    one = plan_job(job_of(shared_tiny_catalog, eligibility=CRITERIA))
    other = plan_job(job_of(shared_tiny_catalog, eligibility=(" hostgal_photoz<0.8", *CRITERIA[::-1])))
    assert one.job_id == other.job_id
    assert one.schema.equals(other.schema)
    assert other.criteria.order[0] == "hostgal_photoz < 0.8"
    changed = plan_job(job_of(shared_tiny_catalog, eligibility=("hostgal_photoz < 0.9", *CRITERIA[1:])))
    none = plan_job(job_of(shared_tiny_catalog))
    assert len({one.job_id, changed.job_id, none.job_id}) == 3
    assert "features_eligible" not in none.schema.names
    assert "eligibility" not in none.plan.identity


def test_a_second_driver_with_the_criteria_in_another_order_finds_its_work_done(shared_tiny_catalog, job_of):
    first = done(job_of(shared_tiny_catalog, eligibility=CRITERIA))
    again = done(job_of(shared_tiny_catalog, eligibility=CRITERIA[::-1]))
    assert again.up_to_date
    assert [step.criterion for step in again.funnel] == list(CRITERIA[::-1])
    assert again.funnel[-1].left == first.funnel[-1].left


def test_batches_change_no_byte_and_a_verification_finds_no_difference(shared_tiny_catalog, job_of, tmp_path):
    tables = []
    for rows in (1, 7, 8192):
        place = str(tmp_path / str(rows))
        job = job_of(shared_tiny_catalog, eligibility=CRITERIA, run={"batch_rows": rows}, output={"store": place})
        tables.append(layer_rows(done(job)))
        checked = verify_layer("features", place, job=job, partitions=2)
        assert checked.ok, checked.verification.differences
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_criteria_of_the_model_itself_come_first_and_always_hold(
    shared_tiny_catalog, job_of, tmp_path, monkeypatch
):
    from skyloom.models import lightcurve_features

    monkeypatch.setattr(lightcurve_features, "eligibility", lambda config: ("count(lc.mjd) >= 20",), raising=False)
    report = done(job_of(shared_tiny_catalog, eligibility=CRITERIA[1:]))
    assert [step.criterion for step in report.funnel] == list(CRITERIA)
    said = done(job_of(shared_tiny_catalog, eligibility=CRITERIA))
    assert said.job_id == report.job_id


def test_a_criterion_may_use_a_column_of_a_layer_and_a_mapped_name(shared_tiny_catalog, job_of):
    done(job_of(shared_tiny_catalog))
    job = job_of(
        shared_tiny_catalog,
        layer="again",
        eligibility=("lcf_amplitude_g > 0", "z < 0.8"),
        input={"layers": ["features"], "columns": {"z": "hostgal_photoz"}},
    )
    table = layer_rows(done(job))
    z = (
        whole(shared_tiny_catalog, ["object_id", "hostgal_photoz"])
        .sort_by("object_id")["hostgal_photoz"]
        .to_numpy()
    )
    eligible = np.array(table["again_eligible"])
    assert eligible.any()
    assert (z[eligible] < 0.8).all()


def test_wrong_criteria_are_refused_before_anything_runs(shared_tiny_catalog, job_of):
    with pytest.raises(SpecError, match="cannot be parsed"):
        job_of(shared_tiny_catalog, eligibility=("mag <",))
    with pytest.raises(SpecError, match=r"no column 'hostgal_photz'.*'hostgal_photoz'") as caught:
        plan_job(job_of(shared_tiny_catalog, eligibility=("hostgal_photz < 1",)))
    assert caught.value.kind == ErrorKind.UNKNOWN_COLUMN
    with pytest.raises(SpecError, match=r"lc\.mjd is list"):
        plan_job(job_of(shared_tiny_catalog, eligibility=("lc.mjd > 1",)))


def tensor_job(job_of, catalog, store, **sections):
    given = {"input": {"tensors": {"cutout": str(store)}}, **sections}
    return job_of(catalog, model="toy-tensors", layer="toy", **given)


@pytest.mark.parametrize("slice_rows", [8, 16, 1000])
def test_images_of_ineligible_rows_say_nothing_however_slices_are_cut(
    tmp_path, shared_tiny_catalog, job_of, monkeypatch, slice_rows
):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    monkeypatch.setattr("skyloom.tensors.read.TensorStore.slice_rows", lambda self: slice_rows)
    plain = layer_rows(
        done(tensor_job(job_of, shared_tiny_catalog, store, output={"store": str(tmp_path / "plain")}))
    )
    table = layer_rows(done(tensor_job(job_of, shared_tiny_catalog, store, eligibility=("hostgal_photoz < 0.3",))))
    eligible = np.array(table["toy_eligible"])
    assert 0 < eligible.sum() < 240
    for name in ("total", "seen", "toy_flag"):
        assert table[name].filter(pa.array(eligible)).equals(plain[name].filter(pa.array(eligible)))
    other = table.filter(pa.array(~eligible))
    assert other["total"].null_count == other.num_rows
    (criterion,) = set(other["toy_flag"].to_pylist())
    assert not criterion & (CUTOUT_MISSING.mask | CUTOUT_CORRUPT.mask)


def test_slices_without_an_eligible_row_are_not_read(tmp_path, tiny_catalog, job_of, monkeypatch):
    catalog = tiny_catalog(rows=60, threshold=500)
    store = write_tensors(tmp_path / "store", catalog)
    monkeypatch.setattr("skyloom.tensors.read.TensorStore.slice_rows", lambda self: 8)
    read, plain = [], TensorRows.read
    monkeypatch.setattr(TensorRows, "read", lambda self, cut: read.append(cut) or plain(self, cut))
    planned = plan_job(tensor_job(job_of, catalog, store, eligibility=("hostgal_photoz < 0.1",)))
    for task in planned.tasks:
        read.clear()
        table = Scoring(planned.plan.settings).split(task).compute(0, task.rows).table
        eligible = np.flatnonzero(np.array(table["toy_eligible"]))
        assert {start for start, _ in read} == {8 * (row // 8) for row in eligible}
        assert table.num_rows == task.rows


def test_a_row_that_kills_is_found_among_the_eligible_ones_and_the_counts_survive(tmp_path, tiny_catalog, job_of):
    catalog = tiny_catalog(rows=60, threshold=500)
    rows = whole(catalog, ["object_id", "hostgal_photoz"])
    z = rows["hostgal_photoz"].to_numpy()
    ids = rows["object_id"].to_numpy()
    usable = (ids % 11 != 0) & (ids % 7 != 0) & np.isfinite(z)
    killer, harmless = int(ids[usable & (z < 0.8)][0]), int(ids[usable & (z > 0.8)][0])
    special = [(killer, toy_tensors.KILLS), (harmless, toy_tensors.KILLS)]
    store = write_tensors(tmp_path / "store", catalog, special=special)
    planned = plan_job(tensor_job(job_of, catalog, store, eligibility=("hostgal_photoz < 0.8",)))
    task = next(
        t for t in planned.tasks
        if killer in Scoring(planned.plan.settings).split(t)._repeated["object_id"].to_pylist()
    )  # fmt: skip
    isolated = IsolatedProcessor(
        Scoring(planned.plan.settings), Limits(max_bad_fraction=0.5), lambda: None
    ).process(task)
    table = isolated.table
    by_id = dict(zip(table["object_id"].to_pylist(), table["toy_flag"].to_pylist(), strict=True))
    assert by_id[killer] & KILLED_WORKER.mask
    assert not any(flag & KILLED_WORKER.mask for each, flag in by_id.items() if each != killer)
    assert len(isolated.faults) == 1
    assert sum(isolated.counts.values()) == task.rows


def test_the_commands_print_the_funnel(shared_tiny_catalog, tmp_path, capsys):
    job = tmp_path / "job.toml"
    job.write_text(
        f'job = "j"\nmodel = "lightcurve-features"\nlayer = "features"\n'
        f"eligibility = {json.dumps(list(CRITERIA))}\n"
        f'[input]\ncatalog = "{shared_tiny_catalog}"\n[output]\nstore = "{tmp_path / "layers"}"\n'
    )
    assert main(["run", str(job), "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["eligibility"] == list(CRITERIA)
    assert main(["run", str(job), "--cluster", "in-process"]) == 0
    out = capsys.readouterr().out
    assert "not known" in out
    assert all(text in out for text in CRITERIA)
    assert main(["layer", "describe", "features", "--store", str(tmp_path / "layers"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {step["criterion"] for step in said["eligibility"]} == set(CRITERIA)
    assert said["question"] == "describe"
    assert main(["layer", "describe", "features", "--store", str(tmp_path / "layers")]) == 0
    assert "(all rows)" in capsys.readouterr().out


def test_a_lazy_model_asks_about_eligible_rows_alone(shared_tiny_catalog):
    frame = open_view(shared_tiny_catalog).with_model("lightcurve-features", eligibility=CRITERIA).compute()
    holds = expected(shared_tiny_catalog)
    eligible = [all(holds[i]) for i in frame["object_id"]]
    assert frame["lightcurve_features_eligible"].tolist() == eligible
    assert frame["lcf_amplitude_g"][[not each for each in eligible]].isna().all()
