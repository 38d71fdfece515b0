"""Which regions named in SQL choose partitions, and that the SQL says the same afterwards."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import ErrorKind, SpecError
from skyloom.query.calls import Call, Place, find_calls, put_conditions
from skyloom.query.inside import condition_of, region_of
from skyloom.query.statement import parsed_tree
from skyloom.sky import Box, Cone, MocRegion, Polygon

PLACE = Place("ra", "dec", "_healpix_29", frozenset({"catalog", "scores"}))
CONE = "in_cone(ra, dec, 100, -20.5, 3e1)"


@pytest.fixture(scope="module")
def con():
    rng = np.random.default_rng(0)
    n = 3000
    rows = pa.table(
        {
            "id": np.arange(n),
            "ra": rng.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "_healpix_29": rng.integers(0, 12 << 58, n),
            "r": rng.uniform(-5, 200, n),
        }
    )
    connection = duckdb.connect()
    connection.register("catalog", rows)
    connection.register("scores", rows)
    return connection


@pytest.fixture(scope="module")
def find(con):
    def parse(sql):
        return json.loads(con.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()[0])

    def unparse(expression):
        select = parse("SELECT 1")
        select["statements"][0]["node"]["select_list"] = [expression]
        return con.execute("SELECT json_deserialize_sql(?)", [json.dumps(select)]).fetchone()[0][len("SELECT ") :]

    def find(sql: str, place: Place = PLACE) -> list[Call]:
        return find_calls(parsed_tree(json.dumps(parse(sql))), sql, place, parse=parse, unparse=unparse)

    return find


PRUNES = [
    f"select * from catalog where {CONE}",
    f"select * from catalog where r > 3 and ({CONE} and id < 5)",
    f'select \'ü€\', "ra" from catalog /* {CONE} */ where -- {CONE}\n IN_CONE (RA, "dec", 100,-20.5,30 ) AND r>0',
    "select * from catalog c where in_cone(c.ra, c.dec, 100, -20.5, 30)",
    "select count(*) from scores where in_cone(scores.ra, scores.dec, 1, 2, 3) group by id % 2",
    f"with near as (select * from catalog where {CONE}) select * from near a join near b using (id)",
    f"select (select max(id) from catalog where {CONE}) as top",
    "select * from catalog c join range(3) t on t.range = c.id where in_cone(c.ra, c.dec, 100, 0, 30)",
    "select * from range(9) t left join catalog c on t.range = c.id where in_cone(c.ra, c.dec, 100, 0, 90)",
    "select dec as ra, id from catalog where in_cone(ra, dec, 100, 0, 30)",
    "select * from catalog where in_box(ra, dec, 350, 10, -90, 5.5)",
    "select * from catalog where in_polygon(ra, dec, 10, 10, 60, 10, 60, 60)",
    "select * from catalog where in_moc(_healpix_29, '1/5 2/100')",
    f"select id from catalog where {CONE} union all select range from range(3) where false",
]


@pytest.mark.parametrize("sql", PRUNES)
def test_a_condition_joined_by_and_chooses_partitions(find, sql):
    (call,) = find(sql)
    assert call.kept_from_pruning == ""
    assert region_of(call) is not None


KEPT = {
    "or": (f"select * from catalog where {CONE} or id < 5", "joins by AND"),
    "not": (f"select * from catalog where not {CONE}", "joins by AND"),
    "case": (f"select * from catalog where case when id > 3 then {CONE} else true end", "joins by AND"),
    "is null": (f"select * from catalog where {CONE} is null", "joins by AND"),
    "selected": (f"select {CONE} from catalog", "joins by AND"),
    "having": (f"select id, ra, dec from catalog group by all having {CONE}", "joins by AND"),
    "not constant": ("select * from catalog where in_cone(ra, dec, 100, 0, r)", "plain values"),
    "arithmetic": ("select * from catalog where in_cone(ra, dec, 90 + 10, 0, 30)", "plain values"),
    "other columns": ("select * from catalog where in_cone(r, dec, 100, 0, 30)", "not the table's ra and dec"),
    "twice": (f"select * from catalog where {CONE} and id in (select id from catalog)", "2 times"),
    "with a layer": (
        "select * from catalog c join scores s using (id) where in_cone(c.ra, c.dec, 1, 2, 3)",
        "2 times",
    ),
    "unqualified in a join": (f"select * from catalog c, range(3) where {CONE}", "written c.ra"),
    "full join": (
        "select * from catalog c full join range(3) t on t.range = c.id where in_cone(c.ra, c.dec, 1, 2, 3)",
        "FULL",
    ),
    "sample": (f"select * from catalog where {CONE} using sample 3 rows", "sample"),
    "sampled table": (f"select * from catalog tablesample 50% where {CONE}", "sample"),
    "renamed columns": ("select * from catalog c(a, ra, dec) where in_cone(ra, dec, 1, 2, 3)", "other names"),
    "outside": (f"select * from (select * from catalog limit 9) where {CONE}", "no table of the catalog"),
    "shadowed": (
        "with catalog as (select 1 as ra, 2 as dec) select * from catalog where in_cone(ra, dec, 1, 2, 3)",
        "name of a table",
    ),
    "in a join condition": (
        "select * from catalog c join range(3) t on in_cone(c.ra, c.dec, 1, 2, 3)",
        "joins by AND",
    ),
    "another index": ("select * from catalog where in_moc(id, '0/1')", "_healpix_29"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_could_change_the_rows_chooses_none_and_says_why(find, case):
    sql, why = KEPT[case]
    (call,) = find(sql)
    assert why in call.kept_from_pruning


def test_without_an_index_of_order_29_a_moc_chooses_none(find):
    (call,) = find("select * from catalog where in_moc(_healpix_29, '0/1')", Place("ra", "dec", "", PLACE.tables))
    assert call.kept_from_pruning


@pytest.mark.parametrize(
    ("name", "text", "region"),
    [
        ("cone", "in_cone({}, 100, -20.5, 30)", Cone(100.0, -20.5, 30.0)),
        ("box", "in_box({}, 350, 10, -90, 5.5)", Box(350.0, 10.0, -90.0, 5.5)),
        ("polygon", "in_polygon({}, 10, 10, 60, 10, 60, 60)", Polygon(((10.0, 10.0), (60.0, 10.0), (60.0, 60.0)))),
        ("moc", "in_moc(_healpix_29, '1/5 2/100')", MocRegion.parse("1/5 2/100")),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "{} and r > 0",
        "{} or id % 7 = 0",
        "not {}",
        "coalesce({}, false) = (r > 50)",
        "{} is not distinct from true",
    ],
)
def test_a_call_is_true_of_the_rows_that_lie_in_the_region(con, find, name, text, region, form):
    text = text.format("ra, dec")
    sql = f"select id, 'ü' as u from catalog where {form.format(text)} order by 1"
    calls = find(sql)
    replaced = put_conditions(sql, calls, [condition_of(call, region_of(call)) for call in calls])
    meant = form.format(f"({region.sql('ra', 'dec', '_healpix_29')})")
    wanted = con.execute(f"select id, 'ü' as u from catalog where {meant} order by 1").fetchall()
    assert con.execute(replaced).fetchall() == wanted
    assert 0 < len(wanted) < 3000


def test_cones_and_boxes_of_columns_agree_with_those_of_numbers_row_by_row(con, find):
    def asked(condition):
        sql = f"select id from catalog where {condition} order by 1"
        calls = find(sql)
        return con.execute(put_conditions(sql, calls, [condition_of(c, region_of(c)) for c in calls])).fetchall()

    for radius in (0.5, 30, 90, 179, 180):
        varying = f"in_cone(ra, dec, 200 + id * 0, -40.0, {radius} + r * 0)"
        assert asked(varying) == asked(f"in_cone(ra, dec, 200, -40, {radius})")
    for limits in ("350, 10, -90, 5.5", "10, 350, -20, 30"):
        first, rest = limits.split(", ", 1)
        assert asked(f"in_box(ra, dec, {first} + id * 0, {rest})") == asked(f"in_box(ra, dec, {limits})")
    assert asked("in_cone(ra, dec, ra, dec, -1.0 * id)") == [(0,)]


def test_two_calls_are_each_replaced_where_they_stand(con, find):
    either = f"{CONE} or in_moc(_healpix_29, '0/3')"
    sql = f"select {CONE}, in_box(ra, dec, 0, 90, 0, 90) as boxed from catalog where {either}"
    calls = find(sql)
    out = con.execute(put_conditions(sql, calls, ["1 = 1", "false", "2 = 2", "true"]))
    assert [column[0] for column in out.description] == ["in_cone", "boxed"]
    assert set(out.fetchall()) == {(True, False)}


@pytest.mark.parametrize(
    "call",
    [
        "in_cone(ra, dec, 1, 2)",
        "in_cone()",
        "in_box(ra, dec, 1, 2, 3)",
        "in_polygon(ra, dec, 1, 2, 3, 4, 5, 6, 7)",
        "in_moc('3/5')",
        "ra.in_cone(dec, 1, 2, 3)",
        "main.in_cone(ra, dec, 1, 2, 3)",
        "in_cone(ra, dec, 1, 2, radius := 3)",
        "in_cone(distinct ra, dec, 1, 2, 3)",
        "in_cone(ra, dec, 1, 2, case when in_moc(_healpix_29, '0/1') then 1 else 2 end)",
    ],
)
def test_a_call_in_another_form_is_refused_with_the_right_one(find, call):
    with pytest.raises(SpecError, match="angles in degrees") as caught:
        find(f"select * from catalog where {call}")
    assert caught.value.kind is ErrorKind.BAD_QUERY


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("in_cone(ra, dec, 400, 2, 3)", "400"),
        ("in_cone(ra, dec, 1, 2, 0)", "radius"),
        ("in_cone(ra, dec, '1', 2, 3)", "write numbers"),
        ("in_box(ra, dec, 1, 2, 3, 3)", "lower to a higher"),
        ("in_polygon(ra, dec, 0, 0, 10, 10, 10, 0, 0, 10)", "convex"),
        ("in_polygon(ra, dec, r, 0, 10, 10, 10, 0)", "write numbers"),
        ("in_moc(_healpix_29, 'nonsense')", "no MOC"),
        ("in_moc(_healpix_29, id)", "write a text"),
    ],
)
def test_what_is_no_region_is_refused_by_its_text(find, call, word):
    (found,) = find(f"select * from catalog where {call}")
    with pytest.raises(SpecError, match=word) as caught:
        region_of(found)
    assert caught.value.kind is ErrorKind.BAD_QUERY
    assert call in str(caught.value)


def test_text_in_a_call_stays_text(con, find):
    """What is not a number comes back from DuckDB's own tree, so that it ends no string and opens no comment."""
    text = "); drop table x; --"
    sql = f"select count(*) from catalog where in_cone(ra, dec, 1, 2, length('{text}'))"
    (call,) = find(sql)
    (n,) = con.execute(put_conditions(sql, [call], [condition_of(call, region_of(call))])).fetchone()
    wanted = con.execute(
        f"select count(*) from catalog where {Cone(1.0, 2.0, len(text)).sql('ra', 'dec', None)}"
    ).fetchone()
    assert (n,) == wanted
