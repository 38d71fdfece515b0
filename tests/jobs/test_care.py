"""Layers of a real (small) catalog are checked, mended and let go from the command line down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.cli import main
from skyloom.errors import ConflictError, NotFoundError, SpecError
from skyloom.jobs import abort_job, expire_layer, layer_history, open_catalog, repair_layer, run, verify_layer
from skyloom.jobs.plan import plan_job
from skyloom.jobs.spec import parse_job
from tests.tiny_catalogs import write_tiny_catalog


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A catalog of a few partitions and a layer of it, made once."""
    root = tmp_path_factory.mktemp("care")
    catalog = write_tiny_catalog(root / "tiny", rows=60, threshold=30, longest=12)
    run(job_of(root), cluster="in-process", progress=False)
    return root, catalog


def job_of(root, **sections):
    values = {"job": "care", "model": "lightcurve-features", "layer": "features", **sections}
    values |= {"input": {"catalog": str(root / "tiny")}, "output": {"store": str(root / "layers")}}
    return parse_job(values, where="test")


@pytest.fixture
def place(made, tmp_path):
    """The layer of its own for a test that damages it; the catalog is where it was."""
    root, _ = made
    shutil.copytree(root / "layers", tmp_path / "layers", symlinks=True)
    (tmp_path / "tiny").symlink_to(root / "tiny")
    return tmp_path


@pytest.fixture
def job(made, place):
    values = job_of(made[0]).model_dump(by_alias=True)
    values["output"] = {"store": str(place / "layers")}
    return parse_job(values, where="test")


def files(place, pattern="features/jobs/*/dataset/**/*.parquet"):
    return sorted((place / "layers").glob(pattern))


def flip(path: Path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


def test_a_layer_agrees_with_its_catalog_and_replays_bit_for_bit(made):
    root, catalog = made
    checked = verify_layer("features", root / "layers", job=job_of(root), partitions=2, seed=3)
    assert checked.ok
    assert checked.verification.rows == 60
    assert len(checked.replayed.keys) == 2
    assert verify_layer("features", root / "layers", catalog=catalog).ok


@pytest.mark.parametrize(
    "name", ["hats.properties", "properties", "partition_info.csv", "dataset/_common_metadata"]
)
def test_the_files_that_make_it_a_catalog_are_checked_and_mended(place, job, name):
    (path,) = files(place, f"features/jobs/*/{name}")
    whole = path.read_bytes()
    flip(path)
    found = verify_layer("features", place / "layers").verification
    assert [d.file.rpartition("jobs/")[2].partition("/")[2] for d in found.differences] == [name]
    assert repair_layer(job).after.ok
    assert path.read_bytes() == whole


def test_a_base_that_lost_or_changed_a_partition_is_said(made, place, tmp_path):
    _, catalog = made
    other = tmp_path / "other"
    shutil.copytree(catalog, other)
    path = sorted(other.rglob("Npix=*.parquet"))[0]
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), path)
    found = verify_layer("features", place / "layers", catalog=other).verification
    assert len(found.differences) == 1
    assert "is not the one that the layer was computed from" in found.differences[0].message


def test_damage_is_repaired_to_the_same_bytes(place, job):
    before = {path: path.read_bytes() for path in files(place)}
    victims = list(before)[:2]
    flip(victims[0])
    victims[1].unlink()
    done = repair_layer(job)
    assert done.after.ok
    assert len(done.partitions) == 2
    assert {path: path.read_bytes() for path in files(place)} == before
    view = open_catalog(place / "tiny").with_layers("features", store=place / "layers")
    assert view.query("select count(*) as n from catalog")["n"][0].as_py() == 60


def test_a_lost_collection_is_noticed_and_written_again(place, job):
    repair_layer(job)  # the copy lies elsewhere, and its collection says where
    (path,) = files(place, "features/versions/v00000001/collection.properties")
    path.write_text("obs_collection=other\n")
    assert not verify_layer("features", place / "layers", job=job).ok
    done = repair_layer(job)
    assert len(done.restored) == 1
    assert verify_layer("features", place / "layers", job=job).ok


def test_another_job_repairs_and_replays_nothing(place, job):
    other = parse_job({**job.model_dump(by_alias=True), "on_bad_row": "fail"}, where="test")
    flip(files(place)[0])
    with pytest.raises(ConflictError, match="was made by job"):
        repair_layer(other)
    with pytest.raises(ConflictError, match="was made by job"):
        verify_layer("features", place / "layers", job=other)
    with pytest.raises(SpecError, match="name the job file"):
        verify_layer("features", place / "layers", partitions=1)


@pytest.fixture
def two_versions(place, job):
    newer = parse_job({**job.model_dump(by_alias=True), "on_bad_row": "fail"}, where="test")
    run(newer, cluster="in-process", progress=False)
    return place


def test_rows_of_another_job_never_mix_into_a_version(two_versions, job):
    """Another setting is another job, another directory and another version; the first stays whole."""
    jobs = {path.name for path in files(two_versions, "features/jobs/*")}
    assert len(jobs) == 2
    assert job.on_bad_row == "quarantine"
    assert plan_job(job).job_id in jobs
    for version in (1, 2):
        found = verify_layer("features", two_versions / "layers", version=version).verification
        assert (found.ok, found.rows) == (True, 60)


def test_history_still_tells_what_made_an_expired_version(two_versions):
    store = two_versions / "layers"
    before = layer_history("features", store)
    expiry = expire_layer("features", store, keep=1, dry_run=False)
    assert (expiry.versions, expiry.kept) == ((1,), (2,))
    after = layer_history("features", store)
    assert [row["state"] for row in after] == ["expired", "kept"]
    assert [{**row, "state": ""} for row in after] == [{**row, "state": ""} for row in before]
    assert not files(two_versions, "features/versions/v00000001")


# The command line: one line a difference, exit codes, nothing removed without --yes.


def test_verify_prints_one_line_per_difference_and_fails(place, capsys):
    store = str(place / "layers")
    assert main(["layer", "verify", "features", "--store", store]) == 0
    assert "nothing differs" in capsys.readouterr().out
    flip(files(place)[0])
    files(place)[1].unlink()
    assert main(["layer", "verify", "features", "--store", store]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "Npix=" in lines[0]
    assert "published as sha256:" in lines[0]
    assert lines[1].endswith("is missing")
    assert main(["layer", "verify", "features", "--store", store, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_expire_and_collect_do_nothing_without_yes(two_versions, capsys):
    store = str(two_versions / "layers")
    before = files(two_versions, "**/*")
    assert main(["layer", "expire", "features", "--store", store, "--keep", "1"]) == 0
    assert main(["layer", "collect", "features", "--store", store, "--grace-hours", "0"]) == 0
    assert "add --yes" in capsys.readouterr().out
    assert files(two_versions, "**/*") == before
    assert main(["layer", "expire", "features", "--store", store, "--keep", "1", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["versions_expired"] == [1]
    assert main(["layer", "verify", "features", "--store", store, "--version", "1"]) == 2


def test_only_unfinished_jobs_are_aborted(place, job, capsys):
    store = str(place / "layers")
    assert main(["layer", "abort", plan_job(job).job_id, "--store", store]) == 1
    assert "is sealed" in capsys.readouterr().err
    assert main(["layer", "abort", "0" * 20, "--store", store]) == 2
    with pytest.raises(NotFoundError):
        abort_job("0" * 20, store)
