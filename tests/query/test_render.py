"""Results shown to people and to programs."""

from __future__ import annotations

import datetime
import decimal
import io
import json

import pyarrow as pa
import pytest

from skyloom.columns import Column
from skyloom.query.render import render, to_json_rows


def _shown(table, max_rows=20):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    console.print(render(table, max_rows))
    return console.file.getvalue()


def test_types_and_units_stand_under_the_names():
    schema = pa.schema([Column("flux", "nJy").field(), Column("name", dtype="string").field()])
    text = _shown(pa.table([pa.array([1.5], pa.float32()), ["a"]], schema=schema))
    lines = text.splitlines()
    assert "flux" in lines[1]
    assert "float [nJy]" in lines[2]
    assert "string" in lines[2]


def test_markup_and_control_characters_of_the_data_do_nothing():
    evil = "[bold red]x[/] \x1b[2J\x07\x9b31m\u202egnp.\u2028\r\n"
    table = pa.table({evil: [evil], "n": [[evil]], "s": [{evil: evil}]})
    text = _shown(table)
    assert "[bold red]x[/]" in text
    for char in ("\x1b[2J", "\x07", "\x9b", "\u202e", "\u2028", "\r"):
        assert char not in text


def test_only_the_first_rows_are_shown_and_all_are_counted():
    text = _shown(pa.table({"i": range(1000)}), max_rows=3)
    assert "first 3 of 1,000 rows" in text
    assert "│    3│" not in text
    assert "│    2│" in text


def test_long_lists_and_texts_are_cut():
    text = _shown(pa.table({"l": [list(range(500))], "t": ["x" * 500]}))
    assert "[0, 1, 2, … 500]" in text
    assert "x" * 49 not in text


def test_json_rows_are_exact_and_valid():
    table = pa.table(
        {
            "id": pa.array([2**64 - 1, None], pa.uint64()),
            "x": [float("nan"), float("inf")],
            "t": [datetime.datetime(2026, 1, 2, 3, 4, 5), None],
            "d": [decimal.Decimal(2**80), None],
            "b": [b"\x00\xff", None],
            "l": [[1.0, float("nan")], []],
        }
    )
    rows = json.loads(json.dumps(to_json_rows(table), allow_nan=False))
    assert rows[0] == {
        "id": 2**64 - 1, "x": None, "t": "2026-01-02T03:04:05", "d": 2**80, "b": "00ff", "l": [1.0, None],
    }  # fmt: skip
    assert rows[1] == {"id": None, "x": None, "t": None, "d": None, "b": None, "l": []}


def test_json_rows_keep_columns_of_one_name():
    assert to_json_rows(pa.table([[1], [2], [3]], names=["a", "a", "a_2"])) == [{"a": 1, "a_2": 2, "a_2_2": 3}]


@pytest.mark.parametrize("rows", [0, 5])
def test_a_result_of_a_query_renders(sky, rows):
    out = sky.query(f"select * from catalog limit {rows}")
    assert "object_id" in _shown(out)
    assert len(to_json_rows(out)) == rows
