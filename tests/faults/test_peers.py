"""Eight ways in which catalog software was seen to lose or falsify results; none of them happens here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog as open_hats
from skyloom.cluster import ClusterSpec, start
from skyloom.errors import DataError, SkyloomError, TransientError
from skyloom.jobs import open_catalog, open_layer, run, verify_layer
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.spec import parse_job
from skyloom.runtime.contract import KILLED_WORKER, MODEL_ERROR
from tests.faults import probe
from tests.tiny_catalogs import objects, write_hats, write_tiny_catalog

pytestmark = pytest.mark.cluster

HERE = ClusterSpec(kind="in-process")
BYTES_PER_TASK = 10_000
"""What one message to the scheduler may hold: names and digests, no model."""


@pytest.fixture(scope="module")
def cluster():
    with start(ClusterSpec(workers=2, dashboard="")) as running:
        yield running


@pytest.fixture
def bench(tmp_path, shared_tiny_catalog):
    return probe.Bench(tmp_path, shared_tiny_catalog)


def files_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Content, inode and time of every file."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_ino,
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def table_of(bench, layer="scores") -> pa.Table:
    return pa.concat_tables([pq.read_table(f, partitioning=None) for f in open_layer(layer, bench.layers).files])


def base_of(catalog) -> pa.Table:
    files = [f"{catalog}/{p.files[0]}" for p in open_hats(catalog).partitions()]
    return pa.concat_tables([pq.read_table(f, columns=["object_id"], partitioning=None) for f in files])


def expected(ids, scale=1.0):
    return (np.asarray(ids) % 1000 * scale).astype(np.float32)


def nothing_published(bench):
    return not list(bench.layers.glob("*/refs/v*.json")) and not list(bench.layers.rglob("hats.properties"))


# 1. "Adding a column rewrites the catalog."


def test_a_new_column_leaves_every_file_of_the_catalog_as_it_is(bench, cluster):
    before = files_of(bench.catalog)
    bench.run(cluster)
    job = {"job": "f", "model": "lightcurve-features", "layer": "features"}
    places = {"input": {"catalog": str(bench.catalog)}, "output": {"store": str(bench.layers)}}
    run(parse_job(job | places, where="test"), cluster=HERE, progress=False)
    assert files_of(bench.catalog) == before
    view = open_catalog(bench.catalog).with_layers("scores", "features", store=bench.layers)
    answer = view.query(
        "select count(probe_score) as n, count(lcf_amplitude_g) as m, sum(mwebv) as s from catalog"
    )
    assert answer["n"][0].as_py() == 240
    assert answer["m"][0].as_py() > 0
    assert answer["s"][0].as_py() > 0
    repeated = set(table_of(bench).column_names) & set(pq.read_schema(next(bench.catalog.rglob("Npix=*"))).names)
    assert repeated == {"object_id", "ra", "dec", "_healpix_29"}


# 2. "Resuming with another model mixes scores."


def test_a_run_resumed_with_other_weights_of_the_same_name_holds_no_old_score(bench, cluster):
    gate = bench.folder / "gate"
    gate.touch()
    ids = base_of(bench.catalog)["object_id"].to_pylist()
    job = {"settings": {"blocks": ids[200:202], "blocked_by": str(gate)}, "run": {"partitions_per_task": 1}}
    with pytest.raises(TransientError, match="incomplete"):
        bench.run(cluster, **job)
    old = len(list(bench.layers.glob("scores/jobs/*/records/**/*.json")))
    assert old > 3
    gate.unlink()
    probe.write_weights(bench.bundles, 2.0)
    newer = bench.run(cluster, **job)
    assert (newer.reused, newer.computed) == (0, newer.partitions)
    np.testing.assert_array_equal(table_of(bench)["probe_score"], expected(ids, 2.0))
    probe.write_weights(bench.bundles, 1.0)
    resumed = bench.run(cluster, **job)
    assert (resumed.reused, resumed.version) == (old, 2)
    np.testing.assert_array_equal(table_of(bench)["probe_score"], expected(ids, 1.0))


# 3. "A truncated or missing file under a done-marker is reported as success."

DAMAGE = {"truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]), "missing": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_over_damaged_commits_is_no_success(bench, damage):
    gate = bench.folder / "gate"
    gate.touch()
    ids = base_of(bench.catalog)["object_id"].to_pylist()
    job = {"settings": {"blocks": ids[-1:], "blocked_by": str(gate)}}
    with pytest.raises(TransientError):
        bench.run(HERE, **job)
    gate.unlink()
    victim = sorted(bench.layers.glob("scores/jobs/*/dataset/**/*.parquet"))[2]
    whole = victim.read_bytes()
    DAMAGE[damage](victim)
    with pytest.raises((DataError, TransientError)) as caught:
        bench.run(HERE, **job)
    assert str(victim) in caught.value.message
    assert "run the same command again" in caught.value.message
    assert nothing_published(bench)
    victim.unlink(missing_ok=True)
    record = Path(str(victim).replace("/dataset/", "/records/")).with_suffix(".json")
    record.unlink()
    assert bench.run(HERE, **job).computed == 1
    assert victim.read_bytes() == whole


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_layer_is_not_reported_as_up_to_date(bench, damage):
    bench.run(HERE)
    victim = Path(open_layer("scores", bench.layers).files[2])
    DAMAGE[damage](victim)
    assert not verify_layer("scores", bench.layers).ok
    with pytest.raises(DataError, match="layer repair") as caught:
        bench.run(HERE)
    assert str(victim) in caught.value.message


# 4. "A crash between two marker files, or while a margin is written, makes resume impossible."

KILLED_EVERYWHERE = """
import hashlib, os, shutil, signal, sys
from pathlib import Path

from skyloom.cluster import ClusterSpec
from skyloom.jobs import run
from skyloom.jobs.spec import parse_job

catalog, layers = sys.argv[1:]
job = {"job": "t", "model": "lightcurve-features", "layer": "f", "model_config": {"bands": ["g"]}}
job = parse_job(job | {"input": {"catalog": catalog}, "output": {"store": layers}}, where="test")

def child(point=None):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if point:
        os.environ["SKYLOOM_FAILPOINT"] = point
    try:
        run(job, cluster=ClusterSpec(kind="in-process"), progress=False)
        os._exit(0)
    finally:
        os._exit(1)

def state():
    # All but diaries: who ran when, and which attempt wrote a record.
    return {
        str(p.relative_to(layers)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(layers).rglob("*"))
        if p.is_file() and not {"log", "leases", "records"} & set(p.parts) and not p.name.startswith(".tmp-")
    }

# Here, so that the children, which are copies of this process, have every module already.
run(job, cluster=ClusterSpec(kind="in-process"), progress=False)
calm = state()
for passage in range(1, 200):
    shutil.rmtree(layers)
    died = child(f"before-link:{passage}")
    if died == 0:
        break
    assert died == -signal.SIGKILL, died
    assert child() == 0, passage
    assert state() == calm, passage
print(passage - 1, len(calm))
"""


def test_a_run_killed_before_any_file_that_it_names_resumes_to_the_same_layer(tmp_path):
    """Every name is a marker to somebody: job, data, record, face, manifest, reference, collection."""
    table = objects(60, longest=12)
    fields = pc.shift_right(table["_healpix_29"], 58).to_pylist()
    catalog = write_hats(tmp_path / "c", table.filter(pa.array([f == fields[-1] for f in fields])))
    script = tmp_path / "killed.py"
    script.write_text(KILLED_EVERYWHERE)
    done = subprocess.run(
        [sys.executable, str(script), str(catalog), str(tmp_path / "layers")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    deaths, files = map(int, done.stdout.split())
    assert deaths >= files, "once before each file that remains, and before each record"


# 5. "One bad row or partition ends the job."


def test_a_row_that_raises_and_one_that_kills_cost_two_rows(bench, cluster):
    ids = base_of(bench.catalog)["object_id"].to_pylist()
    report = bench.run(cluster, settings={"raises": [ids[5]], "kills": [ids[150]]})
    assert (report.rows, report.flagged, report.quarantined) == (240, 2, 2)
    flags = table_of(bench)["scores_flag"].to_pylist()
    assert {i: flag for i, flag in enumerate(flags) if flag} == {5: MODEL_ERROR.mask, 150: KILLED_WORKER.mask}
    scores = table_of(bench)["probe_score"].to_pylist()
    assert [i for i, score in enumerate(scores) if score is None] == [5, 150]


def test_a_bad_partition_costs_itself_and_is_named(tmp_path, cluster):
    bench = probe.Bench(tmp_path, write_tiny_catalog(tmp_path / "c"))
    planned = bench.plan()
    victim = sorted(bench.catalog.rglob("Npix=*.parquet"))[3]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20])
    with pytest.raises(TransientError, match=r"1 of .* partitions failed") as caught:
        bench.run(cluster, planned)
    assert str(victim) in caught.value.message
    assert nothing_published(bench)
    victim.write_bytes(whole)
    report = bench.run(cluster, planned)
    assert (report.computed, report.rows) == (1, 240)


# 6. "Dropped, shuffled or moved rows are accepted."


@pytest.mark.parametrize("meddle", probe.MEDDLE)
def test_rows_that_are_lost_doubled_shuffled_or_moved_are_refused(bench, meddle):
    planned = bench.plan("Meddling", meddle=meddle)
    with pytest.raises(TransientError, match=r"Norder=\d+/Dir=0/Npix=\d+") as caught:
        bench.run(HERE, planned)
    said = "a layer keeps every row" if meddle in {"dropped", "doubled"} else "differ from the input's"
    assert said in caught.value.message
    assert nothing_published(bench)
    committed = [json.loads(record.read_bytes()) for record in bench.layers.rglob("records/**/*.json")]
    assert all(record["rows"] < 2 for record in committed), "one row alone is in its order"


def test_a_layer_whose_rows_were_moved_is_not_read_as_input(bench):
    bench.run(HERE, layer="first")
    files = [Path(f) for f in open_layer("first", bench.layers).files]
    files[1].write_bytes(files[2].read_bytes())
    view = open_catalog(bench.catalog).with_layers("first", store=bench.layers)
    with pytest.raises(SkyloomError, match=files[1].name):
        view.query("select sum(probe_score) from catalog")


# 7. "A model passed as an argument is pickled into every task, and is also loaded in the driver."


def test_the_size_of_a_model_is_not_in_any_message_and_the_driver_loads_none(bench, cluster, monkeypatch):
    from distributed.protocol import dumps

    def never(*_):
        raise AssertionError("the driver builds no estimator")

    monkeypatch.setattr(Scoring, "__init__", never)
    monkeypatch.setattr(probe, "build", never)
    sizes: list[int] = []
    send = cluster.client._send_to_scheduler

    def measured(message):
        sizes.append(sum(len(memoryview(frame).cast("B")) for frame in dumps(message)))
        send(message)

    monkeypatch.setattr(cluster.client, "_send_to_scheduler", measured)
    largest = []
    for size in (1, 4_000_000):  # 32 MB
        probe.write_weights(bench.bundles, 3.0, size=size)
        planned = bench.plan(layer=f"of-{size}", run={"partitions_per_task": 1})
        sizes.clear()
        report = bench.run(cluster, planned)
        assert len(sizes) >= report.computed == report.partitions
        assert len(planned.plan.work(str(bench.layers)).to_json()) < BYTES_PER_TASK
        largest.append(max(sizes))
    assert max(largest) < BYTES_PER_TASK
    assert abs(largest[1] - largest[0]) < 100


# 8. "float64 passes where float32 was declared."


def test_a_type_other_than_the_declared_is_refused_by_column(bench, cluster):
    with pytest.raises(TransientError, match="probe_score as float64, declared float32"):
        bench.run(cluster, settings={"wide": True})
    assert nothing_published(bench)
    bench.run(cluster)
    assert table_of(bench).schema.field("probe_score").type == pa.float32()
