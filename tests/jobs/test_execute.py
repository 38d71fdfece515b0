"""Jobs over a real (small) HATS catalog: rows in = rows out, whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog as open_hats
from skyloom.errors import ConflictError, SkyloomError, SpecError
from skyloom.jobs import open_catalog, open_layer, run
from tests.tiny_catalogs import write_tiny_catalog


def base_rows(catalog):
    opened = open_hats(catalog)
    return [
        row
        for p in opened.partitions()
        for f in p.files
        for row in pq.read_table(f"{opened.root}/{f}", columns=["object_id"], partitioning=None)[
            "object_id"
        ].to_pylist()
    ]


def layer_table(report):
    layer = open_layer(report.layer, os.path.dirname(os.path.dirname(os.path.dirname(report.layer_path))))
    return pa.concat_tables([pq.read_table(f, partitioning=None) for f in layer.files])


def content(report):
    """Digest of every data file of a layer, by name."""
    digests = {}
    for folder, _, names in os.walk(os.path.join(report.layer_path, "dataset")):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                digests[os.path.relpath(path, report.layer_path)] = hashlib.sha256(file.read()).hexdigest()
    return digests


def test_rows_in_are_rows_out_in_order(shared_tiny_catalog, job_of):
    report = run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    assert report.rows == 240
    assert layer_table(report)["object_id"].to_pylist() == base_rows(shared_tiny_catalog)


def test_a_second_run_is_up_to_date(shared_tiny_catalog, job_of):
    first = run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    again = run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    assert (again.up_to_date, again.computed, again.version) == (True, 0, first.version)


def test_batches_do_not_change_a_byte(shared_tiny_catalog, job_of, tmp_path):
    reports = [
        run(
            job_of(shared_tiny_catalog, run={"batch_rows": n}, output={"store": str(tmp_path / str(n))}),
            cluster="in-process",
            progress=False,
        )
        for n in (1, 7, 8192)
    ]
    assert content(reports[0]) == content(reports[1]) == content(reports[2])


def test_empty_light_curves_are_null_rows_with_a_flag(shared_tiny_catalog, job_of):
    table = layer_table(run(job_of(shared_tiny_catalog), cluster="in-process", progress=False))
    empty = np.array(table["features_flag"]) & 1 != 0
    assert empty.any()
    nulls = np.array(table["lcf_amplitude_g"].is_null())
    assert nulls[empty].all()
    assert not nulls.all()


def test_an_empty_partition_gives_an_empty_file(tmp_path, job_of):
    catalog = write_tiny_catalog(tmp_path / "c")
    victim = sorted(catalog.rglob("Npix=*.parquet"))[0]
    table = pq.read_table(victim, partitioning=None)
    victim.unlink()
    pq.write_table(table.slice(0, 0), victim)
    report = run(job_of(catalog), cluster="in-process", progress=False)
    assert report.rows == 240 - len(table)


def test_a_layer_is_a_valid_hats_catalog_that_lsdb_opens(shared_tiny_catalog, job_of):
    lsdb = pytest.importorskip("lsdb")
    report = run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    frame = lsdb.open_catalog(report.layer_path).compute(progress_bar=False)
    assert sorted(frame["object_id"]) == sorted(base_rows(shared_tiny_catalog))
    joined = lsdb.open_catalog(report.collection).load_extension("features").compute(progress_bar=False)
    assert len(joined) == 240
    assert "lcf_amplitude_g" in joined.columns


def test_a_view_with_layers_answers_sql_row_by_row(shared_tiny_catalog, job_of, tmp_path):
    run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    view = open_catalog(shared_tiny_catalog).with_layers("features", store=tmp_path / "layers")
    answer = view.query(
        "select count(*) as n, sum(lcf_n_obs_g) as points, sum(len(lc.mjd)) as all_points from catalog"
    )
    assert answer["n"][0].as_py() == 240
    assert 0 < answer["points"][0].as_py() < answer["all_points"][0].as_py()


def test_a_lazy_model_agrees_with_the_durable_run(shared_tiny_catalog, job_of):
    report = run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    frame = open_catalog(shared_tiny_catalog).with_model("lightcurve-features").compute(progress_bar=False)
    durable = layer_table(report).to_pandas().set_index("object_id")
    lazy = frame.set_index("object_id").loc[durable.index]
    np.testing.assert_array_equal(
        lazy["lcf_amplitude_g"].to_numpy(dtype=float, na_value=np.nan),
        durable["lcf_amplitude_g"].to_numpy(dtype=float, na_value=np.nan),
    )


def test_a_layer_of_a_catalog_that_changed_is_refused(tmp_path, job_of):
    catalog = write_tiny_catalog(tmp_path / "c")
    run(job_of(catalog), cluster="in-process", progress=False)
    path = sorted(catalog.rglob("Npix=*.parquet"))[0]
    table = pq.read_table(path, partitioning=None)
    path.unlink()
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), path)
    view = open_catalog(catalog).with_layers("features", store=tmp_path / "layers")
    with pytest.raises(ConflictError, match="rows may not correspond"):
        view.query("select lcf_n_obs_g from catalog")
    with pytest.raises(ConflictError, match="rows may not correspond"):
        view.to_lsdb()
    path.unlink()
    (catalog / "partition_info.csv").write_text("Norder,Npix\n0,4\n")
    with pytest.raises(ConflictError, match="only the layer has partition"):
        open_catalog(catalog).with_layers("features", store=tmp_path / "layers")


def test_layers_do_not_go_into_the_catalog(tmp_path, job_of):
    catalog = write_tiny_catalog(tmp_path / "c")
    with pytest.raises(SpecError, match="inside catalog"):
        run(job_of(catalog, output={"store": str(catalog / "layers")}), cluster="in-process", progress=False)


def test_a_catalog_that_changes_during_the_run_stops_it(tmp_path, job_of):
    from skyloom.cluster import ClusterSpec
    from skyloom.jobs.execute import run_planned
    from skyloom.jobs.plan import plan_job

    catalog = write_tiny_catalog(tmp_path / "c")
    planned = plan_job(job_of(catalog))
    path = sorted(catalog.rglob("Npix=*.parquet"))[5]
    table = pq.read_table(path, partitioning=None)
    path.unlink()
    pq.write_table(table.slice(1), path)
    with pytest.raises(SkyloomError, match="changed since the catalog was read"):
        run_planned(planned, cluster=ClusterSpec(kind="in-process"), progress=False)


def test_provenance_says_what_made_the_layer(shared_tiny_catalog, job_of):
    report = run(job_of(shared_tiny_catalog), cluster="in-process", progress=False)
    with open(os.path.join(report.layer_path, "provenance.json")) as file:
        said = json.load(file)
    assert said["identity"]["model"]["name"] == "lightcurve-features"
    assert said["identity"]["model"]["code"].startswith("sha256:")
    assert said["identity"]["catalog"]["snapshot"] == open_hats(shared_tiny_catalog).snapshot()


@pytest.mark.cluster
def test_a_run_killed_half_way_resumes_to_the_same_bytes_and_computes_nothing_twice(tmp_path):
    catalog = write_tiny_catalog(tmp_path / "c", rows=3000)
    stores = {name: tmp_path / name for name in ("calm", "killed")}
    calm, _ = _start(catalog, stores["calm"]), None
    assert calm.wait(timeout=120) == 0
    running = _start(catalog, stores["killed"])
    records = lambda: list(stores["killed"].rglob("records/**/*.json"))  # noqa: E731
    deadline = time.monotonic() + 60
    while len(records()) < 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(1)  # workers that outlive their driver finish what they hold
    committed = {p: p.stat().st_mtime_ns for p in stores["killed"].rglob("Npix=*.parquet")}
    with pytest.raises(SkyloomError):
        open_layer("features", stores["killed"])
    assert _start(catalog, stores["killed"]).wait(timeout=120) == 0
    assert all(p.stat().st_mtime_ns == when for p, when in committed.items())
    one, two = (open_layer("features", store) for store in stores.values())
    assert [f.sha256 for f in one.published.files] == [f.sha256 for f in two.published.files]
    assert one.published.reference.manifest_sha256 == two.published.reference.manifest_sha256


def _start(catalog, store):
    job = store.parent / f"{store.name}.toml"
    job.write_text(
        f'job = "t"\nmodel = "lightcurve-features"\nlayer = "features"\n[input]\ncatalog = "{catalog}"\n'
        f'[output]\nstore = "{store}"\n[run]\npartitions_per_task = 1\n'
    )
    code = f"from skyloom.jobs import run; run({str(job)!r}, cluster='local', progress=False)"
    guarded = f"if __name__ == '__main__':\n    {code.replace('; ', chr(10) + '    ')}\n"
    script = store.parent / f"{store.name}.py"
    script.write_text(guarded)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, str(script)], env=environment)
