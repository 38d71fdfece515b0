"""A make of cutouts, or a job that reads them, is killed by SIGKILL: the same command finishes, byte for byte."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog
from skyloom.catalog.ingest import import_catalog
from skyloom.catalog.spec import ImportSpec
from skyloom.jobs import open_layer
from skyloom.jobs.make_tensors import check_tensors, make_cutouts
from skyloom.tensors import open_tensors
from tests.faults.children import environment
from tests.sky_images import tan, write_image

pytestmark = pytest.mark.slow
SIZE = 32


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A catalog of 120 galaxies in several partitions, their image, and the store of an uninterrupted make."""
    root = tmp_path_factory.mktemp("sky")
    rng = np.random.default_rng(7)
    wcs = tan(400, scale=6.0)
    x, y = rng.uniform(10, 390, 120), rng.uniform(10, 390, 120)
    yy, xx = np.mgrid[:400, :400]
    data = rng.normal(0, 1, (400, 400)).astype(np.float32)
    for a, b in zip(x, y, strict=True):
        data += 200 * np.exp(-np.hypot(xx - a, yy - b) / 3).astype(np.float32)
    write_image(root / "r.fits", data, wcs, SEEING=(1.0, "[arcsec]"))
    ra, dec = wcs.pixel_to_world_values(x, y)
    pq.write_table(pa.table({"object_id": np.arange(120), "ra": ra, "dec": dec}), root / "rows.parquet")
    objects = {"files": [str(root / "rows.parquet")], "id": "object_id", "ra": "ra", "dec": "dec"}
    said = {
        "name": "rows",
        "output": str(root / "rows"),
        "objects": objects,
        "partitions": {"rows": 20, "highest_order": 11},
    }
    catalog = import_catalog(ImportSpec.model_validate(said))
    made = make_cutouts(catalog, [str(root / "r.fits")], root / "calm", size=SIZE)
    assert made.partitions > 5
    return root, catalog


def skyloom(*words: str, failpoint: str = "") -> subprocess.Popen[bytes]:
    settings = {**environment(), "SKYLOOM_FAILPOINT": failpoint}
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-m", "skyloom", *words], env=settings, stdout=quiet, stderr=quiet)


def make_words(root: Path, store: Path) -> list[str]:
    image = str(root / "r.fits")
    return ["cutouts", "make", str(root / "rows"), "--images", image, "--size", str(SIZE), "--output", str(store)]


def contents(root: Path) -> dict[str, bytes]:
    """All files that readers may see."""
    files = (path for path in root.rglob("*") if path.is_file())
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if not name.startswith(".tmp-")}


def assert_whole(store: Path, catalog) -> int:
    """Each partition that can be seen is whole; return how many there are."""
    opened = open_tensors(store)
    seen = opened.statements(partition.key for partition in catalog.partitions())
    lacking = {partition.key for partition in catalog.partitions()} - set(seen)
    findings, _ = check_tensors(opened, catalog)
    assert {finding.key for finding in findings} == lacking
    assert {finding.kind for finding in findings} <= {"not-finished"}
    return len(seen)


@pytest.mark.parametrize(
    ("failpoint", "left"),
    [("after-shard:3", 2), ("before-statement:2", 1), ("before-move:3", 2), ("after-move:4", 4)],
)
def test_a_make_that_is_killed_leaves_nothing_torn_and_the_same_command_finishes(sky, tmp_path, failpoint, left):
    root, catalog = sky
    store = tmp_path / "store"
    assert skyloom(*make_words(root, store), failpoint=failpoint).wait() == -signal.SIGKILL
    assert assert_whole(store, catalog) == left
    assert skyloom(*make_words(root, store)).wait() == 0
    assert contents(store) == contents(root / "calm")
    assert check_tensors(open_tensors(store), catalog) == ([], 120)


def test_a_make_that_is_killed_at_any_moment_and_again_is_finished_by_the_same_command(sky, tmp_path):
    root, catalog = sky
    store = tmp_path / "store"
    seen, killed = 0, 0
    while seen + 4 < len(catalog.partitions()):
        child = skyloom(*make_words(root, store))
        # Killed as soon as four more partitions are there than before, in whatever the process then does.
        while child.poll() is None and sum(1 for _ in store.glob("Norder=*/*/*/zarr.json")) < seen + 4:
            time.sleep(0.002)
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        now = assert_whole(store, catalog)
        assert now > seen
        seen = now
    assert killed > 0
    assert skyloom(*make_words(root, store)).wait() == 0
    assert contents(store) == contents(root / "calm")


@pytest.mark.parametrize("failpoint", ["before-link:2", "after-link:3"])
def test_a_job_that_reads_cutouts_and_is_killed_gives_the_layer_of_one_that_was_not(sky, tmp_path, failpoint):
    root, _ = sky
    job = tmp_path / "job.toml"
    job.write_text(
        f'job = "shapes"\nmodel = "galaxy-morphology"\nlayer = "shapes"\n[model_config]\nsize = {SIZE}\n'
        f'[input]\ncatalog = "{root}/rows"\n[input.tensors]\ncutout = "{root}/calm"\n[output]\nstore = "unused"\n'
    )
    words = ["run", str(job), "--cluster", "in-process", "--json", "--store"]
    assert skyloom(*words, str(tmp_path / "calm")).wait() == 0
    assert skyloom(*words, str(tmp_path / "killed"), failpoint=failpoint).wait() == -signal.SIGKILL
    assert not list((tmp_path / "killed").rglob("shapes.properties"))
    assert skyloom(*words, str(tmp_path / "killed")).wait() == 0
    calm, killed = (open_layer("shapes", tmp_path / name) for name in ("calm", "killed"))
    assert killed.published.manifest == calm.published.manifest
    assert [Path(file).read_bytes() for file in killed.files] == [Path(file).read_bytes() for file in calm.files]
    table = pa.concat_tables([pq.read_table(file, partitioning=None) for file in killed.files])
    assert table.num_rows == 120
    assert table["morph_gini"].null_count < 60
    assert len(open_catalog(root / "rows").partitions()) == len(killed.files)
