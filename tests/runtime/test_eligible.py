"""A model never sees what is left out, and what it sees has the values that it has among all rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.columns import Column
from skyloom.runtime.contract import MODEL_ERROR, Flag, Inputs
from skyloom.runtime.eligible import null_rows, score_eligible
from skyloom.runtime.scoring import flag_column, layer_columns, score

REASONS = (Flag(23, "INELIGIBLE_1", "not eligible: x < 3"), Flag(22, "INELIGIBLE_2", "not eligible: y > 0"))
NEGATIVE = Flag(0, "NEGATIVE", "x is below zero")


class Root:
    """The square root of x, which raises on 7 and remembers what it saw."""

    NAME = "root"
    FLAGS = (NEGATIVE,)

    def __init__(self):
        self.seen = []

    def reads(self, config):
        return (Column("x", "*", "a number", "float64"),)

    def writes(self, config):
        return (
            Column("root", "{x}0.5", "its root", "float32", "stat.value"),
            Column("word", "", "odd or even", "string", "meta.code"),
        )

    def inputs(self, config, rows):
        x = rows.column("x").to_numpy(zero_copy_only=False)
        self.seen += x.tolist()
        good = x >= 0
        return Inputs({"x": x[good]}, np.where(good, 0, NEGATIVE.mask).astype(np.uint32), good)

    def predict(self, estimator, arrays):
        if 7 in arrays["x"]:
            raise ValueError("no root of 7")
        return {
            "root": np.sqrt(arrays["x"]).astype(np.float32),
            "word": np.where(arrays["x"] % 2, "odd", "even"),
        }


def rows(x):
    schema = pa.schema([pa.field("x", pa.float64(), metadata={"unit": "m"})])
    return pa.RecordBatch.from_arrays([pa.array(np.asarray(x, dtype=float))], schema=schema)


def scored(system, x, skipped, batch_rows=3):
    bits = np.asarray(skipped, dtype=np.uint32)
    return score_eligible(
        system, None, {}, rows(x), skipped=bits, reasons=REASONS, layer="my-layer", batch_rows=batch_rows
    )


def test_rows_left_out_are_null_with_their_bits_and_were_never_seen():
    system = Root()
    skipped = [0, 1 << 23, 0, 1 << 22, (1 << 22) | (1 << 23), 0]
    out, faults = scored(system, [4, 9, -1, 16, 25, 36], skipped)
    assert out["root"].to_pylist() == [2, None, None, None, None, 6]
    assert out["word"].to_pylist() == ["even", None, None, None, None, "even"]
    assert out["my_layer_eligible"].to_pylist() == [True, False, True, False, False, True]
    assert out["my_layer_flag"].to_pylist() == [0, 1 << 23, 1, 1 << 22, (1 << 22) | (1 << 23), 0]
    assert system.seen == [4, -1, 36]
    assert faults == []
    assert Column.of_field(out.schema.field("root")).unit == "m0.5"


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_eligible_rows_have_the_values_that_they_have_among_all_rows(batch_rows):
    x = np.arange(6.0)
    plain, _ = score(Root(), None, {}, rows(x), layer="my-layer", batch_rows=3)
    for skipped in ([0] * 6, [0, 1 << 23] * 3, [1 << 23] * 6):
        out, _ = scored(Root(), x, skipped, batch_rows)
        kept = pa.array(np.flatnonzero(np.array(skipped) == 0))
        for name in ("root", "word", "my_layer_flag"):
            assert out[name].take(kept).equals(plain[name].take(kept))


def test_a_row_that_raises_is_counted_among_all_rows():
    out, faults = scored(Root(), [1, 4, 7, 9], [1 << 23, 0, 0, 0])
    assert [(fault.row, fault.cause) for fault in faults] == [(2, "ValueError")]
    assert out["my_layer_flag"].to_pylist() == [1 << 23, 0, MODEL_ERROR.mask, 0]
    assert out["my_layer_eligible"].to_pylist() == [False, True, True, True]


def test_no_rows_and_rows_of_nulls_have_the_declared_columns():
    declared = [c.name for c in layer_columns(Root(), {}, layer="my-layer", reasons=REASONS)]
    assert declared == ["root", "word", "my_layer_eligible", "my_layer_flag"]
    out, _ = scored(Root(), [], [])
    assert (out.num_rows, out.schema.names) == (0, declared)
    nulls = null_rows(Root(), {}, np.array([0, 1 << 22], np.uint32), layer="my-layer", reasons=REASONS)
    assert nulls.schema.names == declared
    assert nulls.schema.types == out.schema.types
    assert nulls["my_layer_eligible"].to_pylist() == [True, False]
    assert null_rows(Root(), {}, np.zeros(2, np.uint32), layer="my-layer").schema.names == [
        "root",
        "word",
        "my_layer_flag",
    ]


def test_the_flag_column_spells_the_criteria_and_is_as_before_without_any():
    spelt = flag_column(Root(), "my-layer", reasons=REASONS).description
    assert f"INELIGIBLE_1={1 << 23} (not eligible: x < 3)" in spelt
    assert "INELIGIBLE" not in flag_column(Root(), "my-layer").description
