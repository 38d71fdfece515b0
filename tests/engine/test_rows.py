"""Digests of rows: of what they say, not of how Arrow holds it."""

import pyarrow as pa
import pytest

from skyloom.engine import rows_digest

LABELS = [["g", "r", "g"], [], None, ["i"]]
CODES = pa.dictionary(pa.int32(), pa.string())


def nested(labels: pa.Array) -> pa.Table:
    mjd = pa.array([[1.0, 2.0, 3.0], [], None, [4.0]])
    return pa.table({"lc": pa.StructArray.from_arrays([mjd, labels], names=["mjd", "band"])})


@pytest.mark.parametrize("wrap", [pa.list_, pa.large_list])
def test_codes_within_a_nested_column_have_the_digest_of_their_texts(wrap):
    texts = nested(pa.array(LABELS, wrap(pa.string())))
    assert rows_digest(nested(pa.array(LABELS, wrap(CODES))), ["lc"]) == rows_digest(texts, ["lc"])


def test_another_label_is_another_digest():
    other = [["g", "r", "r"], [], None, ["i"]]
    digests = {
        rows_digest(nested(pa.array(labels, pa.list_(CODES))), ["lc"])
        for labels in (LABELS, other, [None, *LABELS[1:]])
    }
    assert len(digests) == 3
