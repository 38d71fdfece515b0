"""The state of a page: what its address says, and the same as SQL."""

import re
from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyloom.errors import ErrorKind, SpecError
from skyloom.explorer.skymap import sky_box
from skyloom.explorer.state import LOOPS, TABS, Box, Span, State

DEFAULT = State(x="a", y="b")
COLUMNS = ("a", "b", "with space", "Ünïcode", 'quote"d', "ra")

degrees = st.floats(0, 360)
latitudes = st.tuples(st.floats(-90, 89), st.floats(0.1, 1)).map(lambda t: (t[0], t[0] + t[1]))
numbers = st.floats(-1e30, 1e30)
spans = st.tuples(numbers, numbers).map(lambda t: Span(*sorted(t)))
skies = st.tuples(degrees, degrees, latitudes).map(lambda t: Box(t[0], t[1], *t[2]))
views = st.tuples(st.floats(-180, 180), st.floats(1, 300), latitudes).map(
    lambda t: Box(t[0], t[0] + t[1], *t[2])
)  # fmt: skip
states = st.builds(
    State,
    x=st.sampled_from(COLUMNS), y=st.sampled_from(COLUMNS),
    view=views, sky=st.none() | skies, xs=st.none() | spans, ys=st.none() | spans,
    id=st.text(st.characters(categories=("L", "N", "P")), max_size=20),
    sort=st.sampled_from(["", "a", "-b", "-Ünïcode"]),
    page=st.integers(0, 999_999_999), tab=st.sampled_from(TABS), loop=st.sampled_from(LOOPS),
)  # fmt: skip


def read(query: str) -> State:
    asked = dict(parse_qsl(query, keep_blank_values=True))
    return State.of_query(asked, numeric=COLUMNS, columns=COLUMNS, default=DEFAULT)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(state=states)
def test_an_address_gives_the_state_that_it_was_written_from(state):
    again = read(state.to_query(DEFAULT))
    assert again == state


def test_the_default_needs_no_parameters_and_a_selection_always_names_its_column():
    assert DEFAULT.to_query(DEFAULT) == ""
    assert dict(parse_qsl(State(x="a", y="b", xs=Span(1, 2)).to_query(DEFAULT))) == {"x": "a", "xs": "1,2"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("x=c", "there is: "),
        ("x=aa", "did you mean 'a'?"),
        ("vieww=0,1,2,3", "did you mean 'view'?"),
        ("view=0,1,2", "not four finite numbers"),
        ("view=0,400,-90,90", "no part of the sky"),
        ("view=10,5,-90,90", "no part of the sky"),
        ("sky=-5,5,0,1", "no part of the sky"),
        ("sky=0,nan,0,1", "finite"),
        ("sky=0,10,5,-5", "low to high"),
        ("xs=2,1", "finite low to a finite high"),
        ("ys=0,inf", "finite"),
        ("page=-1", "no page number"),
        ("page=1e3", "no page number"),
        ("sort=-nothing", "there is: "),
        ("tab=admin", "there is: labels, sql, table"),
        ("id=%00", "unprintable"),
        ("id=" + "9" * 300, "300 characters"),
        ("catalog=../..", "unknown parameter"),
    ],
)
def test_an_address_that_is_wrong_is_refused_with_what_was_found(query, said):
    with pytest.raises(SpecError, match=re.escape(said)) as refused:
        read(query)
    assert refused.value.kind in {ErrorKind.BAD_PARAMETER, ErrorKind.UNKNOWN_COLUMN, ErrorKind.UNKNOWN_KEY}


@pytest.mark.parametrize(
    "state",
    [
        State(x="hostgal_photoz", y="mwebv"),
        State(x="hostgal_photoz", y="mwebv", sky=Box(145, 155, -1, 4)),
        State(x="hostgal_photoz", y="mwebv", sky=Box(300, 60, -60, 60)),
        State(x="hostgal_photoz", y="mwebv", xs=Span(0.2, 0.9)),
        State(
            x="hostgal_photoz", y="lcf_amplitude_g", xs=Span(0.2, 1.4), ys=Span(1, 1e9), sky=Box(0, 360, -90, 3)
        ),
    ],
    ids=["all", "box", "through 0", "a range", "of a layer"],
)
def test_the_sql_of_a_state_gives_the_rows_that_the_page_selects(state, points, view):
    chosen = points.selected(state)
    ids = np.array(points.ids.to_pylist())
    wanted = set(ids if chosen is None else ids[chosen])
    found = view.query(state.sql(["object_id"], "ra", "dec"))["object_id"].to_pylist()
    assert set(found) == wanted
    assert 0 < len(found) <= len(points)


def test_sql_is_sorted_as_the_table_is_with_nulls_last(view):
    sql = State(x="a", y="b", sort="-hostgal_photoz").sql(["hostgal_photoz"], "ra", "dec")
    found = view.query(sql)["hostgal_photoz"].to_pylist()
    there = [value for value in found if value is not None]
    assert there == sorted(there, reverse=True)
    assert found[len(there) :] == [None] * (len(found) - len(there))


def test_a_name_with_quotes_stays_one_name():
    sql = State(x='a"; DROP TABLE catalog; --', y="b", xs=Span(0, 1)).sql(["x"], "ra", "dec")
    assert '"a""; DROP TABLE catalog; --" BETWEEN 0 AND 1' in sql


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(x0=st.floats(-180, 540), width=st.floats(0.1, 359), ra=degrees)
def test_a_box_drawn_anywhere_on_the_map_holds_the_right_ascensions_that_it_covers(x0, width, ra):
    box = sky_box(x0 + width, x0, -10, 10)
    covered = any(x0 < ra + turn < x0 + width for turn in (-360, 0, 360, 720))
    edge = min(abs((ra - side + 180) % 360 - 180) for side in (x0, x0 + width))
    inside = box.x0 <= ra <= box.x1 if box.x0 <= box.x1 else ra >= box.x0 or ra <= box.x1
    assert inside == covered or edge < 1e-3
