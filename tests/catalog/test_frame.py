"""The frame of a Parquet footer: the rows found in it are those that a parser finds."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.catalog.files import Footer, read_footer
from skyloom.catalog.frame import Frame
from skyloom.catalog.partition import Schemas

TYPES = [
    pa.int8(),
    pa.float64(),
    pa.string(),
    pa.bool_(),
    pa.timestamp("us", "UTC"),
    pa.decimal128(12, 3),
    pa.list_(pa.struct([("mjd", pa.float64()), ("band", pa.dictionary(pa.int8(), pa.string()))])),
    pa.list_(pa.float32(), 3),
]


def tail_of(path, schema, rows, **options):
    table = pa.table([pa.nulls(rows, field.type) for field in schema], schema=schema)
    pq.write_table(table, path, **options)
    return read_footer(str(path))


@settings(max_examples=30, deadline=None)
@given(
    types=st.lists(st.sampled_from(TYPES[:6]), min_size=1, max_size=20),
    rows=st.integers(0, 300),
    version=st.sampled_from(["1.0", "2.6"]),
)
def test_rows_are_those_of_the_parser(tmp_path_factory, types, rows, version):
    path = tmp_path_factory.mktemp("frame") / "x.parquet"
    footer = tail_of(path, pa.schema([(f"c{i}", t) for i, t in enumerate(types)]), rows, version=version)
    assert Frame.of(footer.tail).rows(footer.tail) == rows


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_files_of_one_schema_have_one_frame_whatever_their_rows(tmp_path, dtype):
    schema = pa.schema([pa.field("x", dtype)])
    few, many = (tail_of(tmp_path / f"{n}.parquet", schema, n, row_group_size=30_000) for n in (3, 70_000))
    assert Frame.of(few.tail) == Frame.of(many.tail)
    assert Frame.of(few.tail).rows(many.tail) == 70_000


def test_another_schema_has_another_frame(tmp_path):
    frame = Frame.of(tail_of(tmp_path / "a.parquet", pa.schema([("x", pa.int32())]), 5).tail)
    for other in (
        pa.schema([("x", pa.int64())]),
        pa.schema([("y", pa.int32())]),
        pa.schema([("x", pa.int32())] * 2),
    ):
        assert frame.rows(tail_of(tmp_path / "b.parquet", other, 5).tail) is None


@pytest.mark.parametrize("junk", [b"", b"\x15", b"\x15\x02\x19", b"\x15\x02\x19\xfc\xff\xff\xff\xff", b"PAR1" * 9])
def test_what_is_no_footer_has_no_frame(junk):
    assert Frame.of(junk) is None


def test_a_footer_is_parsed_once_for_all_that_are_framed_like_it(tmp_path, monkeypatch):
    schema, parsed = pa.schema([("x", pa.int32())]), []
    footers = [tail_of(tmp_path / f"{n}.parquet", schema, n) for n in (1, 200, 33)]
    own = Footer.metadata
    monkeypatch.setattr(Footer, "metadata", lambda self: parsed.append(self) or own(self))
    schemas = Schemas()
    assert [schemas.rows_of(footer) for footer in footers] == [1, 200, 33]
    assert len(parsed) == 1
    pq.write_table(pa.table({"x": np.zeros(4)}), tmp_path / "other.parquet")
    assert schemas.rows_of(read_footer(str(tmp_path / "other.parquet"))) == 4
    assert len(parsed) == 2
