"""Laws of cutouts: what shifts, turns, wraps and covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from reproject import reproject_interp

from sky_images import CENTRE, tan, write_image
from skyloom.imaging import ImageSet, cut_rows, find_images
from skyloom.imaging.cut import _target

NOISE = np.random.default_rng(5).normal(10, 3, (120, 140)).astype(np.float32)


def images_of(path, data, wcs, **cards):
    return ImageSet(find_images([str(write_image(path, data, wcs, **cards))]))


def cut_at(images, wcs, x, y, **options):
    """Cut at pixel positions of a WCS."""
    ra, dec = wcs.pixel_to_world_values(np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float)))
    return cut_rows(images, ra, dec, bands=["r"], **options)


def blob(shape, x, y, sigma):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    wcs = tan(120)
    return images_of(tmp_path_factory.mktemp("noise") / "n.fits", NOISE, wcs), wcs


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-30, 170), y=st.floats(-30, 150), size=st.integers(1, 40))
def test_a_cut_is_astropys_wherever_it_lies(noise, x, y, size):
    images, wcs = noise
    found = cut_at(images, wcs, x, y, size=size)
    # Through the sky and back: where rounding decides between two pixels, it decides for both.
    xy = [float(v) for v in wcs.world_to_pixel_values(*wcs.pixel_to_world_values(x, y))]
    try:
        wanted = Cutout2D(NOISE, xy, size, mode="partial", fill_value=np.nan).data
    except NoOverlapError:
        wanted = np.full((size, size), np.nan, np.float32)
    np.testing.assert_array_equal(found.values[0, 0], wanted)
    assert (found.image[0, 0] >= 0) == np.isfinite(wanted).any()


@settings(max_examples=30, deadline=None)
@given(dx=st.integers(-20, 20), dy=st.integers(-20, 20))
def test_a_shift_by_whole_pixels_shifts_the_cut(noise, dx, dy):
    images, wcs = noise
    one, two = cut_at(images, wcs, [60.2, 60.2 + dx], [50.7, 50.7 + dy], size=60).values[:, 0]
    both = lambda d: slice(max(0, d), min(60, 60 + d))  # noqa: E731
    np.testing.assert_array_equal(one[both(dy), both(dx)], two[both(-dy), both(-dx)])


def test_pixels_without_data_stay_without_data_and_spread_to_what_is_made_of_them(tmp_path):
    data, wcs = NOISE.copy(), tan(120)
    data[40:44, 50:54] = np.nan
    data[60, 60] = np.inf
    images = images_of(tmp_path / "n.fits", data, wcs)
    own = cut_at(images, wcs, 55.1, 50.1, size=40).values[0, 0]
    np.testing.assert_array_equal(np.isfinite(own), np.isfinite(data[31:71, 36:76]))
    made = cut_at(images, wcs, 55.1, 50.1, size=40, pixel_arcsec=0.25).values[0, 0]
    holes = np.argwhere(~np.isfinite(made))
    assert len(holes) >= 17
    # Bilinear: a hole reaches no farther than one pixel.
    y, x = holes.T + np.array([[50.1 - 19.5], [55.1 - 19.5]])
    near = ((y > 38.9) & (y < 44.1) & (x > 48.9) & (x < 54.1)) | ((abs(y - 60) < 1.1) & (abs(x - 60) < 1.1))
    assert near.all()


@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi, 4.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_north_is_up_and_east_is_left_however_the_image_lies(tmp_path, angle, mirrored):
    wcs = tan(120, angle=angle)
    if mirrored:
        wcs.wcs.cd = wcs.wcs.cd @ np.diag([-1.0, 1.0])
    north = (CENTRE[0], CENTRE[1] + 3 / 3600)
    east = (CENTRE[0] + 3 / 3600 / math.cos(math.radians(CENTRE[1])), CENTRE[1])
    for name, sky, wanted in (("north", north, (32, 20)), ("east", east, (20, 8))):
        x, y = wcs.world_to_pixel_values(*sky)
        images = images_of(tmp_path / f"{name}.fits", blob((120, 120), x, y, 1.5), wcs)
        cut = cut_rows(images, *np.array([CENTRE]).T, bands=["r"], size=41, pixel_arcsec=0.25).values[0, 0]
        assert np.unravel_index(np.nanargmax(cut), cut.shape) == wanted


@pytest.mark.parametrize(("scale", "angle"), [(0.2, 0.0), (0.25, 0.6), (0.4, 1.1)])
def test_flux_is_conserved_as_well_as_bilinear_can(tmp_path, scale, angle):
    wcs = tan(120, angle=angle)
    images = images_of(tmp_path / "b.fits", blob((120, 120), 60.3, 59.2, 3.0), wcs)
    size = math.ceil(20 / scale)
    cut = cut_at(images, wcs, 60.3, 59.2, size=size, pixel_arcsec=scale).values[0, 0]
    total = 2 * math.pi * 3.0**2 * 0.25**2
    assert np.nansum(cut, dtype=np.float64) * scale**2 == pytest.approx(total, rel=2e-3)


@pytest.mark.parametrize("centre", [(0.0, 10.0), (359.9999, -20.0), (40.0, 90.0), (120.0, -90.0), (7.0, 89.9995)])
@pytest.mark.parametrize("pixel_arcsec", [None, 0.25])
def test_rows_across_the_zero_of_ra_and_around_a_pole_have_their_pixels(tmp_path, centre, pixel_arcsec):
    wcs = tan(120, centre=centre)
    images = images_of(tmp_path / "n.fits", NOISE, wcs)
    x, y = np.linspace(30.2, 90.2, 9), np.linspace(85.3, 35.3, 9)
    ra, dec = wcs.pixel_to_world_values(x, y)
    for turns in (0.0, 360.0):
        cut = cut_rows(images, ra - turns, dec, bands=["r"], size=9, pixel_arcsec=pixel_arcsec)
        assert np.isfinite(cut.values).all()
        if pixel_arcsec is None:
            middle = [NOISE[round(b), round(a)] for a, b in zip(x, y, strict=True)]
            np.testing.assert_array_equal(cut.values[:, 0, 4, 4], middle)


def test_a_row_off_the_image_or_without_a_position_has_a_place_and_nothing_in_it(noise):
    images, wcs = noise
    ra, dec = wcs.pixel_to_world_values([60.0, 400.0, -300.0], [60.0, 60.0, 60.0])
    ra, dec = np.append(ra, [CENTRE[0] + 180.0, np.nan, 10.0]), np.append(dec, [-CENTRE[1], 2.0, np.nan])
    for pixel_arcsec in (None, 0.3):
        cut = cut_rows(images, ra, dec, bands=["r"], size=8, pixel_arcsec=pixel_arcsec)
        assert cut.image[:, 0].tolist() == [0, -1, -1, -1, -1, -1]
        assert np.isnan(cut.values[1:]).all()


def test_a_distortion_that_folds_back_gives_no_row_of_another_sky(tmp_path):
    # Far from the image the cubic terms bring rows back onto it; only the sky says that they are not there.
    wcs = tan(120, scale=3.0)
    header = wcs.to_header(relax=True)
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for axis in (1, 2):
        header[f"PV{axis}_1"], header[f"PV{axis}_7"], header[f"PV{axis}_9"] = 1.0, -0.5, -0.5
    header["FILTER"] = "r"
    fits.PrimaryHDU(NOISE, header).writeto(tmp_path / "t.fits")
    images = ImageSet(find_images([str(tmp_path / "t.fits")]))
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    far = np.hypot((ra - CENTRE[0]) * np.cos(np.radians(dec)), dec - CENTRE[1]) > 1.0
    cut = cut_rows(images, ra[far], dec[far], bands=["r"], size=16)
    assert (cut.image == -1).all()


def test_of_two_images_the_one_with_more_data_is_taken_and_each_is_read_once(tmp_path):
    wcs = tan(120)
    left, right = NOISE.copy(), NOISE + 1000
    left[:, 70:] = np.nan
    right[:, :50] = np.nan
    places = [str(write_image(tmp_path / f"{k}.fits", d, wcs)) for k, d in enumerate((left, right))]
    images = ImageSet(find_images(places))
    x = np.linspace(12.1, 110.1, 50)
    cut = cut_at(images, wcs, x, np.full(50, 60.2), size=16)
    assert images.opened == 2
    for row, a in enumerate(x):
        choices = [Cutout2D(d, (a, 60.2), 16, mode="partial", fill_value=np.nan).data for d in (left, right)]
        counts = [np.isfinite(c).sum() for c in choices]
        best = int(counts[1] > counts[0])
        assert cut.image[row, 0] == best
        np.testing.assert_array_equal(cut.values[row, 0], choices[best])


@pytest.mark.parametrize("kind", ["tan", "tpv", "sip", "car"])
def test_resampling_agrees_with_reproject_of_the_whole_image(tmp_path, kind):
    centre = (30.0, 70.0) if kind == "car" else CENTRE
    wcs = tan(120, angle=0.3, centre=centre)
    header = wcs.to_header(relax=True)
    if kind == "tpv":
        header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
        for axis in (1, 2):
            header[f"PV{axis}_1"], header[f"PV{axis}_4"], header[f"PV{axis}_6"] = 1.01, 2.0, -1.5
    if kind == "sip":
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
        header["A_ORDER"], header["B_ORDER"] = 2, 2
        header["A_2_0"], header["B_1_1"], header["A_0_2"], header["B_0_2"] = 2e-4, -1e-4, 1e-4, -2e-4
    if kind == "car":
        # Far from its equator, pixels are three times narrower in RA: the mean scale says too little.
        flat = WCS(naxis=2)
        flat.wcs.ctype, flat.wcs.crval = ["RA---CAR", "DEC--CAR"], [30.0, 0.0]
        flat.wcs.cdelt, flat.wcs.crpix = [-0.25 / 3600, 0.25 / 3600], [60.5, 60.5 - 70.0 * 4 * 3600]
        header = flat.to_header()
    header["FILTER"] = "r"
    fits.PrimaryHDU(NOISE, header).writeto(tmp_path / "i.fits")
    images = ImageSet(find_images([str(tmp_path / "i.fits")]))
    whole = WCS(header)
    sky = whole.pixel_to_world(np.array([60.0, 20.0, 118.0, 3.0]), np.array([55.0, 90.0, 60.0, 2.0]))
    cut = cut_rows(images, sky.ra.deg, sky.dec.deg, bands=["r"], size=25, pixel_arcsec=0.2)
    for row in range(4):
        target = _target(sky.ra.deg[row], sky.dec.deg[row], 25, 0.2)
        wanted, _ = reproject_interp((NOISE, whole), target, shape_out=(25, 25))
        np.testing.assert_allclose(cut.values[row, 0], wanted.astype(np.float32), rtol=1e-6)
    assert np.isfinite(cut.values[0]).all()


def test_an_image_in_another_frame_of_the_sky_is_the_same_sky(tmp_path):
    from astropy.coordinates import SkyCoord

    middle = SkyCoord(*CENTRE, unit="deg").galactic
    wcs = tan(120, centre=(middle.l.deg, middle.b.deg))
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    images = images_of(tmp_path / "n.fits", blob((120, 120), 59.5, 59.5, 2.0), wcs)
    for pixel_arcsec in (None, 0.25):
        cut = cut_rows(images, *np.array([CENTRE]).T, bands=["r"], size=21, pixel_arcsec=pixel_arcsec)
        peak = np.unravel_index(cut.values[0, 0].argmax(), (21, 21))
        assert max(abs(peak[0] - 10), abs(peak[1] - 10)) <= 1


def test_bands_that_were_not_asked_for_are_not_opened(tmp_path):
    wcs = tan(120)
    places = [str(write_image(tmp_path / f"{b}.fits", NOISE, wcs, band=b)) for b in ("g", "r")]
    images = ImageSet(find_images(places))
    cut = cut_at(images, wcs, [60.0], [60.0], size=8)
    assert images.opened == 1
    assert cut.image.tolist() == [[1]]


@pytest.mark.survey_data
def test_decam_images_with_distortion_agree_with_reproject_called_by_hand(skyloom_data):
    folder = skyloom_data / "image_differencing" / "difference_noise_decorrelation" / "input_data"
    images = ImageSet(find_images([f"i={folder}"]))
    assert len(images.images) == 5  # and none of the kernels, which have no WCS
    assert {fits.getheader(image.path)["CTYPE1"] for image in images.images} == {"RA---TPV"}
    # "Median FWHM in pixels", of 0.263 arcsec.
    widths = [image.psf_fwhm_arcsec for image in images.images]
    np.testing.assert_allclose(
        widths, np.array([5.231596, 5.158885, 5.887837, 5.361816, 4.051786]) * 0.2624, rtol=2e-3
    )
    rng = np.random.default_rng(1)
    for number, image in enumerate(images.images[:2]):
        data, wcs = fits.getdata(image.path), image.wcs
        one = ImageSet([image])
        x, y = rng.uniform(-8, 264, 12), rng.uniform(-8, 264, 12)
        sky = wcs.pixel_to_world(x, y)
        made = cut_rows(one, sky.ra.deg, sky.dec.deg, bands=["i"], size=48, pixel_arcsec=0.2)
        own = cut_rows(one, sky.ra.deg, sky.dec.deg, bands=["i"], size=48)
        for row in range(12):
            target = _target(sky.ra.deg[row], sky.dec.deg[row], 48, 0.2)
            wanted, _ = reproject_interp((data.astype(np.float32), wcs), target, shape_out=(48, 48))
            np.testing.assert_allclose(
                made.values[row, 0], wanted.astype(np.float32), rtol=1e-6, err_msg=str(number)
            )
            position = wcs.world_to_pixel(sky[row])
            cut = Cutout2D(data, position, 48, mode="partial", fill_value=np.nan).data.astype(np.float32)
            np.testing.assert_array_equal(own.values[row, 0], cut)
