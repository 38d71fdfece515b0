"""A spectrum is checked when it is made, and converted without loss."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from skyloom.errors import DataError, ErrorKind
from skyloom.spectra import in_medium, in_unit, make_spectrum

WAVE = np.linspace(4000.0, 4100.0, 11)
ONES = np.ones(11)


def spectrum(**changes):
    said = {"wavelength": WAVE, "flux": ONES, "ivar": ONES, "unit": "Jy", "medium": "vacuum", **changes}
    return make_spectrum("a.fits, row 3", said.pop("wavelength"), said.pop("flux"), **said)


def swapped(values, i, j):
    out = values.copy()
    out[[i, j]] = out[[j, i]]
    return out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"wavelength": np.empty(0), "flux": np.empty(0), "ivar": None}, "0 pixels"),
        ({"wavelength": WAVE[:1], "flux": ONES[:1], "ivar": ONES[:1]}, "1 pixels"),
        ({"flux": np.ones((2, 11))}, "more than one spectrum"),
        ({"flux": ONES[:9]}, "9 fluxes and wavelength of shape"),
        ({"ivar": ONES[:9]}, "inverse variance of shape"),
        ({"mask": np.zeros(3)}, "mask of shape"),
        ({"wavelength": swapped(WAVE, 4, 7)}, "not in order: 4070 is followed by 4050 at pixel 5"),
        ({"wavelength": np.full(11, 5000.0)}, "not in order"),
        ({"wavelength": np.where(np.arange(11) == 2, np.nan, WAVE)}, "1 of its 11 wavelengths"),
        ({"wavelength": WAVE - 4050.0}, "6 of its 11 wavelengths are not finite and positive"),
        ({"ivar": np.where(np.arange(11) < 2, -1.0, 1.0)}, "2 of its 11 inverse variances are negative"),
        ({"ivar": None, "error": -ONES}, "11 of its 11 errors are negative"),
    ],
)
def test_what_is_wrong_with_a_spectrum_is_said_with_its_place(changes, says):
    with pytest.raises(DataError, match=says) as raised:
        spectrum(**changes)
    assert raised.value.kind is ErrorKind.BAD_ROW
    assert "a.fits, row 3" in raised.value.message


def test_not_a_number_not_finite_zero_weight_and_mask_are_bad_pixels():
    flux, ivar, mask = ONES.copy(), ONES.copy(), np.zeros(11, np.int32)
    flux[0], flux[1], ivar[2], ivar[3], ivar[4], mask[5] = np.nan, np.inf, np.nan, np.inf, 0.0, 64
    found = spectrum(flux=flux, ivar=ivar, mask=mask)
    np.testing.assert_array_equal(found.good(), np.arange(11) > 5)
    np.testing.assert_array_equal(found.ivar, np.arange(11) > 5)
    np.testing.assert_array_equal(np.isnan(found.flux), np.arange(11) < 2)
    alone = spectrum(flux=flux, ivar=None, mask=mask)
    np.testing.assert_array_equal(np.isnan(alone.flux), np.isin(np.arange(11), [0, 1, 5]))


def test_negative_weights_are_bad_pixels_where_that_is_said():
    ivar = np.where(np.arange(11) < 2, -1.0, 1.0)
    for weights in ({"ivar": ivar}, {"ivar": None, "error": ivar}):
        np.testing.assert_array_equal(spectrum(**weights, negative_is_bad=True).ivar, np.arange(11) >= 2)


def test_errors_become_inverse_variances():
    error = np.linspace(0.0, 2.0, 11)
    found = spectrum(ivar=None, error=error)
    np.testing.assert_array_equal(found.ivar[1:], 1 / error[1:] ** 2)
    assert found.ivar[0] == 0


def test_one_that_runs_from_red_to_blue_is_turned_round_with_all_that_belongs_to_it():
    flux = np.arange(11.0)
    forth = spectrum(flux=flux, ivar=flux + 1, mask=flux > 8)
    back = spectrum(wavelength=WAVE[::-1], flux=flux[::-1], ivar=flux[::-1] + 1, mask=flux[::-1] > 8)
    for name in ("wavelength", "flux", "ivar"):
        np.testing.assert_array_equal(getattr(forth, name), getattr(back, name))


def test_single_precision_of_either_byte_order_keeps_its_bits():
    values = np.random.default_rng(0).normal(size=11).astype(np.float32)
    found = spectrum(flux=values.astype(">f4"), ivar=np.abs(values).astype(">f4"))
    assert found.flux.dtype == np.dtype("<f4")
    assert found.flux.tobytes() == values.astype("<f4").tobytes()
    assert found.ivar.tobytes() == np.abs(values).astype("<f4").tobytes()


def test_a_flux_in_another_unit_is_astropys_and_its_signal_to_noise_stays():
    found = in_unit(spectrum(flux=WAVE / 1000), "erg / (s cm2 Angstrom)")
    wanted = (WAVE / 1000 * u.Jy).to_value("erg / (s cm2 AA)", u.spectral_density(WAVE * u.AA))
    np.testing.assert_allclose(found.flux, wanted, rtol=1e-12)
    np.testing.assert_allclose(found.flux * np.sqrt(found.ivar), WAVE / 1000, rtol=1e-12)


def test_the_same_unit_in_other_words_changes_no_bit():
    there = spectrum(unit="1e-17 erg/(s cm2 AA)", flux=np.pi * ONES)
    found = in_unit(there, "1e-17 erg / (Angstrom s cm2)")
    assert found.flux is there.flux


@pytest.mark.parametrize(("have", "want"), [("Jy", "mag"), ("", "Jy"), ("Jy", ""), ("K", "Jy")])
def test_a_unit_that_nothing_leads_to_is_refused(have, want):
    with pytest.raises(DataError, match="--source-unit") as raised:
        in_unit(spectrum(unit=have), want)
    assert raised.value.kind is ErrorKind.COLUMN_UNIT


def test_air_and_vacuum_are_as_far_apart_as_published_and_there_and_back_is_the_same():
    lines = np.array([4861.325, 5006.843, 6562.801])  # H beta, [O III] and H alpha, as SDSS lists them
    air = make_spectrum("lines", lines, np.ones(3), unit="Jy", medium="air")
    vacuum = in_medium(air, "vacuum")
    np.testing.assert_allclose(vacuum.wavelength, [4862.68, 5008.24, 6564.61], atol=0.01)
    np.testing.assert_allclose(in_medium(vacuum, "air").wavelength, lines, rtol=1e-8)
    assert in_medium(air, "air") is air


def test_what_is_not_stated_is_asked_for_and_what_is_not_known_refused():
    with pytest.raises(DataError, match="--source-medium"):
        in_medium(spectrum(medium=""), "vacuum")
    with pytest.raises(DataError, match="below 2000 Angstrom"):
        in_medium(spectrum(wavelength=np.linspace(1500, 2500, 11)), "air")


def test_without_specutils_it_is_said_how_to_get_it(monkeypatch):
    from importlib import util

    from skyloom.errors import NotFoundError

    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(NotFoundError, match=r"skyloom\[spectra\]"):
        in_medium(spectrum(), "air")
