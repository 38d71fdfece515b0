"""A query that takes too much time, memory or room ends at its limits, soon, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from skyloom.errors import ErrorKind, SpecError
from skyloom.query import Limits, process, query_source, streamed, write_result, write_stream
from skyloom.query.source import fixed

LIMIT = ErrorKind.QUERY_LIMIT
SMALL = Limits(memory_bytes=300_000_000, wall_s=2.0, max_rows=10_000, threads=2)

BOMBS = {
    "long string": "select length(repeat('x', 2000000000))",
    "long string of rows": "select repeat('x', 100000) from range(100000)",
    "cross join": "select count(*) from range(1000000) a, range(1000000) b where xor(a.range, b.range) % 7 = 1",
    "cross join of the catalog": "select sum(a.score) from " + ", ".join(f"catalog {x}" for x in "abcdefgh"),
    "recursive": "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
    "recursive growth": "with recursive r(n) as (select 'x' union all select n || n from r) from r",
    "huge range": "select count(distinct range) from range(1000000000000)",
    "huge result": "select * from range(1000000000000)",
    "huge sort": "select * from range(10000000000) order by random() limit 1",
    "huge list": "select list(range) from range(10000000000)",
    "huge array": "select len(range(3000000000))",
    "huge group": "select range % 1000000007, count(*) from range(10000000000) group by 1",
    "sleep": "select sleep_ms(60000)",
    "wide": "select " + ", ".join(f"repeat('x', 10000000) || {i}" for i in range(200)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_at_a_limit(sky, bomb):
    before = sky.digest()
    start = time.monotonic()
    with pytest.raises(SpecError) as caught:
        sky.query(BOMBS[bomb], limits=SMALL)
    assert time.monotonic() - start < SMALL.wall_s + 2.0
    assert sky.digest() == before
    error = caught.value
    # DuckDB refuses some of them by itself.
    assert error.kind is LIMIT or bomb == "huge array", error


def test_a_query_out_of_time_says_how_to_go_on(sky):
    with pytest.raises(SpecError, match=r"stopped after wall_s=1 s: restrict it with WHERE"):
        sky.query("select sleep_ms(30000)", limits=Limits(wall_s=1.0))


def test_memory_stays_within_the_limit(sky):
    # In a process of its own: the largest child is known only over all that a process ever had.
    code = f"""
import resource
import pyarrow.parquet as pq
from skyloom.errors import SpecError
from skyloom.query import Limits, TableFiles, query
file = {sky.base.files[0]!r}
base = TableFiles((file,), ({sky.base.rows[0]},), pq.read_schema(file))
try:
    bomb = "select repeat('x', 100000) from range(100000) order by 1"
    query(bomb, base=base, id_column="object_id", limits={SMALL})
except SpecError as error:
    print(error.kind, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True, check=True)
    kind, largest = out.stdout.split()
    assert kind == "query-limit"
    assert int(largest) < SMALL.memory_bytes + 150_000_000


def test_a_child_whose_parent_died_ends_by_itself():
    code = "from skyloom.query import sandbox; sandbox.limit_time(-1.8)\nwhile True: pass"
    start = time.monotonic()
    out = subprocess.run(
        [sys.executable, "-P", "-S", "-c", code], env=process._environment(), timeout=20, check=False
    )
    assert out.returncode != 0
    assert time.monotonic() - start < 10


BILLION = "select a.range * 31623 + b.range as n from range(31623) a, range(31623) b"


def source_of(sky):
    return fixed(
        sky.base, sky.layers, id_column="object_id", healpix_column="_healpix_29", position_columns=("ra", "dec")
    )


def test_the_first_rows_of_a_billion_come_without_the_others(sky):
    found = query_source(BILLION, source_of(sky), limits=replace(SMALL, wall_s=30.0), first=7)
    assert found.num_rows == 7
    assert query_source("select score from catalog", source_of(sky), first=200).num_rows == 140


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_billion_rows_to_a_file_end_at_the_limit_and_leave_no_file(sky, tmp_path, suffix):
    with (
        pytest.raises(SpecError, match="more than max_rows=100,000 rows") as caught,
        streamed(BILLION, source_of(sky), limits=replace(SMALL, max_rows=100_000, wall_s=30.0)) as answer,
    ):
        write_stream(answer, tmp_path / f"billion{suffix}")
    assert caught.value.kind is LIMIT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_streamed_file_is_the_file_of_the_whole_result(sky, tmp_path, suffix):
    sql = "select object_id, name, flux as f, lc, score from catalog, range(2000)"
    one, other = tmp_path / f"streamed{suffix}", tmp_path / f"whole{suffix}"
    with streamed(sql, source_of(sky), limits=Limits(threads=1)) as answer:
        assert write_stream(answer, one) == 280_000
        assert answer.is_whole
    write_result(query_source(sql, source_of(sky), limits=Limits(threads=1)), other)
    if suffix == ".csv":
        assert one.read_bytes() == other.read_bytes()
    else:
        assert pq.read_table(one).equals(pq.read_table(other), check_metadata=True)
        assert pq.read_schema(one).field("f").metadata[b"unit"] == b"nJy"


def test_the_clock_runs_while_files_are_chosen_too(sky):
    source = source_of(sky)

    def slow(regions, needed):
        time.sleep(1.5)
        return source.choose(regions, needed)

    with pytest.raises(SpecError, match="stopped after wall_s=1 s"):
        query_source("select 1", replace(source, choose=slow), limits=Limits(wall_s=1.0))


def test_no_process_is_left_of_a_query_that_nobody_read_to_its_end(sky):
    with streamed(BILLION, source_of(sky), limits=Limits()) as answer:
        next(iter(answer))
        child = answer._child._child
    assert child.poll() is not None
