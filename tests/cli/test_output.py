import json

import pytest

from skyloom.cli import output
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, SpecError


def test_a_table_in_a_pipe_is_plain_aligned_text(capsys):
    output.show_table([{"object_id": 615, "class": "RRL"}, {"object_id": 713, "class": "AGN"}])
    assert capsys.readouterr().out == "object_id  class\n      615  RRL\n      713  AGN\n"


def test_a_table_without_rows_says_so_instead_of_nothing(capsys):
    output.show_table([], columns=("layer", "rows"))
    assert capsys.readouterr().out == "(none)\n"


def test_json_has_exact_integers_and_null_for_nan(capsys):
    big = 2**63 + 3
    output.show_table([{"id": big, "score": float("nan"), "lc": [1.0, float("inf")]}], as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"id": big, "score": None, "lc": [1.0, None]}]


def test_json_without_rows_is_an_empty_list(capsys):
    output.show_table([], columns=("layer",), as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_text_from_a_catalog_cannot_drive_the_terminal(capsys):
    output.show_table([{"name": "\x1b[31m[bold]V* S And\x07"}])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold]V* S And" in out


def test_ids_are_printed_in_full_and_counts_with_commas(capsys):
    assert output.cell(4111686018427387904) == "4111686018427387904"
    output.show_record({"rows": 1933544})
    assert capsys.readouterr().out == "rows  1,933,544\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError("x", kind=ErrorKind.UNKNOWN_COLUMN), 2),
        (NotFoundError("x", kind=ErrorKind.NOT_A_CATALOG), 2),
        (DataError("x", kind=ErrorKind.BAD_FILE), 1),
        (ConflictError("x", kind=ErrorKind.SNAPSHOT_CHANGED), 1),
        (DataError("x", kind=ErrorKind.TOO_MANY_BAD_ROWS), 3),
    ],
)
def test_the_exit_code_says_what_the_reader_does_next(error, code):
    assert output.exit_code(error) == code


def test_an_error_goes_to_stderr_with_its_kind_and_no_traceback(capsys):
    output.show_error(SpecError("no column 'fluxx'; did you mean 'flux'?", kind=ErrorKind.UNKNOWN_COLUMN))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error [unknown-column]: no column 'fluxx'; did you mean 'flux'?\n"
