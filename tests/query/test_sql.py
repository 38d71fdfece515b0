"""What a query over a catalog and its layers returns, and refuses."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import duckdb
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.query import (
    Limits,
    TableFiles,
    check_alignment,
    explain,
    process,
    query,
    query_source,
    statement,
    write_result,
)
from skyloom.query.source import fixed
from skyloom.sky import Box


def test_catalog_has_the_base_and_the_new_columns_of_every_layer_once(sky):
    out = sky.query("select * from catalog")
    assert out.column_names == [*sky.whole["base"].column_names, "score", "my_scores_flag", "period"]
    for name, table in sky.whole.items():
        for column in table.column_names:
            assert out[column].to_pylist() == table[column].to_pylist(), (name, column)


def test_ids_above_two_to_the_53_stay_exact(sky):
    out = sky.query("select object_id from catalog where score = 1")
    assert out["object_id"].to_pylist() == [2**63 + 2]
    assert out.schema.field("object_id").type == pa.uint64()


def test_each_layer_is_a_table_of_its_own(sky):
    out = sky.query("select count(*) n, max(s.score) top from my_scores s join period using (object_id)")
    assert out.to_pylist() == [{"n": 140, "top": 139.0}]


def test_nested_light_curves_unnest_and_give_their_fields(sky):
    lengths = [len(row["mjd"]) for row in sky.whole["base"]["lc"].to_pylist()]
    out = sky.query("select unnest(lc.mjd) as mjd, score from catalog")
    assert out["score"].to_pylist() == list(np.repeat(np.arange(140.0), lengths))
    assert sky.query("select sum(len(lc.flux)) n from catalog")["n"].to_pylist() == [sum(lengths)]


def test_light_curves_are_unnested_on_demand_with_units(sky, tmp_path):
    def ask(sql, *columns):
        return query_source(sql, source, unnest=columns)

    source = fixed(
        sky.base, sky.layers, id_column="object_id", healpix_column="_healpix_29", position_columns=("ra", "dec")
    )
    out = ask("select object_id, lc, score from catalog", "lc")
    by_hand = "select object_id, unnest(lc.mjd) as mjd, unnest(lc.flux) as flux, unnest(lc.band) as band, score"
    assert out.equals(sky.query(f"{by_hand} from catalog"), check_metadata=True)
    assert out.schema.field("mjd").metadata == {b"unit": b"d"}
    assert out.schema.field("flux").metadata == {b"unit": b"nJy", b"description": b"Flux density"}
    both = ask("select flux, lc as curve from catalog -- and a comment", "curve")
    assert both.column_names == ["flux", "mjd", "curve_flux", "band"]
    assert both.schema.field("curve_flux").metadata[b"description"] == b"Flux density"
    assert both.schema.field("flux").metadata[b"description"] == b"Mean flux"
    for suffix in (".ecsv", ".fits", ".vot"):
        write_result(out.drop(["object_id"]), tmp_path / f"points{suffix}")
    with pytest.raises(SpecError, match="only a struct of lists can be unnested"):
        ask("select flux from catalog", "flux")
    with pytest.raises(SpecError, match="did you mean 'lc'"):
        ask("select lc from catalog", "lcc")


@pytest.mark.parametrize(
    "sql",
    [
        "select unnest([flux * 2]) as flux from catalog",
        "select flux from (select unnest(lc.flux) as flux from catalog)",
        "select unnest(lc.flux) as flux from (select list(dec::float) as flux from catalog) lc",
        "select unnest(lc.mjd) as flux from catalog union all select unnest(lc.flux) from catalog",
    ],
)
def test_what_is_unnested_from_something_else_carries_no_unit(sky, sql):
    assert not sky.query(sql).schema.field("flux").metadata


def test_plain_selections_keep_unit_ucd_and_description(sky):
    out = sky.query("select flux, period as p, ra, score + 1 as later, lc.flux as curve from catalog limit 1")
    metadata = {field.name: field.metadata or {} for field in out.schema}
    assert metadata["flux"] == {b"unit": b"nJy", b"ucd": b"phot.flux", b"description": b"Mean flux"}
    assert metadata["p"][b"unit"] == b"d"
    assert metadata["ra"][b"ucd"] == b"pos.eq.ra;meta.main"
    assert metadata["later"] == {}
    assert metadata["curve"][b"description"] == b"Flux density"


@pytest.mark.parametrize(
    "sql",
    [
        "select log(flux) as flux from catalog",
        "select flux from (select flux * 2 as flux from catalog)",
        "select * replace (flux * 2 as flux) from catalog",
        "with t(flux) as (select flux * 2 from catalog) select flux from t",
        "select u.flux from (select dec::float from catalog) u(flux)",
        "select period as flux from (select flux as period from catalog)",
        "select * rename (dec as flux) from (select dec::float as dec from catalog)",
        "select flux from (select ra::float as flux from catalog union all select flux from catalog)",
    ],
)
def test_a_name_given_to_something_else_carries_no_unit(sky, sql):
    assert not sky.query(sql).schema.field("flux").metadata


def test_no_layers_is_the_base_alone(sky):
    out = sky.query("select count(*) n, count(flux) f from catalog", layers={})
    assert out.to_pylist() == [{"n": 140, "f": 140}]


def test_a_catalog_without_files_is_an_empty_table(sky):
    def bare(table):
        return TableFiles((), (), table.schema)

    layers = {name: bare(layer) for name, layer in sky.layers.items()}
    out = sky.query("select object_id, period, lc from catalog", base=bare(sky.base), layers=layers)
    assert out.num_rows == 0
    assert out.column_names == ["object_id", "period", "lc"]
    check_alignment(base=bare(sky.base), layers=layers, id_column="object_id")


def test_a_catalog_of_empty_files_only_is_an_empty_table(sky):
    def hollow(table):
        return TableFiles((table.files[1],), (0,), table.schema)

    layers = {name: hollow(layer) for name, layer in sky.layers.items()}
    assert sky.query("select score, flux from catalog", base=hollow(sky.base), layers=layers).num_rows == 0


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_rows_keep_their_order_whatever_the_threads(sky, threads):
    out = sky.query("select score from catalog", limits=Limits(threads=threads))
    assert out["score"].to_pylist() == list(range(140))


def test_a_query_that_names_no_layer_column_reads_no_layer(sky):
    settings = {"base": sky.base, "layers": sky.layers, "id_column": "object_id"}
    assert "Positional" not in explain("select avg(flux) from catalog where ra > 3", **settings)
    assert "Positional" in explain("select avg(score) from catalog", **settings)


@pytest.mark.parametrize(
    "sql",
    [
        "select c from catalog c limit 1",
        "select catalog from catalog limit 1",
        "select columns('sco.*') from catalog limit 1",
        "from catalog limit 1",
        "select * from catalog natural join my_scores limit 1",
        "select score from catalog t limit 1",
        "select (select max(sCoRe) from catalog) m",
        "select x from catalog t(a, b, c, d, e, f, g, x) limit 1",
        "describe catalog",
        "summarize catalog",
    ],
)
def test_whatever_way_a_layer_column_is_taken_it_is_there(sky, sql):
    rows = str(sky.query(sql).to_pylist())
    assert "score" in rows or "0.0" in rows or "139.0" in rows


# -- misaligned layers ---------------------------------------------------------------------------

ORDERS = {
    "two rows exchanged": lambda n: np.r_[0 : n - 2, n - 1, n - 2],
    "shifted by one": lambda n: np.roll(np.arange(n), 1),
    "reversed": lambda n: np.arange(n)[::-1],
}
DEPENDENT = [
    "select score from catalog",
    "select sum(score) from catalog",
    "select object_id from catalog where score > 137.5",
    "select object_id from catalog where score > 137.5 and flux < 100",
    "select flux from catalog order by score desc limit 1",
    "select count(*) from catalog where score between 138 and 139 and flux is not null",
    "select max(case when flux > -1000 then score end) from catalog",
    "select object_id, my_scores_flag from catalog where my_scores_flag is null",
    "select name, avg(score) from catalog group by name",
    "select count(*) from catalog a join catalog b on a.score = b.score",
    "select * from catalog",
    "select object_id from catalog where object_id not in (select object_id from catalog where score < 138)",
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sql", DEPENDENT)
def test_a_misaligned_layer_is_an_error_never_a_wrong_row(sky, moved, order, sql):
    wrong = moved(sky.whole["my-scores"].take(ORDERS[order](140)))
    with pytest.raises(DataError, match="not aligned") as caught:
        wrong.query(sql, limits=Limits(threads=2))
    assert caught.value.kind is ErrorKind.ROW_ORDER
    assert caught.value.context["layer"] == "my_scores"


@pytest.mark.parametrize("sql", DEPENDENT)
def test_a_misaligned_layer_is_found_out_within_a_region_too(sky, moved, sql):
    wrong = moved(sky.whole["my-scores"].take(ORDERS["reversed"](140)))
    with pytest.raises(DataError, match="not aligned"):
        wrong.query(sql, limits=Limits(threads=2), region=Box(0.0, 360.0, -89.0, 89.0))


def test_base_columns_stay_right_beside_a_misaligned_layer(sky, moved):
    wrong = moved(sky.whole["my-scores"].take(ORDERS["reversed"](140)))
    assert wrong.query("select flux from catalog")["flux"] == sky.whole["base"]["flux"]


def test_the_check_of_all_rows_finds_one_exchanged_pair(sky, moved):
    wrong = moved(sky.whole["my-scores"].take(ORDERS["two rows exchanged"](140)))
    with pytest.raises(DataError, match=f"object_id={2**63 + 139} of the catalog stands beside") as caught:
        check_alignment(base=wrong.base, layers=wrong.layers, id_column="object_id")
    assert caught.value.kind is ErrorKind.ROW_ORDER
    check_alignment(base=sky.base, layers=sky.layers, id_column="object_id")


def test_without_an_id_the_healpix_index_is_checked(sky, moved):
    scores = sky.whole["my-scores"]
    order = pa.array(ORDERS["shifted by one"](140))
    ids_right = scores.set_column(3, scores.schema.field(3), scores["_healpix_29"].take(order))
    wrong = moved(ids_right)
    for id_column in (None, "object_id"):
        with pytest.raises(DataError, match="not aligned"):
            wrong.query(
                "select score from catalog", id_column=id_column, position_columns=("object_id", "ra", "dec")
            )


def test_a_file_with_other_rows_than_listed_is_named(sky, tmp_path):
    path = tmp_path / "short.parquet"
    pq.write_table(sky.whole["period"].slice(0, 39), path)
    layer = sky.layers["period"]
    changed = TableFiles((str(path), *layer.files[1:]), layer.rows, layer.schema)
    with pytest.raises(DataError, match=r"short\.parquet.* has 39 rows where 40 are listed") as caught:
        sky.query("select period from catalog", layers={"period": changed})
    assert caught.value.kind is ErrorKind.ROW_COUNT


def test_a_layer_with_fewer_rows_is_refused_before_anything_runs(sky):
    layer = sky.layers["period"]
    with pytest.raises(DataError, match="80 rows and the catalog 140"):
        sky.query("select 1", layers={"period": TableFiles(layer.files[:3], layer.rows[:3], layer.schema)})


def test_a_file_that_is_no_parquet_is_named(sky, tmp_path):
    path = tmp_path / "garbage.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(DataError, match=r"garbage\.parquet") as caught:
        sky.query(
            "select flux from catalog", base=dataclasses.replace(sky.base, files=(str(path), *sky.base.files[1:]))
        )
    assert caught.value.kind is ErrorKind.BAD_FILE


def test_a_missing_file_is_named(sky):
    gone = dataclasses.replace(sky.base, files=("/nonexistent/gone.parquet", *sky.base.files[1:]))
    with pytest.raises(DataError, match=r"gone\.parquet"):
        sky.query("select flux from catalog", base=gone)


# -- names, limits, messages ---------------------------------------------------------------------


def test_two_layers_with_one_column_are_refused_by_name(sky):
    with pytest.raises(SpecError, match="'period' is in layer 'a' and in layer 'b'") as caught:
        sky.query("select 1", layers={"a": sky.layers["period"], "b": sky.layers["period"]})
    assert caught.value.kind is ErrorKind.BAD_NAME


def test_a_layer_column_that_the_catalog_has_is_refused_by_name(sky):
    layer = sky.layers["period"]
    renamed = dataclasses.replace(
        layer, schema=pa.schema([*list(layer.schema)[:4], pa.field("FLUX", pa.float32())])
    )
    with pytest.raises(SpecError, match="'FLUX' is in the catalog and in layer 'period'"):
        sky.query("select 1", layers={"period": renamed})


def test_layers_whose_sql_names_meet_are_refused(sky):
    for names in (("a-b", "a_b"), ("catalog", "x")):
        with pytest.raises(SpecError, match="would be table"):
            sky.query("select 1", layers=dict(zip(names, sky.layers.values(), strict=True)))


@pytest.mark.parametrize(
    ("sql", "offer"),
    [
        ("select scor from catalog", "did you mean 'score'?"),
        ("select c.perod from catalog c", "did you mean 'period'?"),
        ("select flux from my_score", "did you mean 'my_scores'?"),
        ("selct flux from catalog", "selct"),
        ("", "one SELECT statement"),
        ("select flux / 'a' from catalog", "Could not convert"),
    ],
)
def test_bad_sql_says_what_and_offers_close_names(sky, sql, offer):
    with pytest.raises(SpecError) as caught:
        sky.query(sql)
    assert caught.value.kind is ErrorKind.BAD_QUERY
    assert offer in str(caught.value)
    assert "skyloom_no_rows" not in str(caught.value)


def test_a_result_over_a_limit_is_refused_whole(sky):
    assert sky.query("select score from catalog", limits=Limits(max_rows=140)).num_rows == 140
    for limits in (Limits(max_rows=139), Limits(max_bytes=100)):
        with pytest.raises(SpecError, match="add LIMIT") as caught:
            sky.query("select score from catalog", limits=limits)
        assert caught.value.kind is ErrorKind.QUERY_LIMIT


@pytest.mark.parametrize("limits", [{"memory_bytes": 1000}, {"wall_s": 0}, {"max_rows": 0}, {"threads": -1}])
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(SpecError):
        Limits(**limits)


@pytest.mark.parametrize("file", ["s3://bucket/a.parquet", "https://example.org/a.parquet"])
def test_remote_files_are_refused_with_the_way_out(sky, file):
    remote = TableFiles((file,), (3,), sky.base.schema)
    with pytest.raises(SpecError, match="to_lsdb"):
        query("select 1", base=remote, id_column="object_id")


def test_awkward_paths_are_read(sky, tmp_path):
    folder = tmp_path / 'it\'s a "sky" ünï%20'
    folder.mkdir()
    pq.write_table(sky.whole["base"], folder / "Npix=1.parquet")
    for file in (str(folder / "Npix=1.parquet"), (folder / "Npix=1.parquet").as_uri()):
        base = TableFiles((file,), (140,), sky.base.schema)
        assert sky.query("select count(flux) n from catalog", base=base, layers={})["n"].to_pylist() == [140]


def test_columns_that_differ_in_case_only_are_refused():
    with pytest.raises(SpecError, match="differ in case"):
        TableFiles((), (), pa.schema([("Ra", pa.float64()), ("ra", pa.float64())]))


def test_the_process_of_a_query_imports_little_and_ends_where_nobody_asks():
    command = [sys.executable, "-X", "importtime", "-P", "-S", "-m", "skyloom.query"]
    out = subprocess.run(
        command, env=process._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in out.stderr.splitlines()}
    assert {"pyarrow", "duckdb"} <= imported
    heavy = {"numpy", "pandas", "torch", "astropy", "dask", "rich", "lsdb", "hats", "importlib.metadata"}
    assert not heavy & imported


def test_a_process_that_was_started_ahead_serves_the_next_query_and_no_other(sky):
    process.start_ahead()
    process.start_ahead()
    (ahead,) = process._AHEAD.values()
    assert sky.query("select count(*) as n from catalog")["n"].to_pylist() == [140]
    assert ahead.returncode is not None
    assert not process._AHEAD
    assert sky.query("select count(*) as n from catalog")["n"].to_pylist() == [140]


def test_a_process_that_died_while_it_waited_is_replaced(sky):
    process.start_ahead()
    (ahead,) = process._AHEAD.values()
    ahead.kill()
    ahead.wait()
    assert sky.query("select count(*) as n from catalog")["n"].to_pylist() == [140]


def test_a_process_that_waits_ends_with_its_caller():
    code = "from skyloom.query import process as p; p.start_ahead(); print(*[c.pid for c in p._AHEAD.values()])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not psutil.pid_exists(int(out.stdout))


def test_what_is_said_of_functions_agrees_with_duckdb():
    kinds = duckdb.connect().sql("select lower(function_name), function_type from duckdb_functions()").fetchall()
    aggregates = {name for name, kind in kinds if kind == "aggregate"}
    assert aggregates >= statement._ORDER_FREE
    assert not aggregates & statement._OF_ONE_ROW
