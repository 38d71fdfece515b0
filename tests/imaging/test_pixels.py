"""Pixels are float32, NaN where there are no data, however they are stored; a large image stays in its file."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from sky_images import tan, write_image
from skyloom.errors import DataError
from skyloom.imaging import ImageSet, cut_rows, find_images

SIZE = 64
WINDOW = (slice(3, 40), slice(7, 21))


def written(path, data, *, compressed=False, **cards):
    header = tan(SIZE).to_header()
    header["FILTER"] = "r"
    header.update(cards)
    if compressed:
        hdu = fits.CompImageHDU(data, header, compression_type="RICE_1" if data.dtype.kind == "i" else "GZIP_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    else:
        fits.PrimaryHDU(data, header).writeto(path)
    return find_images([str(path)])


@pytest.mark.parametrize("whole_bytes", [0, 10**9], ids=["by window", "whole"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
def test_a_window_is_that_part_of_the_image(tmp_path, whole_bytes, compressed, dtype):
    data = np.random.default_rng(0).normal(100, 30, (SIZE, SIZE)).astype(dtype)
    found = written(tmp_path / "a.fits", data, compressed=compressed)
    images = ImageSet(found, whole_bytes=whole_bytes)
    window = images.window(0, *WINDOW)
    assert window.dtype == np.float32
    # Compressed floats are quantised: what astropy reads is the truth.
    truth = fits.getdata(tmp_path / "a.fits", found[0].hdu)
    np.testing.assert_array_equal(window, truth[WINDOW].astype(np.float32))
    images.close()


@pytest.mark.parametrize("whole_bytes", [0, 10**9], ids=["by window", "whole"])
@pytest.mark.parametrize("compressed", [False, True])
def test_integer_blanks_are_no_data_also_where_values_are_scaled(tmp_path, whole_bytes, compressed):
    data = np.arange(SIZE * SIZE, dtype=np.int16).reshape(SIZE, SIZE)
    data[5, 9] = -999
    for name, cards in (("plain", {}), ("scaled", {"BSCALE": 0.5, "BZERO": 100.0})):
        path = tmp_path / f"{name}.fits"
        found = written(path, data, compressed=compressed, BLANK=-999)
        if not compressed:
            with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
                hdus[0].header.update(cards)
        window = ImageSet(found, whole_bytes=whole_bytes).window(0, *WINDOW)
        hole = (5 - WINDOW[0].start, 9 - WINDOW[1].start)
        assert np.isnan(window[hole])
        assert np.isfinite(window).sum() == window.size - 1
        if not compressed:
            np.testing.assert_array_equal(
                window[0, 0], data[3, 7] * cards.get("BSCALE", 1) + cards.get("BZERO", 0)
            )


@pytest.mark.parametrize("whole_bytes", [0, 10**9], ids=["by window", "whole"])
def test_axes_of_length_one_do_not_count_and_longer_ones_make_no_image(tmp_path, whole_bytes):
    data = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    header = tan(SIZE).to_header()
    header["WCSAXES"] = 4
    header.update(
        FILTER="r", CTYPE3="FREQ", CRVAL3=1.4e9, CUNIT3="Hz", CTYPE4="STOKES", CRVAL4=1.0, BMAJ=0.001, BMIN=0.001
    )
    fits.PrimaryHDU(data[None, None], header).writeto(tmp_path / "radio.fits")
    fits.PrimaryHDU(np.stack([data] * 2)[None], header).writeto(tmp_path / "cube.fits")
    (image,) = find_images([str(tmp_path)])
    assert (image.path.name, image.shape) == ("radio.fits", (SIZE, SIZE))
    assert image.psf_fwhm_arcsec == pytest.approx(3.6)
    images = ImageSet([image], whole_bytes=whole_bytes)
    np.testing.assert_array_equal(images.window(0, *WINDOW), data[WINDOW])
    ra, dec = tan(SIZE).pixel_to_world_values([30.2], [31.3])
    np.testing.assert_array_equal(cut_rows(images, ra, dec, bands=["r"], size=8).values[0, 0], data[28:36, 27:35])


def test_infinities_and_what_float32_cannot_hold_are_no_data(tmp_path):
    data = np.ones((SIZE, SIZE))
    data[3, 7], data[3, 8], data[3, 9] = np.inf, 1e300, -np.inf
    window = ImageSet(written(tmp_path / "a.fits", data)).window(0, *WINDOW)
    assert np.isnan(window[0, :3]).all()
    assert (window[1:] == 1).all()


def test_a_large_image_is_never_read_whole(tmp_path):
    side = 3000
    data = np.zeros((side, side), np.float32)
    data[1490:1510] = np.arange(side, dtype=np.float32)
    wcs = tan(side)
    found = find_images([str(write_image(tmp_path / "large.fits", data, wcs))])
    packed = find_images([str(write_image(tmp_path / "packed.fits", data, wcs, compressed=True))])
    ra, dec = wcs.pixel_to_world_values(np.linspace(100, 2900, 30), np.full(30, 1500.0))
    wanted = cut_rows(ImageSet(found), ra, dec, bands=["r"], size=16).values
    for name, each in (("plain", found), ("compressed", packed)):
        images = ImageSet(each, whole_bytes=1_000_000)
        tracemalloc.start()
        cut = cut_rows(images, ra, dec, bands=["r"], size=16)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < data.nbytes / 6, name
        assert images.opened == 1
        np.testing.assert_array_equal(cut.values, wanted)
        images.close()


def test_what_was_used_longest_ago_is_forgotten_first(tmp_path):
    data = np.ones((SIZE, SIZE), np.float32)
    found = [written(tmp_path / f"{k}.fits", data * k)[0] for k in range(3)]
    images = ImageSet(found, open_bytes=2 * data.nbytes)
    for number in (0, 1, 0, 2, 0):
        assert images.pixels(number)[0, 0] == number
    assert images.opened == 3
    images.pixels(1)
    assert images.opened == 4


def test_pixels_that_are_cut_off_are_said_with_file_and_hdu(tmp_path):
    path = tmp_path / "a.fits"
    found = written(path, np.ones((SIZE, SIZE), np.float32))
    path.write_bytes(path.read_bytes()[:6000])
    for whole_bytes in (0, 10**9):
        with pytest.raises(DataError, match=r"a\.fits\[0\]: its pixels cannot be read"):
            ImageSet(found, whole_bytes=whole_bytes).window(0, slice(50, 60), slice(0, 9))
