"""Images through a network: ``python -m tests.benchmarks.peers.images --peers PYTHON [--rows 6000]``.

Each contestant is a process of its own that does the whole job, start-up included, on the same store
with the same weights, and takes turns with the others. Rows are compared with the hand-written loop's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds

from tests.benchmarks.peers.data import make
from tests.benchmarks.peers.meter import Used, metered

CONTESTANTS = {
    "network fed from memory": ("ours", "in_memory", ()),
    "hand-written, with threads": ("ours", "by_hand", ()),
    "hand-written, plain": ("ours", "by_hand", ("plain",)),
    "skyloom": ("ours", "by_skyloom", ()),
    "dask.dataframe": ("ours", "by_dask", ()),
    "Ray Data": ("peers", "by_ray", ()),
    "Daft": ("peers", "by_daft", ()),
    "Hyrax": ("peers", "by_hyrax", ()),
}
"""Name -> interpreter, module, arguments."""
TIMEOUT_S = 1800.0
CORES = len(os.sched_getaffinity(0))
LARGE = str(4 << 30)
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Everybody gets the allocator that suits networks; what a contestant sets itself wins.
    "MALLOC_TRIM_THRESHOLD_": LARGE,
    "MALLOC_MMAP_THRESHOLD_": LARGE,
}
"""Of every contestant; one that computes in a single process has a thread per core."""


def main() -> None:
    """Print rows per second, rows per CPU-second, memory and ratios of everybody."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--peers", help="python of an environment with those of others; without it they are left out"
    )
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="names of contestants, separated by semicolons")
    options = parser.parse_args()
    names = [n for n in CONTESTANTS if not options.only or n in options.only.split(";")]
    if not options.peers:
        names = [name for name in names if CONTESTANTS[name][0] == "ours"]
    taken: dict[str, list[tuple[Used, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as folder:
        make(Path(folder), rows=options.rows, threshold=max(300, options.rows // 12))
        for number in range(options.rounds):
            for name in names[:: 1 if number % 2 else -1]:
                out = Path(folder, "out", f"{name}-{number}".replace(" ", "-"))
                taken[name].append(_once(name, Path(folder, "store"), out, options.peers))
                if number == 0 and name != "network fed from memory":
                    _compare(name, out, Path(folder, "store"))
                shutil.rmtree(out)
    _report(taken, options.rows)


def _once(name: str, store: Path, out: Path, peers: str | None) -> tuple[Used, float]:
    whose, module, more = CONTESTANTS[name]
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root / "platform"), str(root)])
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
    if name == "Hyrax":
        environment["OMP_NUM_THREADS"] = str(CORES)
    python = sys.executable if whose == "ours" else str(peers)
    command = [python, "-m", f"tests.benchmarks.peers.{module}", str(store), str(out), *more]
    used = metered(command, environment, timeout_s=TIMEOUT_S)
    _, rows, ready, end = next(line for line in used.output.splitlines() if line.startswith("DONE ")).split()
    sys.stdout.write(f"  {name}: {used.wall_s:.1f} s, {used.cpu_s:.1f} CPU-s\n")
    sys.stdout.flush()
    return used, int(rows) / (float(end) - float(ready))


def _compare(name: str, out: Path, store: Path) -> None:
    """Hold what was written against the network on the store, row by row."""
    from tests.benchmarks.peers.job import Predictor, keys_of, open_partition

    table = ds.dataset([str(p) for p in out.rglob("*.parquet") if _is_data(p)]).to_table(["object_id", "c0"])
    found = dict(zip(table["object_id"].to_pylist(), table["c0"].to_pylist(), strict=True))
    key = keys_of(store)[0]
    ids, values = open_partition(store, key)
    wanted = Predictor()(np.asarray(values[:64]))[:, 0]
    np.testing.assert_allclose([found[i] for i in ids[:64].tolist()], wanted, rtol=1e-4, err_msg=name)


def _is_data(path: Path) -> bool:
    return path.name not in {"manifest.parquet", "data_thumbnail.parquet"} and "versions" not in path.parts


def _report(taken: dict[str, list[tuple[Used, float]]], rows: int) -> None:
    base = "network fed from memory"
    header = ("", "rows/s, job", "rows/s, imports left out", "rows/CPU-s, job", "peak MB", "of memory-fed")
    lines = [header]
    steady = {name: [rate for _, rate in runs] for name, runs in taken.items()}
    for name, runs in taken.items():
        ratio = [a / b for a, b in zip(steady[name], steady.get(base, []), strict=False)]
        lines.append(
            (
                name,
                _spread([rows / used.wall_s for used, _ in runs]),
                _spread(steady[name]),
                _spread([rows / used.cpu_s for used, _ in runs]),
                f"{max(used.peak_bytes for used, _ in runs) / 1e6:.0f}",
                _spread(ratio, 2) if ratio else "",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + "\n")


def _spread(values: list[float], digits: int = 0) -> str:
    middle, least, most = (f"{f(values):.{digits}f}" for f in (statistics.median, min, max))
    return f"{middle} ({least}-{most})"


if __name__ == "__main__":
    main()
