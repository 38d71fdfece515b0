"""Foreign formats become Arrow without losing a digit, a null or a name."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from skyloom.catalog.readers import arrow_of_astropy, read_tables
from skyloom.catalog.spec import ColumnSpec, TableSpec
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError

IDS = [2**53 + 1, 2**53 + 2, 2**63 + 11, 2**64 - 1]


def read(path, columns=None, **settings):
    pieces = [t for _, t in read_tables(TableSpec(files=(str(path),), **settings), columns)]
    return pa.concat_tables(pieces)


@pytest.fixture
def table():
    return Table(
        {
            "id": np.array(IDS, np.uint64),
            "ra": np.array([1.5, 2.5, 3.5, 4.5]),
            "mag": MaskedColumn(np.array([17.5, 99, 18.5, 19.5], np.float32), mask=[0, 1, 0, 0], unit="mag"),
            "n": MaskedColumn(np.array([1, 2, 999999, 4], np.int32), mask=[0, 0, 1, 0]),
            "name": np.array(["a", "bb", "Hložek", "d"]),
            "good": np.array([True, False, True, True]),
        }
    )


@pytest.mark.parametrize("ending", ["ecsv", "vot", "fits"])
def test_masks_ids_text_and_units_survive_each_format(table, tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    if ending == "fits":
        table["name"][2] = "Hlozek"  # FITS text is ASCII
        table["n"].fill_value = -1
    if ending == "vot":
        table["id"] = table["id"].astype(np.int64)  # VOTable 1.x has no unsigned 64-bit integers
    table.write(path, format={"ecsv": "ascii.ecsv", "vot": "votable", "fits": "fits"}[ending])
    found = read(path)
    assert found["mag"].to_pylist() == [17.5, None, 18.5, 19.5]
    assert found["n"].to_pylist() == [1, 2, None, 4]
    assert found["name"].to_pylist() == list(table["name"])
    assert found["good"].to_pylist() == [True, False, True, True]
    assert found.schema.field("mag").metadata[b"unit"] == b"mag"
    if ending != "vot":
        assert found["id"].to_pylist() == IDS
        assert found.schema.field("id").type == pa.uint64()


def test_big_endian_fits_with_bytes_and_vectors_becomes_native(tmp_path):
    columns = [
        fits.Column("x", "D", array=np.array([1.25, -2.5], ">f8"), unit="deg"),
        fits.Column("k", "K", array=np.array([2**53 + 1, -5], ">i8")),
        fits.Column("s", "6A", array=np.array([b"ab", b"c"])),
        fits.Column("v", "3E", array=np.arange(6, dtype=">f4").reshape(2, 3)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "big.fits")
    found = read(tmp_path / "big.fits")
    assert found["x"].to_pylist() == [1.25, -2.5]
    assert found["k"].to_pylist() == [2**53 + 1, -5]
    assert found["s"].to_pylist() == ["ab", "c"]
    assert found["v"].to_pylist() == [[0, 1, 2], [3, 4, 5]]


def test_a_named_fits_extension_is_read(tmp_path):
    tables = [Table({"a": [1]}), Table({"b": [2]})]
    hdus = [fits.PrimaryHDU(), *(fits.table_to_hdu(t) for t in tables)]
    hdus[2].name = "SECOND"
    fits.HDUList(hdus).writeto(tmp_path / "two.fits")
    assert read(tmp_path / "two.fits", hdu="SECOND").column_names == ["b"]


def test_csv_integers_above_2_to_the_63_stay_exact(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "".join(f"{i},{n}.5\n" for n, i in enumerate(IDS)))
    found = read(path)
    assert found["id"].to_pylist() == IDS
    assert found["x"].to_pylist() == [0.5, 1.5, 2.5, 3.5]


def test_csv_types_are_those_of_the_whole_column(tmp_path):
    rows = [f"{n},{n},00{n},{str(n % 2 == 0).lower()},{'' if n else 7}" for n in range(200_000)]
    rows[-1] = "199999.5,x,001,true,"
    path = tmp_path / "t.csv"
    path.write_text("a,b,c,d,e\n" + "\n".join(rows) + "\n")
    found = read(path)
    types = [str(field.type) for field in found.schema]
    assert types == ["double", "string", "string", "bool", "int64"]
    assert found["c"][5].as_py() == "005"
    assert found["e"].null_count == 199_999


def test_csv_text_that_means_missing_is_null_before_numbers_are_read(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("# made by hand\nmag\tband\n17.5\tg\n--\tr\n")
    column = ColumnSpec(null_values=("--",), dtype="float32")
    assert read(path, comment="#")["mag"].to_pylist() == ["17.5", "--"]
    spec = TableSpec(files=(str(path),), comment="#", columns={"mag": column})
    (piece,) = [t for _, t in read_tables(spec, None)]
    assert piece["mag"].to_pylist() == [17.5, None]


def test_only_the_columns_asked_for_are_read(table, tmp_path):
    for ending, form in (("fits", "fits"), ("ecsv", "ascii.ecsv"), ("csv", "ascii.csv")):
        table[["id", "ra"]].write(tmp_path / f"t.{ending}", format=form)
        assert read(tmp_path / f"t.{ending}", ["ra"]).column_names == ["ra"]


@pytest.mark.parametrize("ending", ["parquet", "fits", "ecsv", "vot", "csv"])
def test_a_broken_file_is_named(tmp_path, ending):
    path = tmp_path / f"broken.{ending}"
    path.write_bytes(b"\x00\x01 not a table \xff" * 30 if ending != "csv" else b"a,b\n1,2\n1,2,3\n")
    with pytest.raises(DataError, match=r"broken\.") as caught:
        read(path)
    assert caught.value.kind is ErrorKind.BAD_FILE


def test_many_files_come_in_the_order_of_their_names(tmp_path):
    for n in (2, 0, 1):
        pq.write_table(pa.table({"n": [n]}), tmp_path / f"part{n}.parquet")
    assert read(tmp_path / "part*.parquet")["n"].to_pylist() == [0, 1, 2]


def test_a_pattern_without_files_and_an_ending_without_format_are_refused(tmp_path):
    with pytest.raises(NotFoundError, match="no file matches"):
        read(tmp_path / "*.fits")
    (tmp_path / "table.dat").write_text("1 2")
    with pytest.raises(SpecError, match="format"):
        read(tmp_path / "table.dat")


def test_complex_numbers_are_refused_by_column():
    with pytest.raises(DataError, match="'z'"):
        arrow_of_astropy(Table({"z": np.array([1j])})["z"])
