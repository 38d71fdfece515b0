"""Stamps come out of their files as they went in, and only those that are asked for are read."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.errors import DataError, SpecError
from skyloom.imaging import open_stamps
from skyloom.imaging.parquet_stamps import fits_stamp

CUBE = np.random.default_rng(2).normal(5, 2, (23, 2, 7, 9)).astype(np.float32)
CUBE[4, 1, 2, 3] = np.nan
ORDERS = ([0], [22], [5, 6, 7], [9, 2, 2, 3, 22, 0, 1], list(range(23))[::-1], [])


def fits_bytes(data, *, packed=False, compressed=False, **cards):
    hdu = fits.CompImageHDU(data) if compressed else fits.PrimaryHDU(data)
    hdu.header.update(cards)
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu] if compressed else [hdu]).writeto(out)
    return gzip.compress(out.getvalue()) if packed else out.getvalue()


def write_cube(path, data, how):
    if how == "npy":
        np.save(path.with_suffix(".npy"), data)
        return path.with_suffix(".npy")
    if how == "compressed":
        tile = (1, *data.shape[1:])
        cube = fits.CompImageHDU(data, compression_type="GZIP_1", quantize_level=0, tile_shape=tile)
        path = path.with_suffix(".fz")
        fits.HDUList([fits.PrimaryHDU(), cube]).writeto(path)
        return path
    path = path.with_suffix(".fits.gz" if how == "gz" else ".fits")
    fits.PrimaryHDU(data).writeto(path)
    return path


@pytest.mark.parametrize("how", ["npy", "fits", "compressed", "gz"])
@pytest.mark.parametrize("channels", [1, 2])
def test_stamps_are_taken_by_number_in_any_order(tmp_path, how, channels):
    data = CUBE[:, 0] if channels == 1 else CUBE
    stamps = open_stamps([write_cube(tmp_path / "cube", data, how)])
    assert stamps.shape == (23, channels, 7, 9)
    for order in ORDERS:
        np.testing.assert_array_equal(stamps.take(np.array(order, np.int64)), CUBE[order, :channels])


def test_integers_that_are_blank_or_scaled_are_what_the_header_says(tmp_path):
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    data[1, 2, 3] = -1
    cube = fits.PrimaryHDU(data)
    cube.header["BLANK"] = -1
    cube.writeto(tmp_path / "c.fits")
    with fits.open(tmp_path / "c.fits", mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update(BSCALE=0.5, BZERO=3.0)
    found = open_stamps([tmp_path / "c.fits"]).take(np.array([1]))[0, 0]
    assert np.isnan(found[2, 3])
    assert found[0, 0] == 20 * 0.5 + 3.0


@pytest.mark.parametrize("how", ["npy", "fits", "compressed", "gz"])
def test_a_cube_is_not_held_in_memory(tmp_path, how):
    data = np.zeros((4000, 40, 40), np.float32)
    data[:, 0, 0] = np.arange(4000)
    path = write_cube(tmp_path / "cube", data, how)
    tracemalloc.start()
    stamps = open_stamps([path])
    for start in range(0, 4000, 500):
        assert stamps.take(np.arange(start, start + 50))[:, 0, 0, 0].tolist() == list(range(start, start + 50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.nbytes > 25_000_000
    assert peak < 12_000_000


def test_files_that_are_no_stamps_are_refused_with_their_shape(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    fits.PrimaryHDU(np.zeros((3, 4))).writeto(tmp_path / "flat.fits")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01")
    (tmp_path / "broken.fits").write_bytes(b"nothing")
    (tmp_path / "broken.fits.gz").write_bytes(gzip.compress(bytes(9000))[:20])
    (tmp_path / "a.txt").write_text("")
    for name, error, said in (
        ("flat.npy", SpecError, r"shape \(3, 4\); stamps are \(N, H, W\)"),
        ("flat.fits", SpecError, "no HDU of shape"),
        ("broken.npy", DataError, "no array that can be read"),
        ("broken.fits", DataError, "cannot be read as FITS"),
        ("broken.fits.gz", DataError, "cannot be read as FITS"),
        ("a.txt", SpecError, r"come from .npy, FITS or .parquet"),
    ):
        with pytest.raises(error, match=said):
            open_stamps([tmp_path / name])
    with pytest.raises(SpecError, match="only Parquet files make one import"):
        open_stamps([tmp_path / "flat.npy", tmp_path / "flat.npy"])


def test_a_cube_that_is_cut_off_says_which_stamps_cannot_be_read(tmp_path):
    path = write_cube(tmp_path / "cube", CUBE, "fits")
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.warns(match="truncated"):
        stamps = open_stamps([path])
    with pytest.raises(DataError, match=r"cube\.fits: stamps 20 to 22 cannot be read"):
        stamps.take(np.array([20, 21]))


@pytest.mark.parametrize("encoding", ["<f4", ">f4", "<f8", "<i2", "u1"])
def test_bytes_are_the_values_of_the_type_that_was_said(tmp_path, encoding):
    values = np.random.default_rng(0).integers(0, 200, (30, 4, 5)).astype(encoding)
    table = {"stamp": [v.tobytes() for v in values]}
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    stamps = open_stamps([tmp_path / "s.parquet"], columns=["stamp"], shape=(4, 5), encoding=encoding)
    np.testing.assert_array_equal(stamps.take(np.arange(30))[:, 0], values.astype(np.float32))
    assert stamps.unreadable == 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["binary", "large", "struct"])
def test_fits_files_in_bytes_are_stamps_also_within_a_struct(tmp_path, packed, compressed, kind):
    values = np.random.default_rng(0).integers(0, 200, (9, 4, 5)).astype(np.int32)
    data = pa.array(
        [fits_bytes(v, packed=packed, compressed=compressed) for v in values],
        pa.large_binary() if kind == "large" else pa.binary(),
    )
    name = "stamp"
    if kind == "struct":  # as in the alerts of ZTF
        data = pa.StructArray.from_arrays([pa.array(["x"] * 9), data], names=["fileName", "stampData"])
        name = "stamp.stampData"
    pq.write_table(pa.table({"stamp": data}), tmp_path / "s.parquet")
    stamps = open_stamps([tmp_path / "s.parquet"], columns=[name], shape=(4, 5))
    np.testing.assert_array_equal(stamps.take(np.arange(9))[:, 0], values)


def test_a_stamp_that_cannot_be_read_costs_itself_and_is_counted(tmp_path):
    good = np.ones((4, 5), np.float32)
    whole = fits_bytes(good, packed=True)
    bad = [
        whole[: len(whole) // 2],
        b"",
        b"no fits",
        fits_bytes(np.ones((4, 4), np.float32)),
        fits_bytes(np.ones(7)),
        gzip.compress(b"SIMPLE" + bytes(70_000_000)),
    ]
    column = pa.array([whole, None, *bad, whole])
    pq.write_table(pa.table({"stamp": column}), tmp_path / "s.parquet")
    stamps = open_stamps([tmp_path / "s.parquet"], columns=["stamp"], shape=(4, 5))
    assert stamps.unreadable == len(bad)  # a null is no stamp, and no fault
    assert "s.parquet, column 'stamp', row 2: it is cut short" in stamps.first_unreadable
    taken = stamps.take(np.arange(len(column)))
    assert np.isnan(taken[1:-1]).all()
    assert (taken[[0, -1]] == 1).all()


def test_lists_of_another_length_cost_themselves_and_if_all_are_the_request_is_wrong(tmp_path):
    lists = [[1.0] * 20, [1.0] * 19, None, [2.0] * 20]
    for name, kind in (("list", pa.list_(pa.float32())), ("large", pa.large_list(pa.float64()))):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"stamp": pa.array(lists, kind)}), path)
        stamps = open_stamps([path], columns=["stamp"], shape=(4, 5))
        assert stamps.take(np.arange(4))[:, 0, 0, 0].tolist()[::3] == [1.0, 2.0]
        assert stamps.unreadable == 1
        assert "row 1: 19 values" in stamps.first_unreadable
        with pytest.raises(SpecError, match=r"not one stamp can be read; the first: .*row 0: 20 values"):
            open_stamps([path], columns=["stamp"], shape=(3, 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "name the columns of stamps"),
        ({"columns": ["stamp"]}, "height and width"),
        ({"columns": ["stmp"], "shape": (2, 2)}, "did you mean 'stamp'"),
        ({"columns": ["stamp.x"], "shape": (2, 2)}, "has no field 'x'"),
        ({"columns": ["id"], "shape": (2, 2)}, "int64; stamps are lists, tensors or bytes"),
        ({"columns": ["stamp"], "shape": (2, 2), "encoding": "jpeg"}, "got 'jpeg'"),
        ({"columns": ["stamp"], "shape": (2, 2), "encoding": "U4"}, "got 'U4'"),
    ],
)
def test_requests_that_leave_it_open_what_a_stamp_is_are_refused(tmp_path, options, said):
    pq.write_table(pa.table({"id": [1], "stamp": [bytes(16)]}), tmp_path / "s.parquet")
    with pytest.raises(SpecError, match=said):
        open_stamps([tmp_path / "s.parquet"], **options)


WHOLE = fits_bytes(np.arange(20, dtype=np.int16).reshape(4, 5), BLANK=3)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), put=st.binary(min_size=1, max_size=80), cut=st.integers(0, len(WHOLE)))
@pytest.mark.filterwarnings("ignore")
def test_bytes_of_strangers_give_an_image_or_a_value_error(at, put, cut):
    data = (WHOLE[:at] + put + WHOLE[at + len(put) :])[: max(cut, 6)]
    try:
        found = fits_stamp(data)
    except ValueError:
        return
    assert found.dtype == np.float32
    assert found.ndim == 2
