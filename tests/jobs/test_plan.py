"""Planning writes nothing, and refuses what cannot run before anything runs."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, SpecError
from skyloom.jobs.plan import plan_job
from tests.tiny_catalogs import write_tiny_catalog


def rewrite(path, change):
    """Replace a partition file by a changed table."""
    table = change(pq.read_table(path, partitioning=None))
    path.unlink()
    pq.write_table(table, path)


def files_of(catalog):
    return sorted(catalog.rglob("Npix=*.parquet"))


def test_planning_writes_nothing(shared_tiny_catalog, job_of, tmp_path):
    planned = plan_job(job_of(shared_tiny_catalog))
    assert planned.rows == 240
    assert planned.version == 0
    assert not os.listdir(tmp_path)


def test_the_layer_repeats_id_and_position_and_ends_with_its_flag(shared_tiny_catalog, job_of):
    schema = plan_job(job_of(shared_tiny_catalog)).schema
    assert schema.names[:4] == ["object_id", "ra", "dec", "_healpix_29"]
    assert schema.names[-1] == "features_flag"
    assert schema.field("lcf_amplitude_g").metadata[b"unit"] == b"nJy"
    assert schema.field("lcf_amplitude_g").metadata[b"description"]


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"model": "lightcurve-feature"}, ErrorKind.UNKNOWN_MODEL, "did you mean 'lightcurve-features'"),
        ({"model_config": {"band": ["g"]}}, ErrorKind.UNKNOWN_KEY, "did you mean 'bands'"),
        ({"model_config": {"bands": []}}, ErrorKind.BAD_PARAMETER, "at least one passband"),
        ({"input": {"columns": {"lc.flux": "lc.flx"}}}, ErrorKind.UNKNOWN_COLUMN, "did you mean 'lc.flux'"),
        ({"input": {"columns": {"lc.flx": "lc.flux"}}}, ErrorKind.UNKNOWN_COLUMN, "which the model does not read"),
        ({"input": {"columns": {"lc.flux": "lc.band"}}}, ErrorKind.COLUMN_TYPE, "the model reads list<float>"),
        ({"input": {"units": {"lc.mjd": "yr"}}}, ErrorKind.COLUMN_UNIT, "is in 'yr'; the model reads 'd'"),
        ({"run": {"task_memory_bytes": 1000}}, ErrorKind.PLAN_TOO_LARGE, "task_memory_bytes=1000"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_runs(
    shared_tiny_catalog, job_of, tmp_path, changes, kind, said
):
    with pytest.raises(SpecError) as caught:
        plan_job(job_of(shared_tiny_catalog, **changes))
    assert caught.value.kind == kind
    assert said in caught.value.message
    assert not os.listdir(tmp_path)


def test_a_catalog_that_is_none_is_said(tmp_path, job_of):
    (tmp_path / "stuff").mkdir()
    with pytest.raises(NotFoundError) as caught:
        plan_job(job_of(tmp_path / "stuff"))
    assert caught.value.kind == ErrorKind.NOT_A_CATALOG


def test_a_layer_that_does_not_exist_is_said(shared_tiny_catalog, job_of):
    with pytest.raises(NotFoundError):
        plan_job(job_of(shared_tiny_catalog, input={"layers": ["nowhere"]}))


def test_a_truncated_partition_is_named(tiny_catalog, job_of):
    catalog = tiny_catalog()
    broken = files_of(catalog)[3]
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(DataError) as caught:
        plan_job(job_of(catalog))
    assert str(broken) in caught.value.message


def test_a_partition_whose_schema_differs_is_named(tiny_catalog, job_of):
    catalog = tiny_catalog()
    odd = files_of(catalog)[2]
    rewrite(
        odd,
        lambda t: t.set_column(
            t.schema.get_field_index("object_id"), "object_id", t["object_id"].cast(pa.string())
        ),
    )
    with pytest.raises(DataError, match="'object_id' is string, the catalog's schema says int64") as caught:
        plan_job(job_of(catalog))
    assert str(odd) in caught.value.message


def test_the_same_request_is_the_same_job_and_any_change_another(tiny_catalog, job_of):
    catalog = tiny_catalog()
    first = plan_job(job_of(catalog)).job_id
    assert plan_job(job_of(catalog, run={"batch_rows": 7})).job_id == first
    assert plan_job(job_of(catalog, model_config={"bands": ["g", "r"]})).job_id != first
    rewrite(
        files_of(catalog)[0],
        lambda t: t.set_column(t.schema.get_field_index("mwebv"), "mwebv", pa.array([0.5] * len(t))),
    )
    assert plan_job(job_of(catalog)).job_id != first


def test_a_catalog_that_was_moved_is_the_same_job(tmp_path, job_of):
    one, two = write_tiny_catalog(tmp_path / "one"), write_tiny_catalog(tmp_path / "two")
    assert plan_job(job_of(one)).job_id == plan_job(job_of(two)).job_id


def test_a_pinned_snapshot_that_changed_is_a_conflict(tiny_catalog, job_of):
    catalog = tiny_catalog()
    pinned = plan_job(job_of(catalog)).catalog.snapshot()
    plan_job(job_of(catalog, input={"snapshot": pinned}))
    rewrite(
        files_of(catalog)[0],
        lambda t: t.set_column(t.schema.get_field_index("mwebv"), "mwebv", pa.array([0.5] * len(t))),
    )
    with pytest.raises(ConflictError) as caught:
        plan_job(job_of(catalog, input={"snapshot": pinned}))
    assert caught.value.kind == ErrorKind.SNAPSHOT_CHANGED


def test_a_job_without_a_place_for_its_layer_is_refused(shared_tiny_catalog, job_of):
    with pytest.raises(SpecError, match="--store"):
        plan_job(job_of(shared_tiny_catalog, output={}))
