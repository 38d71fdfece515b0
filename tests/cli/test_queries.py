import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skyloom.jobs
from skyloom.cli import main
from skyloom.query import Limits, write_result

SAID = {"sql": "select 1", "first": 51, "unnest": ["lc"]}
TABLE = pa.table(
    {"object_id": pa.array([2**53 + 1, 2**53 + 3]), "p": [0.25, None]},
    schema=pa.schema([pa.field("object_id", pa.int64()), pa.field("p", pa.float64(), metadata={"unit": "d"})]),
)


class FakeView:
    """Stands for a catalog; remembers what it was asked."""

    def __init__(self):
        self.asked = {}

    def with_layers(self, *names, store=None):
        self.asked.update(layers=names, store=store)
        return self

    def query(self, sql, *, first, unnest, limits, **_):
        self.limits = limits
        self.asked.update(sql=sql, first=first, unnest=unnest)
        return TABLE.slice(0, first)

    def query_to(self, path, sql, *, overwrite, limits, **_):
        self.limits = limits
        self.asked["sql"] = sql
        write_result(TABLE, path, overwrite=overwrite)
        return TABLE.num_rows


@pytest.fixture
def view(monkeypatch):
    fake = FakeView()
    opened = lambda location: fake.asked.update(catalog=location) or fake  # noqa: E731
    monkeypatch.setattr(skyloom.jobs, "open_catalog", opened, raising=False)
    return fake


def test_a_query_passes_on_what_it_was_told_and_prints_plain_rows(view, capsys):
    words = ["--catalog", "plasticc", "--layers", "a, b-c", "--store", "out", "--unnest", "lc"]
    code = main(["query", "select 1", *words])
    assert code == 0
    assert view.asked == {"catalog": "plasticc", "layers": ("a", "b-c"), "store": "out", **SAID}
    assert capsys.readouterr().out == "       object_id     p\n9007199254740993  0.25\n9007199254740995\n"


def test_a_terminal_shows_type_and_unit_under_each_name(view, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["query", "select 1", "--catalog", "c", "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert "double [d]" in captured.out
    assert "int64" in captured.out
    assert str(2**53 + 1) in captured.out
    assert str(2**53 + 3) not in captured.out


def test_limits_of_the_command_are_limits_of_the_query(view, tmp_path):
    words = ["--max-seconds", "7", "--max-memory", "300000000"]
    assert main(["query", "select 1", "--catalog", "c", *words]) == 0
    assert view.limits == Limits(memory_bytes=300_000_000, wall_s=7.0)
    assert main(["query", "select 1", "--catalog", "c", *words, "--output", str(tmp_path / "r.csv")]) == 0
    assert (view.limits.max_rows, view.limits.wall_s) == (100_000_000, 7.0)
    output = ["--output", str(tmp_path / "r.fits"), "--max-rows", "9"]
    assert main(["query", "select 1", "--catalog", "c", *output]) == 0
    assert view.limits == Limits(max_rows=9)


def test_json_keeps_ids_exact_and_nulls(view, capsys):
    assert main(["query", "select 1", "--catalog", "c", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"object_id": 2**53 + 1, "p": 0.25},
        {"object_id": 2**53 + 3, "p": None},
    ]


def test_a_limit_says_what_it_left_out(view, capsys):
    assert main(["query", "select 1", "--catalog", "c", "--limit", "1"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "the first 1 rows; there are more" in captured.err


@pytest.mark.parametrize("name", ["result.parquet", "result.csv"])
def test_output_keeps_every_row_whatever_the_limit(view, tmp_path, name):
    path = tmp_path / name
    assert main(["query", "select 1", "--catalog", "c", "--limit", "1", "--output", str(path)]) == 0
    read = pq.read_table(path) if path.suffix == ".parquet" else pa.csv.read_csv(path)
    assert read["object_id"].to_pylist() == TABLE["object_id"].to_pylist()


def test_an_unknown_output_format_is_refused_before_the_query_runs(view, tmp_path, capsys):
    assert main(["query", "select 1", "--catalog", "c", "--output", str(tmp_path / "result.parqet")]) == 2
    assert "'.parquet'" in capsys.readouterr().err
    assert view.asked == {}


def test_an_existing_file_is_replaced_only_when_asked(view, tmp_path, capsys):
    path = tmp_path / "result.parquet"
    path.write_bytes(b"mine")
    command = ["query", "select 1", "--catalog", "c", "--output", str(path)]
    assert main(command) == 2
    assert path.read_bytes() == b"mine"
    assert view.asked == {}
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert pq.read_table(path).equals(TABLE)
