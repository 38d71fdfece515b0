"""Saved selections are SQL that runs, and pages that open again."""

from urllib.parse import parse_qsl

import pytest

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.explorer.saved import list_selections, load_selection, save_selection
from skyloom.explorer.state import Span, State


def test_a_saved_selection_runs_as_sql_and_opens_as_the_page_that_it_was(tmp_path, view):
    default = State(x="mwebv", y="hostgal_photoz")
    state = State(x="mwebv", y="hostgal_photoz", xs=Span(0.1, 0.2))
    sql = state.sql(["object_id"], "ra", "dec")
    path = save_selection(tmp_path / "kept", "dusty", state.to_query(default), sql, comment="how\nto run")
    assert view.query(path.read_text()).equals(view.query(sql))
    query = dict(parse_qsl(load_selection(tmp_path / "kept", "dusty")))
    names = ["mwebv", "hostgal_photoz"]
    assert State.of_query(query, numeric=names, columns=names, default=default) == state
    assert list_selections(tmp_path / "kept") == ("dusty",)


def test_a_selection_is_never_replaced(tmp_path):
    save_selection(tmp_path, "a", "", "SELECT 1")
    with pytest.raises(SpecError, match="already") as refused:
        save_selection(tmp_path, "a", "", "SELECT 2")
    assert refused.value.kind is ErrorKind.ALREADY_EXISTS
    assert "SELECT 1" in (tmp_path / "a.sql").read_text()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200, "a\nb", "-rf"])
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    for use in (lambda: save_selection(tmp_path, name, "", "SELECT 1"), lambda: load_selection(tmp_path, name)):
        with pytest.raises(SpecError) as refused:
            use()
        assert refused.value.kind is ErrorKind.BAD_NAME
    assert list(tmp_path.rglob("*")) == []


def test_a_file_that_no_page_saved_is_not_opened(tmp_path):
    (tmp_path / "mine.sql").write_text("SELECT 1")
    with pytest.raises(DataError, match="not saved by a page"):
        load_selection(tmp_path, "mine")
    with pytest.raises(DataError, match="no selection 'nothing'"):
        load_selection(tmp_path, "nothing")
