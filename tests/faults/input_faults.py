"""Faults of inputs and of those who connect: rows C18, C20, C21 and C22 of the matrix."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.cluster import ClusterSpec
from skyloom.errors import SkyloomError
from skyloom.jobs import run
from skyloom.jobs.execute import run_planned
from skyloom.jobs.plan import plan_job
from skyloom.jobs.spec import JobSpec, parse_job
from tests.faults.checking import Expected, check_layer, reader_of
from tests.faults.children import environment
from tests.faults.tally import Tally
from tests.tiny_catalogs import write_tiny_catalog

__all__ = ["access_probes", "bad_inputs", "changed_input", "determinism"]

LAYER = "features"


def features_job(catalog: Path, store: Path, **sections: Any) -> JobSpec:
    values = {"job": "faults", "model": "lightcurve-features", "layer": LAYER}
    values |= {"input": {"catalog": str(catalog)}, "output": {"store": str(store)}, **sections}
    return parse_job(values, where="the fault matrix")


def rows_of(catalog: Path, found: Any) -> Expected:
    """Return the ids of a catalog, partition by partition as a layer lists them."""
    keys = [entry["key"] for entry in pq.read_table(pa.BufferReader(found)).to_pylist()]
    tables = [pq.read_table(catalog / "dataset" / f"{key}.parquet", partitioning=None) for key in keys]
    return Expected([i for table in tables for i in table["object_id"].to_pylist()], id_column="object_id")


def changed_input(folder: Path) -> Tally:
    """C18: a partition of the catalog is rewritten between planning and running, at several places."""
    tally = Tally()
    for i in (0, 5, 9):
        catalog, store = write_tiny_catalog(folder / f"catalog-{i}"), folder / f"layers-{i}"
        planned = plan_job(features_job(catalog, store))
        path = sorted(catalog.rglob("Npix=*.parquet"))[i]
        table = pq.read_table(path, partitioning=None)
        path.unlink()
        pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), path)
        try:
            run_planned(planned, cluster=ClusterSpec(kind="in-process"), progress=False)
            refused = False
        except SkyloomError as error:
            refused = path.name in error.message and "changed since" in error.message
        again = run(features_job(catalog, store), cluster="in-process", progress=False)
        tally.count(refused and again.job_id != planned.job_id)
        listing = reader_of(store)(f"{LAYER}/jobs/{again.job_id}/manifest.parquet")
        tally.add(check_layer(reader_of(store), rows_of(catalog, listing), layer=LAYER, root=store))
    tally.note = "refused with the path; run again it is another job"
    return tally


def determinism(folder: Path) -> Tally:
    """C22: the same rows cut into other partitions, batches and numbers of threads give the same bits."""
    from threadpoolctl import threadpool_limits

    tally, digests = Tally(), set()
    cases = list(product((240, 40, 17), (7, 8192), (1, 2)))
    for n, (threshold, batch_rows, threads) in enumerate(cases):
        catalog = folder / f"catalog-{threshold}"
        if not catalog.exists():
            write_tiny_catalog(catalog, threshold=threshold)
        store = folder / f"layers-{n}"
        with threadpool_limits(threads):
            job = features_job(catalog, store, run={"batch_rows": batch_rows})
            report = run(job, cluster="in-process", progress=False)
        files = [
            Path(report.layer_path, "dataset", f"{p.key}.parquet") for p in plan_job(job).catalog.partitions()
        ]
        table = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files]).sort_by("object_id")
        digests.add(_digest(table))
        tally.injected += 1
        listing = reader_of(store)(f"{LAYER}/jobs/{report.job_id}/manifest.parquet")
        tally.add(check_layer(reader_of(store), rows_of(catalog, listing), layer=LAYER, root=store))
    tally.survived = tally.injected if len(digests) == 1 else 0
    tally.note = f"lightcurve-features; {len(digests)} digest of all values: {min(digests)[:12]}"
    return tally


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    batch = table.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_table(batch)
    return hashlib.sha256(sink.getvalue()).hexdigest()


BAD_INPUTS = (
    "tests/catalog/test_check.py",
    "tests/catalog/test_ingest.py",
    "tests/catalog/test_partition.py",
    "tests/catalog/test_readers.py",
    "tests/models/test_weights.py",
    "tests/timeseries/test_cleaning.py",
)


def bad_inputs(folder: Path) -> Tally:
    """C20: every broken catalog, table, light curve and weights file that the tests know."""
    return _pytest(folder, BAD_INPUTS)


def access_probes(folder: Path) -> Tally:
    """C21: whoever has no certificate of the cluster, or one that has expired, gets nowhere."""
    return _pytest(folder, ("tests/cluster/test_security.py", "tests/cluster/test_certificates.py"))


def _pytest(folder: Path, files: tuple[str, ...]) -> Tally:
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, f"--junitxml={report}", f"--basetemp={folder / 'tests'}", *files],
        cwd=Path(__file__).parents[2], env=environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip
    tally = Tally()
    if not report.exists():
        return Tally(1, note=done.stdout[-300:] + done.stderr[-300:])
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = [c.get("name", "") for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    tally.injected = len(cases) - skipped
    tally.survived = tally.injected - len(failed)
    tally.note = f"cases of {', '.join(Path(file).stem for file in files)}" + "".join(f"; {f}" for f in failed[:5])
    return tally
