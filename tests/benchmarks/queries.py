"""Queries over five million rows and two layers: what pruning saves, what joining by position costs.

``python -m tests.benchmarks.queries [--rows 5000000] [--partitions 448] [--rounds 5] [--folder DIR]``

The survey of `query_sky` is written first: a catalog, two layers that jobs made, and one Parquet
dataset with all of their columns. Every contestant opens what it asks, each time, and every
answer is compared with the others'.

``pruned``, ``not pruned``
    A cone of one degree with `in_cone` in the WHERE, and with it in an OR, where it chooses nothing.
``layers``
    An aggregate of all rows over columns of the catalog and of both layers.
``pre-joined, skyloom``
    The same over the pre-joined dataset, in the same kind of process.
``pre-joined, DuckDB``
    The same, by a Python process that imports DuckDB and does nothing else.
``pre-joined, DuckDB, running``
    The same, in this process, where DuckDB is imported and warm.
    Two aggregates: of five columns, and of all columns that are no key.
``start``
    ``SELECT 1``: what each query of skyloom pays for a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from skyloom.query import Limits
from tests.benchmarks.interleaved import Taken, ratios, say, take_turns
from tests.benchmarks.query_sky import BANDS, FIRST, ORDER, Survey, make_survey

__all__ = ["AGGREGATE", "cone_sql", "contest"]

THREADS = 2
LIMITS = Limits(memory_bytes=4_000_000_000, threads=THREADS)
AGGREGATE = (
    "select count(*) as n, avg(mag_g) as a, avg(snr_r) as b, avg(color_mag_u_mag_g) as c, "
    "stddev(color_mag_z_mag_y) as d from {} where color_mag_g_mag_r between 0 and 1"
)
EVERY = "select {} from {{}}".format(
    ", ".join(
        f"avg({column})"
        for column in (
            *(f"{kind}_{band}" for kind in ("mag", "snr") for band in BANDS),
            *(f"color_mag_{a}_mag_{b}{error}" for a, b in ("ug", "gr", "iz", "zy") for error in ("", "_err")),
        )
    )
)
BARE = (
    "import duckdb, json, sys\n"
    "con = duckdb.connect(config={'threads': int(sys.argv[2])})\n"
    "con.execute('SET enable_progress_bar = false')\n"
    "print(json.dumps(con.sql(sys.stdin.read()).fetchall()[0]))\n"
)


def cone_sql(partitions: int, *, prunes: bool) -> str:
    """Return a query for all columns within one degree of the middle of the survey's middle pixel."""
    from cdshealpix.nested import healpix_to_lonlat

    lon, lat = healpix_to_lonlat(np.array([FIRST + partitions // 2], np.uint64), ORDER)
    ra, dec = (float(value.to_value("deg")[0]) for value in (lon, lat))
    condition = f"in_cone(ra, dec, {ra!r}, {dec!r}, 1.0)"
    return f"select * from catalog where {condition}{'' if prunes else ' or false'} order by object_id"


def contest(survey: Survey, rounds: int, asked: Mapping[str, Callable[[], object]]) -> dict[str, list[Taken]]:
    """Let the contestants take turns, and refuse answers that differ."""
    answers: dict[str, list[object]] = {name: [] for name in asked}

    def once(name: str) -> Callable[[int], None]:
        return lambda _: answers[name].append(asked[name]())

    taken = take_turns({name: once(name) for name in asked}, rounds)
    every = [
        np.array(answer, float).ravel() for name, found in answers.items() if name != "start" for answer in found
    ]
    for answer in every:
        np.testing.assert_allclose(answer, every[0], rtol=1e-9)
    return taken


def by_bare_duckdb(sql: str) -> list[object]:
    """Ask a Python process that has nothing but DuckDB."""
    command = [sys.executable, "-c", BARE, "-", str(THREADS)]
    out = subprocess.run(command, input=sql, capture_output=True, text=True, check=True)
    return list(json.loads(out.stdout))


def report(taken: Mapping[str, list[Taken]], pairs: list[tuple[str, str]]) -> None:
    """Print what each took, and the ratios within each round."""
    for name, times in taken.items():
        say(f"{name}, CPU", [t.cpu_s for t in times], unit=" s")
        say(f"{name}, wall", [t.wall_s for t in times], unit=" s")
    for above, below in pairs:
        for what in ("cpu", "wall"):
            say(f"{above} / {below}, {what}", ratios(taken[above], taken[below], f"{what}_s"), digits=2)


def run(folder: Path, *, rows: int, partitions: int, rounds: int) -> None:
    """Make the survey in `folder`, ask, and print."""
    survey = make_survey(folder, rows=rows, partitions=partitions)
    files = survey.joined_files()
    listed = ", ".join(f"'{file}'" for file in files)
    warm = duckdb.connect(config={"threads": THREADS})
    pruned, unpruned = (cone_sql(partitions, prunes=prunes) for prunes in (True, False))
    explained = survey.view().explain(pruned, limits=LIMITS)

    def rows_of(view: Callable[[], object], sql: str) -> Callable[[], object]:
        return lambda: _numbers(view().query(sql, limits=LIMITS))  # type: ignore[attr-defined]

    sys.stdout.write(
        f"{rows:,} rows, {len(files)} partitions, two layers; {THREADS} threads; {rounds} rounds\n"
        f"cone: {explained.partitions} of {explained.partitions_of} partitions\n"
    )
    start = rows_of(survey.view, "select 1 as one")
    asked = {"pruned": rows_of(survey.view, pruned), "not pruned": rows_of(survey.view, unpruned), "start": start}
    report(contest(survey, rounds, asked), [("not pruned", "pruned")])
    for label, question in {"five columns": AGGREGATE, "20 columns": EVERY}.items():
        sys.stdout.write(f"aggregate of all rows, {label}\n")
        plain = question.format(f"read_parquet([{listed}], hive_partitioning=false)")
        asked = {
            "layers": rows_of(survey.view, question.format("catalog")),
            "pre-joined, skyloom": rows_of(survey.joined, question.format("catalog")),
            "pre-joined, DuckDB": partial(by_bare_duckdb, plain),
            "pre-joined, DuckDB, running": partial(_by_running, warm, plain),
        }
        taken = contest(survey, rounds, asked)
        report(taken, [("layers", below) for below in asked if below != "layers"])


def _numbers(result: pa.Table) -> list[object]:
    """Return the first row and the sums of the columns: enough to compare answers by."""
    columns = [column.to_numpy().astype(float) for column in result.columns]
    return [len(result), *(c[0] for c in columns), *(c.sum() for c in columns)] if len(result) > 1 else columns


def _by_running(con: duckdb.DuckDBPyConnection, sql: str) -> list[object]:
    return list(con.sql(sql).fetchall()[0])


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--partitions", type=int, default=448)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the survey there, or take the one that is there")
    options = parser.parse_args()
    sizes = {"rows": options.rows, "partitions": options.partitions, "rounds": options.rounds}
    if options.folder is not None:
        run(options.folder, **sizes)
        return
    with tempfile.TemporaryDirectory(prefix="skyloom-bench-") as folder:
        run(Path(folder), **sizes)


if __name__ == "__main__":
    main()
