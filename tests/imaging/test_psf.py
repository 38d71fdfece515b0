"""A width of the point-spread function is in arcsec, or it is not known."""

from __future__ import annotations

import math

import pytest
from astropy.io import fits

from skyloom.errors import SpecError
from skyloom.imaging.psf import psf_fwhm


def header(**cards):
    made = fits.Header()
    for key, card in cards.items():
        made[key] = card
    return made


@pytest.mark.parametrize(
    ("cards", "width", "said"),
    [
        ({"FWHM": (5.0, "Median FWHM in pixels")}, 1.25, "FWHM (pixel)"),
        ({"SEEING": (1.1, "[arcsec] Seeing FWHM")}, 1.1, "SEEING (arcsec)"),
        ({"SEEING": (4.0, "[pix] Average FWHM")}, 1.0, "SEEING (pixel)"),
        ({"L1FWHM": (1.7, "[arcsec] Frame FWHM")}, 1.7, "L1FWHM (arcsec)"),
        ({"PSF_FWHM": 0.8}, 0.8, "PSF_FWHM (arcsec)"),  # a standard fixes its unit
        ({"BMAJ": 4.0 / 3600, "BMIN": 1.0 / 3600}, 2.0, "BMAJ, BMIN (deg)"),
    ],
)
def test_the_unit_is_what_the_card_says(cards, width, said):
    found = psf_fwhm([header(**cards)], 0.25)
    assert found.fwhm_arcsec == pytest.approx(width)
    assert found.said_by == said


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"SEEING": 1.1},
        {"SEEING": (1.1, "seeing at the start")},
        {"FWHM": (3.0, "pixels or arcsec")},
        {"FWHM": (-1.0, "pixels")},
        {"FWHM": ("unknown", "pixels")},
        {"FWHM": (True, "pixels")},
        {"BMAJ": 0.001},
    ],
)
def test_what_cannot_be_understood_is_not_guessed(cards):
    found = psf_fwhm([header(**cards)], 0.25)
    assert math.isnan(found.fwhm_arcsec)
    assert found.said_by == ""


def test_the_image_speaks_before_its_file_and_one_key_before_the_next():
    own, of_file = header(SEEING=(2.0, "[arcsec]")), header(SEEING=(3.0, "[arcsec]"))
    assert psf_fwhm([own, of_file], 1.0).fwhm_arcsec == 2.0
    assert psf_fwhm([header(), of_file], 1.0).fwhm_arcsec == 3.0
    both = header(SEEING=(2.0, "[arcsec]"), FWHM=(9.0, "arcsec"))
    assert psf_fwhm([both], 1.0).fwhm_arcsec == 9.0
    # A key without a unit does not hide one that has it.
    assert psf_fwhm([header(FWHM=9.0, SEEING=(2.0, "[arcsec]"))], 1.0).fwhm_arcsec == 2.0


def test_a_request_names_the_key_and_the_unit_where_the_header_is_silent():
    silent = header(SEEING=4.0, FWHM=(9.0, "arcsec"))
    assert psf_fwhm([silent], 0.25, key="SEEING=pixel").fwhm_arcsec == 1.0
    assert psf_fwhm([silent], 0.25, key="SEEING=arcsec").fwhm_arcsec == 4.0
    assert math.isnan(psf_fwhm([silent], 0.25, key="SEEING").fwhm_arcsec)
    assert math.isnan(psf_fwhm([silent], 0.25, key="NOTHING=pixel").fwhm_arcsec)
    with pytest.raises(SpecError, match="arcsec or pixel, got 'deg'"):
        psf_fwhm([silent], 0.25, key="SEEING=deg")
    with pytest.raises(SpecError, match="FWHM is in arcsec by its header's comment, and pixel was said"):
        psf_fwhm([silent], 0.25, key="FWHM=pixel")
