"""Every row comes out, in order, with values or with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skyloom.columns import ANY_UNIT, Column
from skyloom.errors import DataError, ErrorKind, RowError, SpecError
from skyloom.runtime.contract import MODEL_ERROR, NON_FINITE_OUTPUT, Flag, Inputs, Lists
from skyloom.runtime.scoring import flag_column, layer_columns, score

NEGATIVE = Flag(0, "NEGATIVE", "x is below zero")


@dataclass
class Root:
    """A stub system: the square root of x, which raises on the rows it is told to."""

    raises_on: tuple[float, ...] = ()
    error: type[Exception] = ValueError
    in_inputs: bool = False
    output: Any = None
    NAME: str = "root"
    Config: type = dict
    FLAGS: tuple[Flag, ...] = (NEGATIVE,)
    seen: list[int] = field(default_factory=list)

    def reads(self, config):
        return (Column("x", ANY_UNIT, "a number", "float64"),)

    def writes(self, config):
        return (
            Column("root", "{x}0.5", "its root", "float32", "stat.value"),
            Column("word", "", "odd or even", "string", "meta.code"),
        )

    def build(self, config, weights=None):
        return None

    def _complain(self, x):
        for value in self.raises_on:
            if value in x:
                raise self.error(f"no root of {value}")

    def inputs(self, config, rows):
        x = rows.column("x").to_numpy(zero_copy_only=False)
        if self.in_inputs:
            self._complain(x)
        scorable = ~(x < 0)
        return Inputs({"x": x[scorable]}, np.where(scorable, 0, NEGATIVE.mask).astype(np.uint32), scorable)

    def predict(self, estimator, arrays):
        x = arrays["x"]
        self.seen.append(len(x))
        if not self.in_inputs:
            self._complain(x)
        if self.output is not None:
            return self.output(x)
        return {"root": np.sqrt(x).astype(np.float32), "word": np.where(x % 2, "odd", "even")}


def rows(x, unit="m"):
    schema = pa.schema([pa.field("x", pa.float64(), metadata={"unit": unit})])
    return pa.RecordBatch.from_arrays([pa.array(np.asarray(x, dtype=float))], schema=schema)


def scored(system, x, batch_rows=4):
    return score(system, None, {}, rows(x), layer="my-layer", batch_rows=batch_rows)


def test_rows_come_out_in_order_with_flags_for_nulls():
    out, faults = scored(Root(), [4.0, -1.0, 9.0, 16.0, -2.0, 25.0])
    assert out.column("root").to_pylist() == [2, None, 3, 4, None, 5]
    assert out.column("word").to_pylist() == ["even", None, "odd", "even", None, "odd"]
    assert out.column("my_layer_flag").to_pylist() == [0, 1, 0, 0, 1, 0]
    assert out.schema.field("my_layer_flag").type == pa.uint32()
    assert faults == []


def test_units_of_the_rows_reach_the_columns():
    out, _ = scored(Root(), [4.0])
    assert Column.of_field(out.schema.field("root")).unit == "m0.5"
    assert layer_columns(Root(), {}, layer="l")[0].unit == "0.5"


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_batch_rows_change_no_value(batch_rows):
    x = np.arange(-5.0, 20.0)
    assert scored(Root(), x, batch_rows)[0].equals(scored(Root(), x)[0])


@pytest.mark.parametrize("in_inputs", [True, False])
@pytest.mark.parametrize("bad", [(3.0,), (0.0, 18.0), (7.0, 8.0), tuple(np.arange(19.0))])
@pytest.mark.parametrize("batch_rows", [1, 8, 100])
def test_a_model_that_raises_loses_only_the_rows_it_raises_on(in_inputs, bad, batch_rows):
    out, faults = scored(Root(raises_on=bad, in_inputs=in_inputs), np.arange(19.0), batch_rows)
    assert [fault.row for fault in faults] == list(bad)
    assert {fault.cause for fault in faults} == {"ValueError"}
    assert faults[0].message == f"no root of {bad[0]}"
    flag = out.column("my_layer_flag").to_numpy()
    assert np.flatnonzero(flag & MODEL_ERROR.mask).tolist() == list(bad)
    assert [out.column("root")[i].is_valid for i in range(19)] == [i not in bad for i in range(19)]


def test_finding_one_bad_row_takes_few_calls():
    system = Root(raises_on=(517.0,))
    scored(system, np.arange(1024.0), 1024)
    assert len(system.seen) <= 2 * 10 + 1


def test_a_row_error_is_a_fault_of_its_row():
    class Own(RowError):
        def __init__(self, message):
            super().__init__(message, kind=ErrorKind.BAD_ROW)

    assert [f.row for f in scored(Root(raises_on=(2.0,), error=Own), np.arange(4.0))[1]] == [2]


@pytest.mark.parametrize("error", [MemoryError, ImportError, KeyboardInterrupt])
def test_what_is_no_fault_of_a_row_is_not_swallowed(error):
    with pytest.raises(error):
        scored(Root(raises_on=(2.0,), error=error), np.arange(4.0))


def test_a_value_that_is_not_finite_is_null_and_flagged():
    def output(x):
        root = np.sqrt(x).astype(np.float32)
        return {"root": np.where(x == 4, np.inf, np.where(x == 9, np.nan, root)), "word": np.full(len(x), "w")}

    out, _ = scored(Root(output=output), [1.0, 4.0, -1.0, 9.0])
    assert out.column("root").to_pylist() == [1, None, None, None]
    assert out.column("my_layer_flag").to_pylist() == [0, NON_FINITE_OUTPUT.mask, 1, NON_FINITE_OUTPUT.mask]
    assert out.column("word").to_pylist() == ["w", "w", None, "w"]


def test_a_masked_value_is_null_on_purpose_and_not_flagged():
    def output(x):
        return {
            "root": np.ma.MaskedArray(np.full(len(x), np.nan, np.float32), x > 1),
            "word": np.full(len(x), "w"),
        }

    out, _ = scored(Root(output=output), [4.0, 1.0])
    assert out.column("root").null_count == 2
    assert out.column("my_layer_flag").to_pylist() == [0, NON_FINITE_OUTPUT.mask]


WORD = {"word": np.array(["a", "b"])}


@pytest.mark.parametrize(
    "output",
    [
        {**WORD, "root": np.zeros(2)},  # float64 where float32 is declared
        {**WORD, "root": np.zeros(3, np.float32)},
        {**WORD, "root": np.zeros((2, 1), np.float32)},
        {**WORD, "root": np.zeros(2, np.int32)},
        {"word": np.zeros(2, np.float32), "root": np.zeros(2, np.float32)},
        {"root": np.zeros(2, np.float32)},
        {**WORD, "root": np.zeros(2, np.float32), "more": np.zeros(2)},
    ],
)
def test_output_that_breaks_the_declaration_is_refused(output):
    with pytest.raises(DataError, match="root") as caught:
        scored(Root(output=lambda x: output), [1.0, 2.0])
    assert caught.value.kind == ErrorKind.MODEL_OUTPUT


def test_a_row_left_out_without_a_flag_is_refused():
    class Mute(Root):
        def inputs(self, config, rows):
            made = super().inputs(config, rows)
            return Inputs(made.arrays, np.zeros_like(made.flag), made.scorable)

    with pytest.raises(DataError, match="no flag"):
        scored(Mute(), [1.0, -1.0])


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="reads x"):
        score(Root(), None, {}, rows([1.0]).rename_columns(["y"]), layer="l", batch_rows=1)


def test_no_rows_give_an_empty_batch_of_the_right_schema():
    out, _ = scored(Root(), [])
    assert out.num_rows == 0
    assert out.schema.equals(scored(Root(), [1.0])[0].schema)


def test_batch_rows_must_be_positive():
    with pytest.raises(SpecError, match="batch_rows"):
        scored(Root(), [1.0], 0)


def test_the_flag_column_spells_its_bits():
    column = flag_column(Root(), "my-layer")
    assert column.name == "my_layer_flag"
    assert "NEGATIVE=1" in column.description
    assert f"MODEL_ERROR={MODEL_ERROR.mask}" in column.description


@dataclass
class Divisors(Root):
    """A stub system with a column of lists: the numbers up to x."""

    output: Any = None

    def writes(self, config):
        return (Column("upto", "", "numbers up to x", "list<float>", "meta.number"),)

    def predict(self, estimator, arrays):
        return {"upto": self.output or Lists.of([np.arange(1.0, x + 1.0) for x in arrays["x"]], np.float32)}


def lists(x, output=None, batch_rows=2):
    rows = pa.RecordBatch.from_pydict({"x": pa.array(x, pa.float64())})
    return score(Divisors(output=output), None, {}, rows, layer="root", batch_rows=batch_rows)[0]


@pytest.mark.parametrize("batch_rows", [1, 2, 5])
def test_a_column_of_lists_is_null_where_a_row_is_not_scorable_and_empty_where_there_is_nothing(batch_rows):
    out = lists([2.0, -1.0, 0.0, 3.0, -2.0], batch_rows=batch_rows)
    assert out["upto"].to_pylist() == [[1.0, 2.0], None, [], [1.0, 2.0, 3.0], None]
    assert out["root_flag"].to_pylist() == [0, 1, 0, 0, 1]


def test_a_list_may_have_holes_and_an_infinite_element_is_one_with_a_flag():
    output = Lists(np.array([0, 2, 4]), np.array([1.0, np.nan, np.inf, 2.0], dtype=np.float32))
    out = lists([1.0, 2.0], output)
    assert out["upto"].to_pylist() == [[1.0, None], [None, 2.0]]
    assert out["root_flag"].to_pylist() == [0, NON_FINITE_OUTPUT.mask]


@pytest.mark.parametrize(
    "output",
    [
        Lists(np.array([0, 1]), np.ones(1, np.float32)),
        Lists(np.array([0, 1, 3]), np.ones(2, np.float32)),
        Lists(np.array([0, 2, 1]), np.ones(1, np.float32)),
        Lists(np.array([0, 1, 2]), np.ones(2, np.float64)),
    ],
)
def test_lists_that_do_not_fit_the_rows_or_the_type_break_the_contract(output):
    with pytest.raises(DataError) as caught:
        lists([1.0, 2.0], output)
    assert caught.value.kind is ErrorKind.MODEL_OUTPUT


def test_rows_of_another_unit_are_declared_anew():
    system, config = Root(), {}
    units = [
        score(system, None, config, rows([4.0], unit), layer="l", batch_rows=4)[0].schema.field("root").metadata
        for unit in ("m", "s", "m")
    ]
    assert units[0] == units[2] != units[1]
