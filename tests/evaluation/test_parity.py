"""Columns are compared value by value, and what cannot be compared is an error, never a zero."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import DataError, SpecError
from skyloom.evaluation.parity import parity

TOLERANCE = {"p": 0.1, "word": 0.5, "spectrum": 0.1}


def columns(p=(0.1, None, 0.3, 0.4), word=("a", None, "b", "c"), third=(5.0, 6.0), flag=(0, 1, 0, 0)):
    spectrum = [[1.0, 2.0], None, list(third), [7.0, 8.0]]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(p, pa.float32()),
            pa.array(word),
            pa.array(spectrum, pa.list_(pa.float32())),
            pa.array(flag, pa.uint32()),
        ],
        names=["p", "word", "spectrum", "toy_flag"],
    )


def test_equal_columns_differ_by_nothing():
    assert [(each.measured, each.tolerated) for each in parity(columns(), columns(), TOLERANCE)] == [
        (0.0, True)
    ] * 3


def test_numbers_differ_by_their_largest_distance_and_words_by_the_share_of_rows():
    other = columns(p=(0.1, None, 0.35, 0.2), word=("a", None, "b", "x"), third=(5.0, 6.5))
    found = {each.column: each for each in parity(columns(), other, TOLERANCE)}
    np.testing.assert_allclose([found[name].measured for name in TOLERANCE], [0.2, 1 / 3, 0.5], rtol=1e-6)
    assert [found[name].tolerated for name in TOLERANCE] == [False, True, False]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (columns(flag=(0, 1, 0, 2)), "other flags"),
        (columns().slice(1), "of 3 rows"),
    ],
)
def test_what_cannot_be_compared_is_said(other, message):
    with pytest.raises(DataError, match=message):
        parity(columns(), other, TOLERANCE)


def test_nulls_in_other_rows_and_lists_of_other_lengths_are_infinitely_far():
    assert [each.measured for each in parity(columns(), columns(p=(0.1, 0.2, 0.3, 0.4)), TOLERANCE)] == [
        np.inf,
        0,
        0,
    ]
    assert [each.measured for each in parity(columns(), columns(third=(5.0,)), TOLERANCE)] == [0, 0, np.inf]


def test_a_column_without_a_tolerance_is_refused():
    with pytest.raises(SpecError, match="no tolerance of spectrum"):
        parity(columns(), columns(), {"p": 1.0, "word": 1.0})


def test_columns_of_nulls_prove_nothing():
    with pytest.raises(DataError, match="no row with a value"):
        parity(columns().slice(1, 1), columns().slice(1, 1), TOLERANCE)
