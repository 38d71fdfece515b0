"""Jobs whose layers, and whose catalog, lie on an S3-compatible store."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toy_tensors
from skyloom.catalog import open_catalog as open_hats
from skyloom.catalog import read_partition
from skyloom.engine import Limits
from skyloom.engine.isolation import IsolatedProcessor
from skyloom.errors import ErrorKind, NotFoundError, SpecError
from skyloom.jobs import layer_history, list_layers, open_catalog, open_layer, run
from skyloom.jobs.plan import plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.spec import parse_job
from skyloom.models import registry
from skyloom.runtime.contract import CUTOUT_MISSING, KILLED_WORKER
from skyloom.storage import open_store
from tensor_stores import write_tensors
from tests import seaweed

COLOURS = {
    "columns": {"g": "lcf_amplitude_g", "r": "lcf_amplitude_r"},
    "units": {"lcf_amplitude_g": "mag", "lcf_amplitude_r": "mag"},
}


@pytest.fixture
def bucket(monkeypatch):
    """URL of an empty place on a real server."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in seaweed.server().environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}"


def table_of(layer):
    tables = []
    for entry in layer.published.files:
        with layer.store.open(layer.published.journal.data(entry.key)) as file:
            tables.append(pq.read_table(file))
    return pa.concat_tables(tables)


def test_layers_on_a_bucket_equal_those_on_a_disk_and_feed_the_next_job(
    shared_tiny_catalog, job_of, bucket, tmp_path
):
    features = {}
    for store in (f"{bucket}/layers", str(tmp_path / "layers")):
        job = job_of(shared_tiny_catalog, output={"store": store})
        report = run(job, cluster="in-process", progress=False)
        assert (report.rows, report.version) == (240, 1)
        features[store] = open_layer("features", store)
        again = run(job, cluster="in-process", progress=False)
        assert (again.up_to_date, again.computed) == (True, 0)
        colours = job_of(
            shared_tiny_catalog,
            model="colors",
            layer="colours",
            model_config={"magnitudes": ["g", "r"]},
            output={"store": store},
            input={"layers": ["features"], **COLOURS},
        )
        assert run(colours, cluster="in-process", progress=False).rows == 240
        assert [layer.name for layer in list_layers(store)] == ["colours", "features"]
        assert [row["version"] for row in layer_history("features", store)] == [1]
    remote, local = features.values()
    assert remote.published.manifest == local.published.manifest
    assert table_of(remote).equals(table_of(local))
    assert open_layer(f"{bucket}/layers/features").path == remote.path
    assert table_of(open_layer("colours", f"{bucket}/layers")).equals(
        table_of(open_layer("colours", tmp_path / "layers"))
    )


def test_a_catalog_on_a_bucket_gives_the_rows_of_the_same_on_a_disk(shared_tiny_catalog, job_of, bucket, tmp_path):
    store = open_store(f"{bucket}/catalog")
    for path in sorted(Path(shared_tiny_catalog).rglob("*")):
        if path.is_file():
            store.put_if_absent(path.relative_to(shared_tiny_catalog).as_posix(), path.read_bytes())
    run(job_of(store.root, output={"store": f"{bucket}/layers"}), cluster="in-process", progress=False)
    run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    remote, local = open_layer("features", f"{bucket}/layers"), open_layer("features", tmp_path / "layers")
    assert table_of(remote).equals(table_of(local))
    view = open_catalog(store.root).with_layers("features", store=f"{bucket}/layers")
    assert "lcf_amplitude_g" in [column.name for column in view.columns]
    with pytest.raises(SpecError, match="SQL runs on local") as caught:
        view.query("select count(*) from catalog")
    assert caught.value.kind == ErrorKind.BAD_QUERY


def test_sql_over_a_layer_on_a_bucket_says_where_sql_runs(shared_tiny_catalog, job_of, bucket):
    run(job_of(shared_tiny_catalog, output={"store": bucket}), cluster="in-process", progress=False)
    view = open_catalog(shared_tiny_catalog).with_layers("features", store=bucket)
    with pytest.raises(SpecError, match="SQL runs on local layers"):
        view.query("select count(*) from catalog")


def test_lsdb_reads_a_layer_on_a_bucket_by_itself_and_beside_its_catalog(shared_tiny_catalog, job_of, bucket):
    report = run(job_of(shared_tiny_catalog, output={"store": bucket}), cluster="in-process", progress=False)
    assert len(open_catalog(report.layer_path).to_lsdb()) == 240
    frame = open_catalog(shared_tiny_catalog).with_layers("features", store=bucket).to_lsdb(columns=["object_id"])
    beside = frame[["object_id", "lcf_amplitude_g"]].compute().sort_values("object_id")
    alone = table_of(open_layer("features", bucket)).sort_by("object_id")
    assert beside["object_id"].tolist() == alone["object_id"].to_pylist()
    amplitudes = beside["lcf_amplitude_g"].to_numpy(np.float64, na_value=np.nan)
    np.testing.assert_array_equal(amplitudes, alone["lcf_amplitude_g"].to_numpy())


def test_a_catalog_that_may_not_be_read_says_what_to_check(bucket, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()  # connections made with the right keys
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SpecError, match="AWS_ACCESS_KEY_ID") as caught:
        open_catalog(f"{bucket}/catalog")
    s3fs.S3FileSystem.clear_instance_cache()
    assert caught.value.kind == ErrorKind.STORE_DENIED
    assert "wrong" not in caught.value.message


def test_an_unknown_layer_on_a_bucket_is_said_with_the_close_names(shared_tiny_catalog, job_of, bucket):
    run(job_of(shared_tiny_catalog, output={"store": bucket}), cluster="in-process", progress=False)
    with pytest.raises(NotFoundError, match="did you mean 'features'") as caught:
        open_layer("featurs", bucket)
    assert caught.value.kind == ErrorKind.UNKNOWN_LAYER


def test_layers_never_go_into_the_catalog_itself(job_of, shared_tiny_catalog, bucket):
    store = open_store(f"{bucket}/catalog")
    for path in Path(shared_tiny_catalog).rglob("*"):
        if path.is_file():
            store.put_if_absent(path.relative_to(shared_tiny_catalog).as_posix(), path.read_bytes())
    with pytest.raises(SpecError, match="inside catalog"):
        run(job_of(store.root, output={"store": f"{store.root}/layers"}), cluster="in-process", progress=False)


@pytest.mark.parametrize("section", [{"catalog": "s3://k:canary@b/c"}, {"layers": ["s3://b/l?secret=canary"]}])
def test_a_job_file_with_a_key_in_it_is_refused(section):
    values = {"job": "t", "model": "m", "layer": "l", "input": {"catalog": "c", **section}}
    with pytest.raises(SpecError, match="environment") as caught:
        parse_job(values, where="test")
    assert "canary" not in caught.value.message


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(registry._SYSTEMS, "toy-tensors", "toy_tensors")
    monkeypatch.setitem(sys.modules, "toy_tensors", toy_tensors)


def copied(local, url):
    store = open_store(url)
    for path in sorted(local.rglob("*")):
        if path.is_file():
            store.put_if_absent(path.relative_to(local).as_posix(), path.read_bytes())
    return store.root


def toy_job(job_of, catalog, place, tmp_path, name):
    where = {"input": {"tensors": {"cutout": place}}, "output": {"store": str(tmp_path / name)}}
    return job_of(catalog, model="toy-tensors", layer="toy", **where)


def test_tensors_on_a_bucket_give_the_rows_of_the_same_on_a_disk(
    shared_tiny_catalog, job_of, bucket, tmp_path, toy
):
    local = write_tensors(tmp_path / "stamps", shared_tiny_catalog)
    remote = copied(local, f"{bucket}/stores/stamps")
    tables = []
    for name, place in (("disk", str(local)), ("bucket", remote)):
        job = toy_job(job_of, shared_tiny_catalog, place, tmp_path, name)
        assert run(job, cluster="in-process", progress=False).rows == 240
        tables.append(table_of(open_layer("toy", tmp_path / name)))
    assert tables[0].equals(tables[1])
    assert 0 < tables[0]["total"].null_count < 60


def test_a_row_that_kills_is_alone_in_quarantine_also_where_its_image_is_on_a_bucket(
    tiny_catalog, job_of, bucket, tmp_path, toy
):
    catalog = tiny_catalog(rows=20, threshold=500)
    whole = pa.concat_tables(
        [read_partition(str(catalog), p, ["object_id"]) for p in open_hats(catalog).partitions()]
    )
    killer = next(i for i in whole["object_id"].to_pylist() if i % 7 and i % 11)
    local = write_tensors(tmp_path / "stamps", catalog, special=[(killer, toy_tensors.KILLS)])
    job = toy_job(job_of, catalog, copied(local, f"{bucket}/stores/stamps"), tmp_path, "layers")
    planned = plan_job(job)
    limits = Limits(max_bad_fraction=0.5, memory_bytes=4_000_000_000, deadline_s=60.0)
    done = IsolatedProcessor(Scoring(planned.plan.settings), limits, lambda: None)
    faults = []
    for task in planned.tasks:
        found = done.process(task)
        faults += [(fault.cause, found.table["object_id"][fault.row].as_py()) for fault in found.faults]
        flags = dict(zip(found.table["object_id"].to_pylist(), found.table["toy_flag"].to_pylist(), strict=True))
        assert flags.get(killer, KILLED_WORKER.mask) == KILLED_WORKER.mask
        assert all(flag in {0, 1 | CUTOUT_MISSING.mask} for i, flag in flags.items() if i != killer)
    assert faults == [("signal 11", killer)]
