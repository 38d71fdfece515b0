"""What joining by position costs, against the base alone, a join by id, and one pre-joined dataset.

Times only with ``--benchmark-enable``. The ratios of one run, interleaved:
``python tests/benchmarks/test_query.py``.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.query import Limits, TableFiles, query

N_FILES = 48
LIMITS = Limits(memory_bytes=4_000_000_000, threads=2)
QUESTIONS = {
    "one layer column": "select avg(s0) a from {}",
    "base and layers": "select avg(f0 + s0) a, sum(t0) b, max(f1) c from {}",
    "filter and group": "select floor(f0) g, count(*) n, avg(s1 + t1) m from {} where s0 > 0 group by g",
    "every column": "select min(columns(*)) from {}",
    "base columns only": "select avg(f0) a from {}",
}


def make_sky(root: Path, rows: int) -> dict[str, TableFiles]:
    """Write base, two layers, and all of their columns in one dataset; seeded."""
    rng = np.random.default_rng(0)
    keys = {
        "object_id": rng.permutation(rows).astype("u8") + np.uint64(2**60),
        "ra": rng.uniform(0, 360, rows),
        "dec": rng.uniform(-90, 90, rows),
        "_healpix_29": np.sort(rng.integers(0, 12 * 4**29, rows)),
    }
    own = {
        "base": {f"f{i}": rng.normal(size=rows).astype("f4") for i in range(12)},
        "s": {f"s{i}": rng.normal(size=rows).astype("f4") for i in range(5)},
        "t": {f"t{i}": rng.normal(size=rows).astype("f4") for i in range(5)},
    }
    own["joined"] = own["base"] | own["s"] | own["t"]
    cuts = np.searchsorted(keys["_healpix_29"], np.arange(1, N_FILES) * (12 * 4**29 // N_FILES)).tolist()
    bounds = [0, *cuts, rows]
    return {name: _write(pa.table(keys | columns), root / name, bounds) for name, columns in own.items()}


def _write(table: pa.Table, folder: Path, bounds: list[int]) -> TableFiles:
    folder.mkdir(parents=True)
    files = []
    for i, (a, b) in enumerate(pairwise(bounds)):
        files.append(str(folder / f"Npix={i}.parquet"))
        pq.write_table(table.slice(a, b - a), files[-1], compression="zstd")
    return TableFiles(tuple(files), tuple(np.diff(bounds).tolist()), table.schema)


def ways(sky: dict[str, TableFiles]) -> dict[str, tuple[str, dict]]:
    """Return, by name, the table to ask and the arguments of `query`."""
    layers = {"s": sky["s"], "t": sky["t"]}
    by_id = (
        "(select * from (select object_id, f0, f1 from catalog) join (select object_id, s0, s1 from s) "
        "using (object_id) join (select object_id, t0, t1 from t) using (object_id))"
    )
    return {
        "pre-joined": ("catalog", {"base": sky["joined"]}),
        "by position, checked": ("catalog", {"base": sky["base"], "layers": layers}),
        "by position, aligned=True": ("catalog", {"base": sky["base"], "layers": layers, "aligned": True}),
        "by id": (by_id, {"base": sky["base"], "layers": layers}),
    }


def ask(question: str, way: tuple[str, dict]) -> pa.Table:
    table, arguments = way
    return query(question.format(table), id_column="object_id", limits=LIMITS, **arguments)


@pytest.fixture(scope="module")
def small_sky(tmp_path_factory):
    return make_sky(tmp_path_factory.mktemp("bench") / "sky", 100_000)


@pytest.mark.parametrize("way", ["pre-joined", "by position, checked", "by position, aligned=True", "by id"])
def test_an_aggregate_over_base_and_layers(benchmark, small_sky, way):
    out = benchmark(ask, QUESTIONS["base and layers"], ways(small_sky)[way])
    expected = ask(QUESTIONS["base and layers"], ways(small_sky)["pre-joined"])
    for name in ("a", "b", "c"):
        np.testing.assert_allclose(out[name].to_numpy(), expected[name].to_numpy(), rtol=1e-6)


def main(rows: int, repeats: int = 5) -> None:
    """Print CPU and wall time: least of interleaved repeats, the start of the process subtracted."""
    with tempfile.TemporaryDirectory() as folder:
        sky = make_sky(Path(folder) / "sky", rows)
        every = ways(sky)
        print(f"{rows:,} rows, {N_FILES} files, {LIMITS.threads} threads; CPU ms, wall ms (ratios to pre-joined)")
        for label, question in QUESTIONS.items():
            asked = {"start": ("select 1 from {} limit 0", every["pre-joined"])}
            asked |= {
                name: (question, way) for name, way in every.items() if (label, name) != ("every column", "by id")
            }
            runs: dict[str, list[np.ndarray]] = {name: [] for name in asked}
            for _ in range(repeats):
                for name, what in asked.items():
                    runs[name].append(_cpu_and_wall_ms(*what))
            best = {name: np.min(times, axis=0) for name, times in runs.items()}
            net = {name: best[name] - best["start"] for name in best if name != "start"}
            print(f"{label} (start {best['start'].round()}):")
            for name, times in net.items():
                print(f"  {name:<26} {times.round()} {(times / net['pre-joined']).round(2)}")


def _cpu_and_wall_ms(question: str, way: tuple[str, dict]) -> np.ndarray:
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ask(question, way)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return np.array([cpu, wall]) * 1e3


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000)
