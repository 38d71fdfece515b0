"""Images are found with band, unit and place on the sky; what is no image is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from sky_images import tan, write_image
from skyloom.errors import DataError, NotFoundError, SpecError
from skyloom.imaging import find_images
from skyloom.imaging.images import unit_vectors

DATA = np.zeros((40, 60), np.float32)


def test_a_header_gives_band_unit_scale_and_width(tmp_path):
    path = write_image(tmp_path / "a.fits", DATA, tan(40), band="g", unit="nJy", SEEING=(1.2, "[arcsec]"))
    (image,) = find_images([str(path)])
    assert (image.band, image.unit, image.shape, image.hdu) == ("g", "nJy", (40, 60), 1)
    assert image.pixel_arcsec == pytest.approx(0.25)
    assert (image.psf_fwhm_arcsec, image.psf_key) == (1.2, "SEEING (arcsec)")


def test_bands_come_from_the_place_the_asked_key_or_the_file(tmp_path):
    path = write_image(tmp_path / "a.fits", DATA, tan(40), band="g", COLOUR="blue")
    assert find_images([f"i={path}"])[0].band == "i"
    assert find_images([str(path)], band_key="COLOUR")[0].band == "blue"
    assert find_images([str(path)], band_key="NONE")[0].band == ""
    first = fits.PrimaryHDU()
    first.header["FILTER"] = "z"
    fits.HDUList([first, fits.ImageHDU(DATA, tan(40).to_header())]).writeto(tmp_path / "b.fits")
    assert find_images([str(tmp_path / "b.fits")])[0].band == "z"


def test_an_equals_sign_in_a_path_is_no_band(tmp_path, monkeypatch):
    folder = tmp_path / "field=3"
    folder.mkdir()
    path = write_image(folder / "a=1.fits", DATA, tan(40), band="g")
    assert [image.band for image in find_images([str(path), str(folder), f"r={path}"])] == ["g", "g", "r"]
    monkeypatch.chdir(folder)
    assert [image.band for image in find_images(["a=1.fits", "z=a=1.fits"])] == ["g", "z"]


def test_errors_weights_and_masks_beside_an_image_are_no_images_unless_asked_for(tmp_path):
    header = tan(40).to_header()
    planes = [fits.ImageHDU(DATA, header, name=name) for name in ("SCI", "ERR", "DQ", "VAR_POISSON", "WHT", "N4")]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "i2d.fits")
    place = [str(tmp_path / "i2d.fits")]
    assert [image.hdu for image in find_images(place)] == [1, 6]
    assert [image.hdu for image in find_images(place, hdu="err")] == [2]
    assert [image.hdu for image in find_images(place, hdu="5")] == [5]
    with pytest.raises(SpecError, match=r"image in HDU BKG with a celestial WCS in .*i2d\.fits"):
        find_images(place, hdu="BKG")


def test_a_named_file_without_a_celestial_wcs_is_refused_and_one_in_a_directory_passed_over(tmp_path):
    good = write_image(tmp_path / "good.fits", DATA, tan(40))
    plain = tmp_path / "kernel.fits"
    fits.PrimaryHDU(DATA).writeto(plain)
    with pytest.raises(SpecError, match=r"no two-dimensional image with a celestial WCS in .*kernel\.fits"):
        find_images([str(good), str(plain)])
    assert [image.path for image in find_images([str(tmp_path)])] == [good]
    assert [image.path for image in find_images([str(tmp_path / "*.fits")])] == [good]
    good.unlink()
    with pytest.raises(SpecError, match="celestial WCS"):
        find_images([str(tmp_path)])


def test_a_spectral_plane_is_no_image_of_the_sky(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["WAVE", "LINEAR"]
    wcs.wcs.cunit = ["Angstrom", ""]
    fits.PrimaryHDU(DATA, wcs.to_header()).writeto(tmp_path / "s.fits")
    with pytest.raises(SpecError, match="celestial WCS"):
        find_images([str(tmp_path / "s.fits")])


def test_what_is_not_there_or_no_fits_is_said_with_its_place(tmp_path):
    with pytest.raises(NotFoundError, match=r"no FITS file at .*nowhere"):
        find_images([str(tmp_path / "nowhere")])
    (tmp_path / "text.fits").write_text("not an image")
    with pytest.raises(DataError, match=r"text\.fits cannot be read as FITS"):
        find_images([str(tmp_path)])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    path = write_image(tmp_path / "tile[1].fits", DATA, tan(40))
    assert find_images([str(path)])[0].path == path


@pytest.mark.parametrize("centre", [(150.0, 2.0), (0.001, 0.0), (10.0, 89.999), (200.0, -90.0)])
def test_all_of_an_image_is_within_its_radius_and_little_else(tmp_path, centre):
    wcs = tan(40, scale=10.0, angle=0.4, centre=centre)
    (image,) = find_images([str(write_image(tmp_path / "a.fits", DATA, wcs))])
    y, x = np.mgrid[-0.5:39.6:1, -0.5:59.6:1]
    sky = wcs.pixel_to_world(x.ravel(), y.ravel())
    assert image.may_hold(unit_vectors(sky.ra.deg, sky.dec.deg), 0.0).all()
    middle = wcs.pixel_to_world(29.5, 19.5)
    far = middle.directional_offset_by(
        np.linspace(0, 6, 20), image.radius_deg * 3600 * 1.01 / 3600 * middle.ra.unit
    )
    far = SkyCoord(far)
    assert not image.may_hold(unit_vectors(far.ra.deg, far.dec.deg), 0.0).any()
    assert image.may_hold(unit_vectors(far.ra.deg, far.dec.deg), image.radius_deg * 3600 * 0.02).all()


def test_a_map_of_the_whole_sky_may_hold_any_row(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---AIT", "DEC--AIT"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [0.0, 0.0], [30.5, 20.5], [-6.0, 6.0]
    (image,) = find_images([str(write_image(tmp_path / "a.fits", DATA, wcs))])
    rows = unit_vectors([0.0, 179.0, 90.0, 300.0], [0.0, -80.0, 45.0, 89.0])
    assert image.may_hold(rows, 0.0).all()
    assert not image.may_hold(np.full((1, 3), np.nan), 0.0).any()
