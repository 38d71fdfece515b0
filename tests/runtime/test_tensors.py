"""Tensors travel in Arrow columns without being copied or confused."""

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import DataError, SpecError
from skyloom.runtime.tensors import TensorInput, tensor_column, tensor_values


def batch(values, valid=None):
    return pa.RecordBatch.from_arrays([tensor_column(values, valid)], names=["cutout"])


def test_a_round_trip_is_a_view_of_the_same_memory():
    values = np.arange(4 * 2 * 3 * 3, dtype=np.float32).reshape(4, 2, 3, 3)
    found, valid = tensor_values(batch(values), "cutout", (2, 3, 3))
    assert np.shares_memory(found, values)
    assert not found.flags.writeable
    assert valid.all()
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_a_slice_has_the_rows_of_the_slice(dtype):
    values = np.arange(6 * 4, dtype=dtype).reshape(6, 1, 2, 2)
    present = np.array([True, False, True, True, False, True])
    found, valid = tensor_values(batch(values, present).slice(2, 3), "cutout", (1, 2, 2))
    np.testing.assert_array_equal(found, values[2:5])
    np.testing.assert_array_equal(valid, present[2:5])


def test_another_shape_or_name_is_refused():
    rows = batch(np.zeros((2, 1, 4, 4), np.float32))
    with pytest.raises(DataError, match=r"shape \(1, 4, 4\)"):
        tensor_values(rows, "cutout", (1, 5, 5))
    with pytest.raises(DataError, match=r"input\.tensors"):
        tensor_values(rows, "stamp", (1, 4, 4))


def test_bands_and_shape_agree():
    with pytest.raises(SpecError, match="2 channels and 3 bands"):
        TensorInput("cutout", (2, 8, 8), bands=("g", "r", "i"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_column_of_nulls_alone_has_no_row_with_a_tensor(dtype):
    column = batch(np.zeros((1, 1, 2, 2), dtype)).column(0)
    rows = pa.RecordBatch.from_arrays([pa.nulls(3, column.type)], names=["cutout"])
    found, valid = tensor_values(rows, "cutout", (1, 2, 2))
    assert found.shape == (3, 1, 2, 2)
    assert not valid.any()
