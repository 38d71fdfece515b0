"""Results written to files and read again."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.query import RESULT_FORMATS, write_result

ASTROPY = (".ecsv", ".vot", ".fits")


@pytest.fixture
def result():
    schema = pa.schema(
        [
            Column("object_id", dtype="int64", ucd="meta.id;meta.main", description="Row id").field(),
            Column("flux", "nJy", "Mean flux", ucd="phot.flux").field(),
            Column("n", dtype="uint16").field(),
            Column("tiny", dtype="int8").field(),
            Column("good", dtype="bool").field(),
            Column("name", dtype="string").field(),
        ]
    )
    big = 2**53 + 1
    columns = [
        pa.array([big, None, -big]),
        pa.array([1.5, None, np.nan], pa.float32()),
        pa.array([1, 65535, None], pa.uint16()),
        pa.array([-128, 127, 0], pa.int8()),
        pa.array([True, False, True]),
        pa.array(["=1+1", None, "naïve"]),
    ]
    return pa.table(columns, schema=schema)


def _read(path):
    from astropy.table import Table

    formats = {".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}
    return Table.read(path, format=formats[path.suffix])


@pytest.mark.parametrize("suffix", ASTROPY)
def test_values_nulls_units_and_descriptions_come_back(result, tmp_path, suffix):
    if suffix == ".fits":
        result = result.set_column(5, result.schema.field("name"), [["=1+1", None, "naive"]])
    write_result(result, tmp_path / f"r{suffix}")
    back = _read(tmp_path / f"r{suffix}")
    assert back["object_id"].dtype.kind == "i"
    assert back["object_id"][0] == 2**53 + 1
    assert np.ma.getmaskarray(np.ma.asarray(back["object_id"])).tolist() == [False, True, False]
    assert np.ma.getmaskarray(np.ma.asarray(back["n"])).tolist() == [False, False, True]
    assert back["n"][1] == 65535
    assert back["tiny"].tolist() == [-128, 127, 0]
    assert back["good"].tolist() == [True, False, True]
    assert str(back["flux"].unit) == "nJy"
    assert back["flux"][0] == 1.5
    assert np.ma.filled(np.ma.asarray(back["flux"]), np.nan)[1:].tolist() == pytest.approx(
        [np.nan] * 2, nan_ok=True
    )
    assert str(back["name"][0]) == "=1+1"


def test_fits_says_description_and_ucd_in_the_header(result, tmp_path):
    from astropy.io import fits

    write_result(result.drop(["name"]), tmp_path / "r.fits")
    header = fits.getheader(tmp_path / "r.fits", 1)
    assert header["TCOMM2"] == "Mean flux"
    assert header["TUCD1"] == "meta.id;meta.main"


def test_votable_says_description_and_ucd(result, tmp_path):
    write_result(result, tmp_path / "r.vot")
    text = (tmp_path / "r.vot").read_text()
    assert 'ucd="phot.flux"' in text
    assert "<DESCRIPTION>" in text
    assert "Mean flux" in text


def test_parquet_keeps_everything(sky, tmp_path):
    out = sky.query("select * from catalog")
    write_result(out, tmp_path / "r.parquet")
    back = pq.read_table(tmp_path / "r.parquet")
    assert back.to_pylist() == out.to_pylist()
    assert [f.metadata or {} for f in back.schema] == [f.metadata or {} for f in out.schema]
    assert back.schema.field("object_id").type == pa.uint64()


def test_csv_runs_no_formula(tmp_path):
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "plain", None, "a=b"]
    table = pa.table({"=name": texts, "x": range(-1, 7), "l": [[1.0, None]] * 8})
    write_result(table, tmp_path / "r.csv")
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == '"\'=name","x","l"'
    assert [line.split(",")[0] for line in lines[1:]] == [
        "\"'=1+1\"", "\"'+1\"", "\"'-1\"", "\"'@x\"", "\"'\tx\"", '"plain"', "", '"a=b"',
    ]  # fmt: skip
    assert ",-1," in lines[1]
    assert '"[1.0, null]"' in lines[1]


@pytest.mark.parametrize("suffix", ASTROPY)
def test_times_and_sums_are_written(tmp_path, suffix):
    table = pa.table(
        {
            "t": [datetime.datetime(2026, 1, 2, 3, 4, 5), None],
            "total": pa.array([12345678901, 2], pa.decimal128(38, 0)),
        }
    )
    write_result(table, tmp_path / f"r{suffix}")
    back = _read(tmp_path / f"r{suffix}")
    assert str(back["t"][0]) == "2026-01-02T03:04:05"
    assert back["total"].tolist() == [12345678901, 2]


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_large_unsigned_ids_are_exact(tmp_path, suffix):
    write_result(pa.table({"id": pa.array([2**64 - 2, 2**53 + 1], pa.uint64())}), tmp_path / f"r{suffix}")
    assert [int(v) for v in _read(tmp_path / f"r{suffix}")["id"]] == [2**64 - 2, 2**53 + 1]


def test_votable_refuses_ids_that_it_cannot_hold(tmp_path):
    with pytest.raises(SpecError, match="CAST"):
        write_result(pa.table({"id": pa.array([2**64 - 2], pa.uint64())}), tmp_path / "r.vot")
    write_result(pa.table({"id": pa.array([2**53 + 1], pa.uint64())}), tmp_path / "r.vot")
    assert _read(tmp_path / "r.vot")["id"].tolist() == [2**53 + 1]


@pytest.mark.parametrize("suffix", ASTROPY)
def test_nested_columns_are_refused_with_the_way_out(tmp_path, suffix):
    with pytest.raises(SpecError, match="unnest"):
        write_result(pa.table({"l": [[1.0]]}), tmp_path / f"r{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", RESULT_FORMATS)
def test_a_result_without_rows_is_a_file_without_rows(tmp_path, result, suffix):
    write_result(result.slice(0, 0), tmp_path / f"r{suffix}")
    assert (tmp_path / f"r{suffix}").stat().st_size > 0
    if suffix in ASTROPY:
        assert len(_read(tmp_path / f"r{suffix}")) == 0


def test_an_existing_file_stays_unless_asked(tmp_path, result):
    path = tmp_path / "r.csv"
    path.write_text("mine")
    with pytest.raises(SpecError) as caught:
        write_result(result, path)
    assert caught.value.kind is ErrorKind.ALREADY_EXISTS
    assert path.read_text() == "mine"
    write_result(result, path, overwrite=True)
    assert path.read_text() != "mine"


def test_an_unknown_format_lists_the_known(tmp_path, result):
    with pytest.raises(SpecError, match=r"\.fits"):
        write_result(result, tmp_path / "r.fit")


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(SpecError, match="AS"):
        write_result(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "r.csv")
