"""A make of spectra is killed by SIGKILL: the same command finishes, byte for byte."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog.ingest import import_catalog
from skyloom.catalog.spec import ImportSpec
from skyloom.jobs.stores import check_tensors
from skyloom.tensors import open_tensors
from spectra_files import PIXELS, sample
from tests.faults.children import environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A catalog of 60 rows in several partitions, with arrays of their spectra."""
    root = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(2)
    rows = {"object_id": np.arange(60), "ra": rng.uniform(0, 360, 60), "dec": rng.uniform(-60, 60, 60)}
    pq.write_table(pa.table(rows), root / "rows.parquet")
    objects = {"files": [str(root / "rows.parquet")], "id": "object_id", "ra": "ra", "dec": "dec"}
    said = {"name": "rows", "output": str(root / "rows"), "objects": objects, "partitions": {"rows": 12}}
    catalog = import_catalog(ImportSpec.model_validate(said))
    assert len(catalog.partitions()) > 4
    flux, ivar = (np.stack(values) for values in zip(*map(sample, range(60)), strict=True))
    np.save(root / "flux.npy", flux)
    np.save(root / "ivar.npy", ivar)
    assert skyloom(root, "calm") == 0
    return root, catalog


def skyloom(root: Path, store: str, failpoint: str = "") -> int:
    """Import the spectra in a process of its own, and return its exit code."""
    words = ["spectra", "import", str(root / "rows"), "--from", str(root / "flux.npy"), "--unit", "", "--ivar"]
    grid = ["--grid", "3.58", "1e-4", str(PIXELS), "--log10", "--output", str(root / store)]
    settings = {**environment(), "SKYLOOM_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "skyloom", *words, str(root / "ivar.npy"), *grid]
    return subprocess.run(command, env=settings, stdout=subprocess.DEVNULL, check=False).returncode


def contents(root: Path) -> dict[str, bytes]:
    """All files that readers may see."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".tmp-")}


@pytest.mark.parametrize("failpoint", ["before-statement:2", "before-move:3", "after-move:2"])
def test_an_import_that_is_killed_leaves_nothing_torn_and_the_same_command_finishes(field, failpoint):
    root, catalog = field
    store = failpoint.replace(":", "-")
    assert skyloom(root, store, failpoint) == -signal.SIGKILL
    findings, _ = check_tensors(open_tensors(root / store), catalog)
    assert {finding.kind for finding in findings} == {"not-finished"}
    assert skyloom(root, store) == 0
    assert contents(root / store) == contents(root / "calm")
