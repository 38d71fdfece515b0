"""Jobs over images: every row comes out, and a store that does not fit is refused before anything runs."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toy_tensors
from skyloom.catalog import open_catalog, read_partition
from skyloom.engine import Limits
from skyloom.engine.isolation import IsolatedProcessor
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, SpecError
from skyloom.jobs import open_catalog as open_view
from skyloom.jobs import open_layer, run
from skyloom.jobs.plan import plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.tensors import TensorRows
from skyloom.models import registry
from skyloom.runtime.contract import CUTOUT_CORRUPT, CUTOUT_MISSING, KILLED_WORKER, MODEL_ERROR
from skyloom.runtime.tensors import tensor_values
from skyloom.tensors import PartitionWriter, create_store, key_arrays, open_tensors
from tensor_stores import CHUNK, damaged, images, shard_of, write_tensors
from tiny_catalogs import empty_partition


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setitem(registry._SYSTEMS, "toy-tensors", "toy_tensors")
    monkeypatch.setitem(sys.modules, "toy_tensors", toy_tensors)


@pytest.fixture
def toy_job(job_of):
    def make(catalog, store, **sections):
        given = {"input": {"tensors": {"cutout": str(store)}}, **sections}
        return job_of(catalog, model="toy-tensors", layer="toy", **given)

    return make


def computed(planned, task):
    return Scoring(planned.plan.settings).split(task).compute(0, task.rows)


def layer_rows(report):
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    table = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts])
    return table.sort_by("object_id")


def test_a_run_over_a_catalog_and_its_images_writes_every_row(tmp_path, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    report = run(toy_job(shared_tiny_catalog, store), cluster="in-process", progress=False)
    table = layer_rows(report)
    assert table.num_rows == report.rows == 240
    ids = table["object_id"].to_numpy()
    wanted = images({"object_id": ids})
    off = ids % 11 == 0
    np.testing.assert_array_equal(np.asarray(table["total"].is_null()), off)
    np.testing.assert_allclose(table["total"].to_numpy()[~off], np.nansum(wanted, axis=(1, 2, 3))[~off], rtol=1e-6)
    np.testing.assert_allclose(table["seen"].to_numpy()[~off], np.isfinite(wanted).mean((1, 2, 3))[~off])
    np.testing.assert_array_equal(table["toy_flag"].to_numpy(), np.where(off, 1 | CUTOUT_MISSING.mask, 0))
    assert open_layer("toy", tmp_path / "layers").name == "toy"
    again = run(toy_job(shared_tiny_catalog, store), cluster="in-process", progress=False)
    assert again.up_to_date


def test_pieces_slices_and_batches_change_no_bit(tmp_path, tiny_catalog, toy_job, monkeypatch):
    catalog = tiny_catalog(rows=200, threshold=500)
    store = write_tensors(tmp_path / "store", catalog)
    planned = plan_job(toy_job(catalog, store))
    task = max(planned.tasks, key=lambda t: t.rows)
    whole = computed(planned, task).table
    monkeypatch.setattr("skyloom.tensors.read.SLICE_BYTES", 1)
    monkeypatch.setattr("skyloom.tensors.read.TensorStore.slice_rows", lambda self: CHUNK)
    for batch_rows in (3, 8192):
        scoring = Scoring({**planned.plan.settings, "batch_rows": batch_rows})
        rows = scoring.split(task)
        cuts = sorted({0, 1, 5, 9, task.rows // 2, task.rows})
        pieces = [rows.compute(a, b).table for a, b in itertools.pairwise(cuts)]
        assert pa.concat_tables(pieces).equals(whole)
    assert Scoring(planned.plan.settings).split(task).compute(0, 0).table.schema.equals(whole.schema)


def test_the_first_slice_is_read_with_the_rows_and_no_slice_twice(tmp_path, tiny_catalog, toy_job, monkeypatch):
    catalog = tiny_catalog(rows=200, threshold=500)
    planned = plan_job(toy_job(catalog, write_tensors(tmp_path / "store", catalog)))
    task = max(planned.tasks, key=lambda t: t.rows)
    monkeypatch.setattr("skyloom.tensors.read.TensorStore.slice_rows", lambda self: CHUNK)
    read, plain = [], TensorRows.read
    monkeypatch.setattr(TensorRows, "read", lambda self, cut: read.append(cut) or plain(self, cut))
    rows = Scoring(planned.plan.settings).split(task)
    assert read == [(0, CHUNK)]
    rows.compute(0, task.rows)
    assert sorted(read) == sorted(set(read))
    assert len(read) == -(-task.rows // CHUNK)
    rows.compute(0, task.rows)
    assert len(read) == 2 * -(-task.rows // CHUNK)


def test_batches_that_halve_after_memory_ran_out_give_the_same_bits(tmp_path, tiny_catalog, toy_job, monkeypatch):
    catalog = tiny_catalog(rows=60, threshold=500)
    planned = plan_job(toy_job(catalog, write_tensors(tmp_path / "store", catalog)))
    whole = [computed(planned, task).table for task in planned.tasks]
    real = toy_tensors.predict

    def greedy(estimator, arrays):
        if len(arrays["seen"]) > 3:
            raise MemoryError
        return real(estimator, arrays)

    monkeypatch.setattr(toy_tensors, "predict", greedy)
    scoring = Scoring(planned.plan.settings)
    assert all(
        scoring.split(task).compute(0, task.rows).table.equals(w)
        for task, w in zip(planned.tasks, whole, strict=True)
    )
    assert scoring.batch_rows <= 3


def test_corrupt_and_missing_chunks_flag_their_rows_and_leave_the_others(tmp_path, tiny_catalog, toy_job):
    catalog = tiny_catalog(rows=100, threshold=500)
    store = write_tensors(tmp_path / "store", catalog)
    planned = plan_job(toy_job(catalog, store))
    task = max(planned.tasks, key=lambda t: t.rows)
    whole = computed(planned, task).table
    damaged(open_tensors(store), "flip", chunk=0, key=task.key)
    damaged(open_tensors(store), "unlist", chunk=1, key=task.key)
    found = computed(planned, task)
    flag = found.table["toy_flag"].to_numpy()
    assert (flag[:CHUNK] == (1 | CUTOUT_CORRUPT.mask)).all()
    assert (flag[CHUNK : 2 * CHUNK] == (1 | CUTOUT_MISSING.mask)).all()
    assert found.table["total"][: 2 * CHUNK].null_count == 2 * CHUNK
    assert found.table.slice(2 * CHUNK).equals(whole.slice(2 * CHUNK))
    assert found.faults == []


def test_a_row_that_raises_or_kills_is_alone_in_quarantine(tmp_path, tiny_catalog, toy_job):
    catalog = tiny_catalog(rows=90, threshold=500)
    ids = np.concatenate(
        [
            read_partition(str(catalog), p, ["object_id"])["object_id"].to_numpy()
            for p in open_catalog(catalog).partitions()
        ]
    )
    fine = [i for i in ids.tolist() if i % 11 and i % 7]
    special = [(fine[3], toy_tensors.RAISES), (fine[20], toy_tensors.KILLS)]
    calm = plan_job(toy_job(catalog, write_tensors(tmp_path / "calm", catalog)))
    poisoned = plan_job(toy_job(catalog, write_tensors(tmp_path / "poisoned", catalog, special=special)))
    limits = Limits(max_bad_fraction=0.1, memory_bytes=4_000_000_000, deadline_s=30.0)
    done = IsolatedProcessor(Scoring(poisoned.plan.settings), limits, lambda: None)
    faults = []
    for a, b in zip(calm.tasks, poisoned.tasks, strict=True):
        wanted, found = computed(calm, a).table, done.process(b)
        bad = np.isin(found.table["object_id"].to_numpy(), [object_id for object_id, _ in special])
        keep = pa.array(~bad)
        assert found.table.filter(keep).equals(wanted.filter(keep))
        faults += [(f.cause, found.table["object_id"][f.row].as_py(), f.input_digest) for f in found.faults]
        for fault in found.faults:
            flag = found.table["toy_flag"][fault.row].as_py()
            assert flag == (KILLED_WORKER if fault.cause.startswith("signal") else MODEL_ERROR).mask
    assert {(cause, object_id) for cause, object_id, _ in faults} == {
        ("ValueError", special[0][0]),
        ("signal 11", special[1][0]),
    }
    assert len({digest for *_, digest in faults}) == 2


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"shape": (2, 5, 5)}, {}, r"shape \(2, 5, 5\); the model reads \(2, 6, 6\)"),
        ({"unit": "Jy"}, {}, "in 'Jy'; the model reads 'nJy'"),
        ({"unit": ""}, {}, "do not state their unit"),
        ({"bands": ("r", "g")}, {"bands": ["g", "r"]}, "bands are r, g; the model reads g, r, in this order"),
        ({"pixel_arcsec": 0.2}, {"pixel_arcsec": 0.25}, '0.2"; the model reads 0.25"'),
        ({}, {"pixel_arcsec": 0.25}, "pixel scale is not stated"),
    ],
)
def test_a_store_that_does_not_fit_the_model_is_refused_at_plan_time(
    tmp_path, shared_tiny_catalog, toy_job, changes, settings, said
):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog, **changes)
    with pytest.raises(SpecError, match=said):
        plan_job(toy_job(shared_tiny_catalog, store, model_config=settings))


def test_units_of_a_store_that_does_not_state_them_come_from_the_job(tmp_path, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog, unit="")
    given = {"tensors": {"cutout": str(store)}, "units": {"cutout": "nJy"}}
    assert plan_job(toy_job(shared_tiny_catalog, store, input=given)).tensors[0].unit == "nJy"


def test_a_store_of_another_catalog_is_refused(tmp_path, tiny_catalog, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", tiny_catalog("other", seed=1))
    with pytest.raises(ConflictError, match="but for catalog other"):
        plan_job(toy_job(shared_tiny_catalog, store))


def test_a_store_of_another_snapshot_of_the_catalog_is_refused(tmp_path, tiny_catalog, toy_job):
    catalog = tiny_catalog()
    store = write_tensors(tmp_path / "store", catalog)
    plan_job(toy_job(catalog, store))
    empty_partition(catalog)
    with pytest.raises(
        ConflictError, match=r"another snapshot of it: sha256:\w+, and the catalog is sha256"
    ) as caught:
        plan_job(toy_job(catalog, store))
    assert caught.value.kind is ErrorKind.SNAPSHOT_CHANGED


def test_a_row_with_pixels_of_nan_is_scored_with_its_coverage_and_no_flag(tmp_path, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    planned = plan_job(toy_job(shared_tiny_catalog, store))
    found = pa.concat_tables([computed(planned, task).table for task in planned.tasks])
    ids = found["object_id"].to_numpy()
    half = (ids % 7 == 0) & (ids % 11 != 0)
    assert half.sum() > 10
    assert (found["seen"].to_numpy()[half] == 0.5).all()
    assert (found["toy_flag"].to_numpy()[half] == 0).all()
    upper = images({"object_id": ids[half]})[:, :, 3:]
    np.testing.assert_allclose(found["total"].to_numpy()[half], upper.sum(axis=(1, 2, 3)), rtol=1e-5)


def test_a_row_without_any_pixel_has_zero_coverage_nulls_and_the_flag_that_says_so(
    tmp_path, shared_tiny_catalog, toy_job
):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    planned = plan_job(toy_job(shared_tiny_catalog, store))
    off = 0
    for task in planned.tasks:
        given = rows_given(planned, task)
        found = computed(planned, task).table
        none = found["object_id"].to_numpy() % 11 == 0
        np.testing.assert_array_equal(given["cutout_coverage"].to_numpy() == 0, none)
        np.testing.assert_array_equal(given["cutout"].is_null().to_numpy(zero_copy_only=False), none)
        np.testing.assert_array_equal(found["total"].is_null().to_numpy(), none)
        flag = found["toy_flag"].to_numpy()
        assert (flag[none] & CUTOUT_MISSING.mask).all()
        assert not (flag[~none] & CUTOUT_MISSING.mask).any()
        off += none.sum()
    assert off > 10


def test_stores_that_are_not_named_not_there_or_not_finished_are_refused(
    tmp_path, shared_tiny_catalog, toy_job, job_of
):
    with pytest.raises(SpecError, match=r"Name one in \[input.tensors\]"):
        plan_job(job_of(shared_tiny_catalog, model="toy-tensors"))
    with pytest.raises(SpecError, match="did you mean 'cutout'"):
        plan_job(toy_job(shared_tiny_catalog, "x", input={"tensors": {"cutuot": "x"}}))
    with pytest.raises(SpecError, match="it reads none"):
        plan_job(job_of(shared_tiny_catalog, input={"tensors": {"cutout": "x"}}))
    with pytest.raises(NotFoundError, match="no tensor store"):
        plan_job(toy_job(shared_tiny_catalog, tmp_path / "nowhere"))
    store = write_tensors(tmp_path / "store", shared_tiny_catalog, skip=2)
    with pytest.raises(NotFoundError, match="is not finished: 2 of") as caught:
        plan_job(toy_job(shared_tiny_catalog, store))
    assert caught.value.kind is ErrorKind.NOT_FINISHED


def test_rows_that_are_not_the_catalogs_are_found_on_the_worker(tmp_path, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    catalog = open_catalog(shared_tiny_catalog)
    one = max(catalog.partitions(), key=lambda p: p.rows)
    layout = open_tensors(store).layout
    keys = key_arrays(read_partition(catalog.root, one, list(layout.keys)), layout.keys)
    swapped = {name: values[::-1] for name, values in keys.items()}
    shutil.rmtree(store / one.key)
    with PartitionWriter(create_store(store, layout), layout, one.key, swapped) as writer:
        writer.append(images(keys))
        writer.commit()
    planned = plan_job(toy_job(shared_tiny_catalog, store))
    task = next(task for task in planned.tasks if task.key == one.key)
    with pytest.raises(DataError, match=f"partition {one.key}: row 0 is .* in the store and"):
        computed(planned, task)


def test_other_images_are_other_work_and_a_store_changed_since_the_plan_is_noticed(
    tmp_path, shared_tiny_catalog, toy_job
):
    one = write_tensors(tmp_path / "one", shared_tiny_catalog)
    same = write_tensors(tmp_path / "same", shared_tiny_catalog)
    ids = read_partition(
        str(shared_tiny_catalog), open_catalog(shared_tiny_catalog).partitions()[0], ["object_id"]
    )["object_id"]
    other = write_tensors(tmp_path / "other", shared_tiny_catalog, special=[(ids[0].as_py(), 6.5)])
    planned, equal, changed = (plan_job(toy_job(shared_tiny_catalog, store)) for store in (one, same, other))
    assert planned.job_id == equal.job_id != changed.job_id
    task = planned.tasks[0]
    shutil.rmtree(one / task.key)
    shutil.copytree(other / task.key, one / task.key)
    with pytest.raises(ConflictError, match="changed in partition"):
        computed(planned, task)


def rows_given(planned, task):
    """The rows that the model is given of a partition, whole."""
    rows = Scoring(planned.plan.settings).split(task)
    return rows._tensors.beside(rows._rows, rows._tensors.read((0, task.rows)))[0]


@pytest.mark.parametrize("extras", [("psf_fwhm_arcsec",), ()])
def test_a_model_is_given_the_width_of_each_band_and_nan_where_it_is_not_known(
    tmp_path, shared_tiny_catalog, toy_job, extras
):
    planned = plan_job(
        toy_job(shared_tiny_catalog, write_tensors(tmp_path / "s", shared_tiny_catalog, extras=extras))
    )
    task = max(planned.tasks, key=lambda t: t.rows)
    given = rows_given(planned, task)
    widths, valid = tensor_values(given, "cutout_psf_fwhm", (2,))
    assert given.schema.field("cutout_psf_fwhm").metadata == {b"unit": b"arcsec"}
    assert valid.all()
    partition = next(p for p in open_catalog(shared_tiny_catalog).partitions() if p.key == task.key)
    ids = read_partition(str(shared_tiny_catalog), partition, ["object_id"])["object_id"].to_numpy()
    wanted = ids[:, None] % 5 * np.float32([0.5, 1.0]) if extras else np.full((task.rows, 2), np.nan)
    np.testing.assert_array_equal(widths, wanted.astype(np.float32))
    assert computed(planned, task).table.num_rows == task.rows


@pytest.mark.parametrize("harm", ["gone", "flipped", "folder gone"])
def test_widths_that_are_lost_are_said_and_not_taken_for_zeros(tmp_path, shared_tiny_catalog, toy_job, harm):
    store = write_tensors(tmp_path / "s", shared_tiny_catalog, extras=("psf_fwhm_arcsec",))
    planned = plan_job(toy_job(shared_tiny_catalog, store))
    task = planned.tasks[0]
    path = store / task.key / "psf_fwhm_arcsec" / "c" / "0" / "0"
    if harm == "flipped":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif harm == "gone":
        path.unlink()
    else:
        shutil.rmtree(store / task.key / "psf_fwhm_arcsec")
    with pytest.raises(DataError, match=r"psf_fwhm_arcsec.* make"):
        computed(planned, task)


def test_a_lazy_frame_refuses_a_model_that_reads_tensors_and_says_the_way(tmp_path, shared_tiny_catalog, toy_job):
    view = open_view(shared_tiny_catalog)
    with pytest.raises(SpecError, match=r"toy-tensors reads tensors \(cutout\).* \[input.tensors\].*with_layers"):
        view.with_model("toy-tensors")
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    run(toy_job(shared_tiny_catalog, store), cluster="in-process", progress=False)
    frame = view.with_layers("toy", store=tmp_path / "layers").to_lsdb()
    assert {"total", "seen", "toy_flag"} <= set(frame.columns)


def test_images_are_priced(tmp_path, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    planned = plan_job(toy_job(shared_tiny_catalog, store))
    groups = [store / task.key for task in planned.tasks]
    files = [path for group in groups for path in group.rglob("*") if path.is_file() and path.parent != group]
    assert planned.bytes - planned.plan.size_bytes == sum(path.stat().st_size for path in files)
    with pytest.raises(SpecError, match="need more than task_memory_bytes"):
        plan_job(toy_job(shared_tiny_catalog, store, run={"task_memory_bytes": 10_000}))


def test_a_shard_that_is_gone_costs_flags_not_the_job(tmp_path, shared_tiny_catalog, toy_job):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    job = toy_job(shared_tiny_catalog, store)
    key = max(plan_job(job).tasks, key=lambda t: t.rows).key
    shard_of(open_tensors(store), 0, key).unlink()
    report = run(job, cluster="in-process", progress=False)
    assert report.rows == 240
    flag = layer_rows(report)["toy_flag"].to_numpy()
    assert ((flag & CUTOUT_MISSING.mask) > 0).sum() >= 2 * CHUNK
