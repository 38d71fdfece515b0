"""Nested columns as flat arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.timeseries.lightcurves import LightCurveFlag, LightCurves

ROWS = [
    {"mjd": [1.0, 2.0], "flux": [10.0, 20.0], "flux_err": [1.0, 2.0], "band": ["g", "r"]},
    {"mjd": [], "flux": [], "flux_err": [], "band": []},
    {"mjd": [3.0], "flux": [30.0], "flux_err": [3.0], "band": ["g"]},
]
LC = pa.struct(
    [
        ("mjd", pa.list_(pa.float64())),
        ("flux", pa.list_(pa.float32())),
        ("flux_err", pa.list_(pa.float32())),
        ("band", pa.list_(pa.string())),
    ]
)


def nested(rows: list, kind: pa.DataType = LC) -> pa.Array:
    return pa.array(rows, type=kind)


def same(one: LightCurves, other: LightCurves) -> bool:
    names = ("offsets", "mjd", "flux", "flux_err", "band", "flag")
    return all(np.array_equal(getattr(one, n), getattr(other, n), equal_nan=True) for n in names)


def test_values_come_without_a_copy():
    column = nested(ROWS)
    curves = LightCurves.from_arrow(column, ("g", "r"))
    assert np.shares_memory(curves.mjd, column.field("mjd").values.to_numpy())
    assert curves.offsets.tolist() == [0, 2, 2, 3]
    assert curves.band.tolist() == [0, 1, 0]


@pytest.mark.parametrize("start, stop", [(0, 3), (1, 3), (2, 3), (1, 1), (0, 1)])
def test_a_slice_holds_its_own_rows_only(start, stop):
    column = nested(ROWS)
    cut = LightCurves.from_arrow(column.slice(start, stop - start), ("g", "r"))
    assert same(cut, LightCurves.from_arrow(nested(ROWS[start:stop]), ("g", "r")))


def test_a_null_row_is_an_empty_light_curve():
    curves = LightCurves.from_arrow(nested([None, ROWS[0]]), ("g", "r"))
    assert np.diff(curves.offsets).tolist() == [0, 2]
    assert curves.mjd.tolist() == [1.0, 2.0]


def test_points_hidden_under_a_null_stay_hidden():
    lists = [nested(ROWS).field(i) for i in range(4)]
    hidden = pa.StructArray.from_arrays(lists, fields=list(LC), mask=pa.array([True, False, False]))
    curves = LightCurves.from_arrow(hidden, ("g", "r"))
    assert curves.mjd.tolist() == [3.0]


@pytest.mark.parametrize(
    "kind",
    [
        pa.struct([(f.name, pa.large_list(f.type.value_type)) for f in LC]),
        pa.struct([*list(LC)[:3], pa.field("band", pa.list_(pa.dictionary(pa.int8(), pa.string())))]),
        pa.struct([*list(LC)[:3], pa.field("band", pa.list_(pa.large_string()))]),
        pa.struct([("extra", pa.int32()), *list(LC)]),
    ],
)
def test_other_arrow_types_give_the_same_curves(kind):
    assert same(
        LightCurves.from_arrow(nested(ROWS, kind), ("g", "r")), LightCurves.from_arrow(nested(ROWS), ("g", "r"))
    )


def test_a_list_of_structs_is_the_same_as_a_struct_of_lists():
    points = [[dict(zip(row, values, strict=True)) for values in zip(*row.values(), strict=True)] for row in ROWS]
    kind = pa.list_(pa.struct([(f.name, f.type.value_type) for f in LC]))
    assert same(
        LightCurves.from_arrow(nested(points, kind), ("g", "r")), LightCurves.from_arrow(nested(ROWS), ("g", "r"))
    )


def test_lists_of_unequal_length_empty_their_row_alone():
    broken = {**ROWS[0], "flux": [1.0]}
    curves = LightCurves.from_arrow(nested([broken, ROWS[2]]), ("g", "r"))
    assert curves.flag.tolist() == [LightCurveFlag.LC_UNEQUAL, 0]
    assert curves.mjd.tolist() == [3.0]
    assert curves.flux.tolist() == [30.0]


def test_labels_longer_than_a_letter_and_nulls_are_looked_up():
    rows = [{**ROWS[0], "band": ["lsst_r", None]}, {**ROWS[2], "band": ["lsst_g"]}]
    curves = LightCurves.from_arrow(nested(rows), ("lsst_g", "lsst_r"))
    assert curves.band.tolist() == [1, 255, 0]


def test_a_missing_field_is_named():
    with pytest.raises(DataError, match="flux_err") as caught:
        LightCurves.from_arrow(nested([], pa.struct([f for f in LC if f.name != "flux_err"])), ("g",))
    assert caught.value.kind == ErrorKind.UNKNOWN_COLUMN


@pytest.mark.parametrize(
    "field, kind", [("flux", pa.list_(pa.string())), ("flux", pa.float32()), ("band", pa.list_(pa.int8()))]
)
def test_a_field_of_the_wrong_type_is_refused(field, kind):
    wrong = pa.struct([(f.name, kind if f.name == field else f.type) for f in LC])
    with pytest.raises(DataError, match=field) as caught:
        LightCurves.from_arrow(nested([], wrong), ("g",))
    assert caught.value.kind == ErrorKind.COLUMN_TYPE


@pytest.mark.parametrize("bands", [(), ("g", "g")])
def test_bands_must_be_some_and_different(bands):
    with pytest.raises(SpecError):
        LightCurves.from_arrow(nested(ROWS), bands)
