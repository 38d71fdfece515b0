"""What SQL cannot do: read or write other files, reach the network, change settings."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from skyloom.errors import ErrorKind, SpecError
from skyloom.query import Limits, process

SMALL = Limits(memory_bytes=300_000_000, wall_s=20.0, max_rows=10_000, threads=2)

FORBIDDEN = {
    "other file": "select * from '/etc/passwd'",
    "other parquet": "select * from '{outside}/secret.parquet'",
    "own file by name": "select * from '{file}'",
    "read_text": "select * from read_text('/etc/passwd')",
    "read_text of own": "select * from read_text('{file}')",
    "read_blob": "select * from read_blob('/etc/passwd')",
    "read_csv": "select * from read_csv('/etc/passwd', sep=':', header=false)",
    "read_json": "select * from read_json('/etc/passwd')",
    "sniff_csv": "select * from sniff_csv('/etc/passwd')",
    "read_parquet": "select * from read_parquet('{outside}/secret.parquet')",
    "read_parquet list": "select * from read_parquet(['{outside}/secret.parquet'])",
    "parquet_scan": "select * from parquet_scan('{outside}/secret.parquet')",
    "parquet_metadata": "select * from parquet_metadata('{outside}/secret.parquet')",
    "read_duckdb": "select * from read_duckdb('/tmp/x.db')",
    "dots": "select * from read_parquet('{root}/base/dataset/../../../outside/secret.parquet')",
    "symlink": "select * from read_parquet('{root}/link.parquet')",
    "glob": "select * from glob('/etc/*')",
    "glob read": "select * from read_parquet('{root}/**/*.parquet')",
    "proc": "select * from read_text('/proc/self/environ')",
    "http": "select * from read_parquet('http://127.0.0.1:9/x.parquet')",
    "http table": "select * from 'https://127.0.0.1:9/x.csv'",
    "s3": "select * from 's3://bucket/x.parquet'",
    "copy to": "copy (select 1) to '{root}/out.csv'",
    "copy over the catalog": "copy (select 1) to '{file}' (format parquet)",
    "copy from": "copy catalog from '/etc/passwd'",
    "copy in a cte": "with x as (copy (select 1) to '{file}') select 1",
    "insert in a cte": "with x as (insert into catalog values (1) returning *) select * from x",
    "delete in a cte": "with x as (delete from catalog returning *) select * from x",
    "nested insert": "select * from (with x as (insert into catalog values (1) returning 1) select * from x)",
    "export": "export database '{root}/dump'",
    "attach": "attach '{root}/x.db'",
    "attach in memory": "attach ':memory:' as m",
    "detach": "detach memory",
    "install": "install httpfs",
    "load": "load httpfs",
    "set": "set enable_external_access = true",
    "set unlock": "set lock_configuration = false",
    "reset": "reset memory_limit",
    "pragma": "pragma memory_limit='100GB'",
    "pragma table": "pragma database_list",
    "call": "call pragma_version()",
    "checkpoint": "select * from force_checkpoint()",
    "two statements": "select 1; select 2",
    "a hidden second": "select 1; copy (select 1) to '{root}/out.csv'; select 2",
    "create": "create table t as select 1",
    "create view": "create view v as select 1",
    "create secret": "create secret s (type s3, key_id 'a', secret 'b')",
    "create macro": "create macro f() as 1",
    "insert": "insert into catalog values (1)",
    "update": "update catalog set flux = 0",
    "drop": "drop view catalog",
    "prepare": "prepare p as select 1",
    "vacuum": "vacuum",
    "explain analyze": "explain analyze select 1",
    "python variable": "select * from request",
    "python table": "select * from tables",
    "query()": "select * from query('select 1')",
    "query_table()": "select * from query_table('catalog')",
    "serialized sql": "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "logging": "select * from enable_logging(storage => 'file', storage_path => '{root}/log')",
    "arrow pointer": "select * from arrow_scan(1, 2, 3)",
    "python pointer": "select * from pandas_scan(1)",
    "settings": "select * from duckdb_settings()",
    "secrets": "select * from duckdb_secrets()",
    "system table": "select * from information_schema.tables",
    "pg table": "select * from pg_catalog.pg_tables",
    "other schema": "select * from temp.main.catalog",
    "in a subquery": "select (select content from read_text('/etc/passwd'))",
    "in a cte": "with x as (from read_text('/etc/passwd')) from x",
    "in a lateral": "select * from catalog, lateral (select * from read_text('/etc/passwd'))",
    "in a where": "select 1 where exists (select * from glob('/etc/*'))",
    "in a union": "select 'a' union all select content from read_text('/etc/passwd')",
    "in describe": "describe select * from read_text('/etc/passwd')",
    "in summarize": "summarize '{outside}/secret.parquet'",
    "in a lambda": "select list_transform([1], x -> (select count(*) from glob('/etc/*')))",
    "in a cone": "select * from catalog where in_cone(ra, dec, 1, 2, (select count(*) from glob('/etc/*')))",
    "in a moc": "select * from catalog where in_moc(_healpix_29, '0/1'') or (select 1 from glob(''/etc/*'')) --')",
    "after a cone": "select * from catalog where in_cone(ra, dec, 1, 2, 3); copy (select 1) to '{root}/out.csv'",
    "getenv": "select getenv('SECRET')",
    "read function": "select read_text('/etc/passwd')",
    "deep": "select " + "(" * 20_000 + "1" + ")" * 20_000,
    "deep functions": "select " + "abs(" * 5_000 + "1" + ")" * 5_000,
    "deep lists": "select " + "[" * 5_000 + "1" + "]" * 5_000,
    "deep subqueries": "select * from (" * 500 + "select 1" + ")" * 500 + " where nonsense",
    "nul": "select 1 \0 ; select 2",
}


@pytest.fixture(scope="module")
def outside(sky, tmp_path_factory):
    import pyarrow.parquet as pq

    folder = sky.root.parent / "outside"
    folder.mkdir(exist_ok=True)
    pq.write_table(sky.whole["period"], folder / "secret.parquet")
    link = sky.root / "link.parquet"
    if not link.is_symlink():
        link.symlink_to(folder / "secret.parquet")
    return folder


def _ends(sky, sql, limits=SMALL):
    before = sky.digest()
    start = time.monotonic()
    with pytest.raises(SpecError) as caught:
        sky.query(sql, limits=limits)
    assert time.monotonic() - start < limits.wall_s + 2.0
    assert sky.digest() == before
    return caught.value


@pytest.mark.parametrize("probe", FORBIDDEN)
def test_a_query_that_is_more_than_a_query_is_refused(sky, outside, probe):
    sql = FORBIDDEN[probe].replace("{root}", str(sky.root)).replace("{outside}", str(outside))
    error = _ends(sky, sql.replace("{file}", sky.base.files[0]))
    assert error.kind is ErrorKind.BAD_QUERY or (
        probe.startswith("deep") and error.kind is ErrorKind.QUERY_LIMIT
    ), error
    assert "root:" not in str(error)
    assert len(str(error)) < 2500


SECOND_WALL = """
import json, os, sys, duckdb
from skyloom.query import sandbox
request = json.load(sys.stdin)
sandbox.confine()
sandbox.limit_time(20)
con = sandbox.connect()
sandbox.limit_work(con, memory_bytes=300_000_000, threads=1)
sandbox.lock(con, request["files"])
answers = []
for sql in request["sql"]:
    try:
        answers.append(str(con.execute(sql).fetchall())[:200])
    except (duckdb.Error, MemoryError, OSError) as error:
        answers.append("refused: " + str(error)[:200])
try:
    open(request["files"][0], "r+b")
    answers.append("opened for writing")
except OSError:
    answers.append("refused: open")
try:
    open(os.path.dirname(request["files"][0]) + "/new", "wb").write(b"x")
    answers.append("written")
except OSError:
    answers.append("refused: new file")
print(json.dumps(answers))
"""


def test_duckdb_itself_refuses_what_the_parse_tree_would_not_show(sky, outside):
    statements = [
        "select * from read_text('/etc/passwd')",
        f"select * from read_parquet('{outside}/secret.parquet')",
        f"select * from read_parquet('{sky.root}/link.parquet')",
        f"select * from read_parquet('{sky.root}/base/dataset/../../../outside/secret.parquet')",
        "select * from glob('/etc/*')",
        "install httpfs",
        "load httpfs",
        f"attach '{sky.root}/x.db'",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        f"copy (select 1) to '{sky.root}/out.csv'",
        f"copy (select 1) to '{sky.base.files[0]}' (format parquet)",
        "select * from con",
    ]
    before = sky.digest()
    out = subprocess.run(
        [sys.executable, "-P", "-S", "-c", SECOND_WALL],
        input=json.dumps({"files": sky.base.files, "sql": statements}),
        env=process._environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    # Without Landlock the last write ends the process by SIGXFSZ, which is a refusal too.
    assert out.returncode == 0 or sys.platform != "linux", out.stderr
    if out.returncode == 0:
        answers = json.loads(out.stdout)
        assert [a for a in answers if not a.startswith("refused")] == []
    assert sky.digest() == before


def test_the_environment_of_the_caller_is_not_passed_on(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("PYTHONSTARTUP", "/tmp/canary")
    assert "canary" not in str(process._environment())
