"""Each rule of the contract catches the system that breaks it, and passes the one that does not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from skyloom.columns import ANY_UNIT, Column, schema_of
from skyloom.errors import ErrorKind, RowError
from skyloom.evaluation.contract import CARD_RULES, RULES
from skyloom.evaluation.examples import example_rows, filled
from skyloom.models.card import Card, Domain, Input, Subgroup
from skyloom.runtime.contract import Flag, Inputs
from skyloom.runtime.scoring import layer_columns, score
from skyloom.runtime.tensors import TensorInput

NOTHING = Flag(0, "NOTHING", "x is no finite number")


@dataclass
class Square:
    """A system that keeps the contract, and in `spoilt` ways does not."""

    spoilt: str = ""
    NAME: str = "square"
    Config: type = dict
    FLAGS: tuple[Flag, ...] = (NOTHING,)

    def reads(self, config):
        return (Column("x", ANY_UNIT, "a number", "float64"),)

    def writes(self, config):
        return (Column("square", "", "" if self.spoilt == "mute" else "its square", "float64", "stat.value"),)

    def tensors(self, config):
        return (TensorInput("cutout", (1, 8, 8), "nJy"),)

    def inputs(self, config, rows):
        x = rows.column("x").to_numpy(zero_copy_only=False)
        good = np.isfinite(x) if self.spoilt not in {"takes infinities", "takes NaN"} else ~np.isinf(x)
        if self.spoilt == "takes infinities":
            good, x = ~np.isnan(x), np.where(np.isinf(x), 1.0, x)
        if self.spoilt == "takes NaN":
            x = np.nan_to_num(x)
        if self.spoilt == "raises on NaN" and np.isnan(x).any():
            raise ValueError("NaN")
        return Inputs({"x": x[good]}, np.where(good, 0, NOTHING.mask).astype(np.uint32), good)

    def predict(self, estimator, arrays):
        x = arrays["x"]
        if self.spoilt == "batch statistics":
            x = x - x.mean()
        if self.spoilt == "first of its batch":
            x = np.where(np.arange(len(x)) == 0, 0.0, x)
        if self.spoilt == "batch size":
            x = x + len(x)
        return {"square": x**2}


def broken(system):
    """Return the rules that a system breaks."""
    rows = example_rows(system, {}, 12)

    def scored(rows, batch_rows=12):
        out, faults = score(system, None, {}, rows, layer="toy", batch_rows=batch_rows)
        if faults:
            raise RowError("raised", kind=ErrorKind.BAD_ROW)
        return out

    declared = schema_of(layer_columns(system, {}, layer="toy"))
    found = set()
    for rule, holds in RULES.items():
        try:
            if not holds(scored, rows, declared):
                found.add(rule)
        except RowError:
            found.add(rule)
    return found


def test_a_system_that_keeps_the_contract_breaks_no_rule():
    assert broken(Square()) == set()


@pytest.mark.parametrize(
    ("spoilt", "rule"),
    [
        ("mute", "describes every column and gives its UCD"),
        ("batch statistics", "gives a row the same values alone and among others"),
        ("batch statistics", "gives the same values in any partitioning"),
        ("batch size", "gives the same values for any batch size"),
        ("batch size", "gives the same values in any partitioning"),
        ("first of its batch", "gives the same values in any order"),
        ("first of its batch", "gives the same values in any partitioning"),
        ("batch statistics", "lets a row of NaN change no other row"),
        ("takes infinities", "flags a row of NaN or infinite numbers, with nulls"),
        ("takes NaN", "flags a row of NaN or infinite numbers, with nulls"),
        ("raises on NaN", "flags a row of NaN or infinite numbers, with nulls"),
        ("raises on NaN", "lets a row of NaN change no other row"),
    ],
)
def test_a_rule_catches_the_system_that_breaks_it(spoilt, rule):
    system = Square(spoilt)
    if (spoilt, rule) == ("batch statistics", "lets a row of NaN change no other row"):
        # NaN rows that reach the batch's mean.
        system = Square("takes NaN")
        system.predict = lambda estimator, arrays: {"square": (arrays["x"] - arrays["x"].mean()) ** 2}
    assert rule in broken(system)


def test_filling_reaches_lists_and_tensors_and_keeps_nulls_types_and_counts():
    lists = pa.array([[1.0, 2.0], None, [], [3.0]], pa.list_(pa.float32()))
    bands = pa.array([["g", "r"], None, [], ["i"]])
    cube = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(16, dtype=np.float32).reshape(4, 2, 2))
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array([1.0, None, 3.0, 4.0]),
            pa.array([1, 2, 3, None]),
            pa.StructArray.from_arrays([lists, bands], names=["flux", "band"]),
            cube,
        ],
        names=["x", "n", "lc", "cutout"],
    )
    for part in (rows, rows.slice(1, 3)):
        out = filled(part, -1.0)
        assert out.schema == part.schema
        assert [c.null_count for c in out.columns] == [c.null_count for c in part.columns]
        assert out["n"].equals(part["n"])
        lengths = [None if row["flux"] is None else len(row["flux"]) for row in out["lc"].to_pylist()]
        assert lengths == [None if row["flux"] is None else len(row["flux"]) for row in part["lc"].to_pylist()]
        assert {v for row in out["lc"].to_pylist() for v in row["flux"] or ()} == {-1.0}
        assert [row["band"] for row in out["lc"].to_pylist()] == [row["band"] for row in part["lc"].to_pylist()]
        assert (out["cutout"].to_numpy_ndarray() == -1.0).all()


WHOLE = Card(
    name="square", variant="one", title="", question="predict", source="", intended_use="", limits="", licence="",
    command="", evaluate="", inputs=(Input("cutout", (1, 8, 8), "nJy", normalisation="none"),),
    architecture={"net": "sha256:0"}, tolerance={"square": 0.1},
    domain=Domain("toy", ("r",), "", "single epoch", "all", simulated=True), out_of_scope="everything",
    subgroups=(Subgroup("auc", "x", "all", 30, 0.9), Subgroup("auc", "y", "few", 3, np.nan, reason="few")),
)  # fmt: skip


def test_a_card_that_says_all_keeps_the_rules_for_cards():
    assert all(holds(WHOLE, Square(), {}) for holds in CARD_RULES.values())


SAYS_ALL = "has a card that says what the card of a network must"
INPUTS = "has a card whose inputs are those that it reads"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"out_of_scope": ""}, SAYS_ALL),
        ({"domain": None}, SAYS_ALL),
        ({"inputs": (Input("cutout", (1, 9, 9), "nJy", normalisation="none"),)}, INPUTS),
        ({"inputs": (Input("cutout", (1, 8, 8), "nJy"),)}, INPUTS),
        ({"tolerance": {"cube": 0.1}}, "has a card with the tolerance of every output"),
        ({"subgroups": (Subgroup("a", "x", "b", 3, np.nan),)}, "has a card that says why a subgroup has no score"),
    ],
)
def test_a_rule_for_cards_catches_the_card_that_breaks_it(change, rule):
    spoilt = dataclasses.replace(WHOLE, **change)
    assert [name for name, holds in CARD_RULES.items() if not holds(spoilt, Square(), {})] == [rule]
