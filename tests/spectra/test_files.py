"""Spectra are read as their surveys write them, once, and what is none is said to be none."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.spectra import Reading, find_spectra, read_spectra
from spectra_files import PIXELS, SDSS_UNIT, lamost, sample, sdss, tabular, vectors, wavelengths, wcs1d


def the_one(path, **reading):
    """Return the one spectrum of a file."""
    (found,) = read_spectra(path, Reading(**reading))
    if isinstance(found, Exception):
        raise found
    return found


def test_sdss_is_read_by_specutils_with_its_bits_unit_medium_mask_and_the_targets_position(tmp_path):
    found = the_one(sdss(tmp_path / "spec-0266-51630-0168.fits", 1, ra=146.2, dec=-0.37, masked=[5, 6]))
    flux, ivar = sample(1)
    assert found.flux.tobytes() == flux.tobytes()
    assert found.ivar.tobytes() == np.where(np.isin(np.arange(PIXELS), [5, 6]), np.float32(0), ivar).tobytes()
    np.testing.assert_allclose(found.wavelength, wavelengths(), rtol=1e-6)
    assert (found.unit, found.medium, found.ra, found.dec) == (SDSS_UNIT, "vacuum", 146.2, -0.37)


def test_an_id_is_found_in_a_header_or_in_a_table_of_one_row(tmp_path):
    path = sdss(tmp_path / "spec.fits", 1, name="1237650795683184714", PLATE=266)
    assert the_one(path, id_key="BESTOBJID").id == "1237650795683184714"
    assert the_one(path, id_key="plate").id == 266
    with pytest.raises(DataError, match="--id-key"):
        the_one(path, id_key="NOSUCH")


def test_an_image_with_a_wcs_has_its_deviations_mask_and_air(tmp_path):
    found = the_one(wcs1d(tmp_path / "x_wcs1d.fits", 2, RA=10.0, DEC=-5.0))
    flux, ivar = sample(2)
    np.testing.assert_array_equal(found.flux, flux)
    np.testing.assert_allclose(found.ivar, np.where(np.arange(PIXELS) == 7, 0, ivar), rtol=1e-6)
    np.testing.assert_allclose(found.wavelength, 4000 + 2.0 * np.arange(PIXELS), rtol=1e-12)
    assert (found.unit, found.medium, found.ra) == ("mJy", "air", 10.0)
    assert the_one(wcs1d(tmp_path / "y_wcs1d.fits", 2, axis="WAVE")).medium == "vacuum"


def test_a_table_of_one_spectrum_is_read_by_its_columns_or_by_their_units(tmp_path):
    known = the_one(tabular(tmp_path / "a.fits", 3, AIRORVAC="air"))
    foreign = the_one(tabular(tmp_path / "b.fits", 3, names=("lam", "f", "sig"), AIRORVAC="vac"))
    flux, ivar = sample(3)
    for found in (known, foreign):
        np.testing.assert_array_equal(found.flux, flux)
        np.testing.assert_allclose(found.ivar, ivar, rtol=1e-6)
        np.testing.assert_allclose(found.wavelength, wavelengths(), rtol=1e-12)
        assert found.unit == "mJy"
    assert (known.medium, foreign.medium) == ("air", "vacuum")


def test_a_table_with_a_spectrum_in_each_row_gives_each(tmp_path):
    found = list(read_spectra(vectors(tmp_path / "stack.fits", [4, 5, 6], VACUUM=True), Reading(id_key="obsid")))
    for seed, one in zip([4, 5, 6], found, strict=True):
        assert (one.id, one.medium) == (seed, "vacuum")
        assert one.flux.tobytes() == sample(seed)[0].tobytes()
        assert one.ivar.tobytes() == sample(seed)[1].tobytes()


def test_an_image_of_lamost_is_its_rows(tmp_path):
    found = the_one(lamost(tmp_path / "spec-55862-B6212_sp06-003.fits", 4, OBSID=101001))
    flux, ivar = sample(4)
    assert found.flux.tobytes() == flux.tobytes()
    assert found.ivar.tobytes() == np.where(np.arange(PIXELS) == 9, np.float32(0), ivar).tobytes()
    np.testing.assert_allclose(found.wavelength, wavelengths(), rtol=1e-7)
    assert (found.medium, found.ra, found.dec) == ("vacuum", 99.3, 27.2)
    assert the_one(tmp_path / "spec-55862-B6212_sp06-003.fits", id_key="OBSID").id == 101001


def test_columns_that_are_named_are_looked_for_in_every_table_whatever_survey_made_it(tmp_path):
    path = sdss(tmp_path / "spec.fits", 1)
    found = the_one(path, columns={"flux": "flux", "wavelength": "loglam"}, unit="Jy")
    assert found.unit == "Jy"  # specutils was not asked
    np.testing.assert_allclose(found.wavelength, wavelengths(), rtol=1e-6)
    with pytest.raises(SpecError, match="there is no column 'BESTFLUX'"):
        the_one(path, columns={"flux": "BESTFLUX"})


@pytest.mark.parametrize("name", ["s.csv", "s.ecsv"])
def test_text_is_read_by_its_columns(tmp_path, name):
    flux, ivar = (values.astype(np.float64) for values in sample(7))
    table = Table({"wave": wavelengths(), "flux": flux, "flux_err": ivar**-0.5})
    if name.endswith(".ecsv"):
        table["flux"].unit = "mJy"
        table.meta["OBJ"] = 12
    table.write(tmp_path / name, format="ascii.ecsv" if name.endswith(".ecsv") else "ascii.csv")
    found = the_one(tmp_path / name, unit="Jy", medium="air", id_key="OBJ" if name.endswith(".ecsv") else None)
    np.testing.assert_allclose(found.flux, flux, rtol=1e-15)
    np.testing.assert_allclose(found.ivar, ivar, rtol=1e-12)
    assert (found.unit, found.medium) == (("mJy" if name.endswith(".ecsv") else "Jy"), "air")
    assert found.id == (12 if name.endswith(".ecsv") else None)


def parquet(path, **changes):
    flux, ivar = sample(8)
    columns = {
        "name": pa.array(["one", "two"]),
        "ra": pa.array([1.0, 2.0]),
        "dec": pa.array([3.0, 4.0]),
        "flux": pa.array([flux, flux * 2]),
        "ivar": pa.array([ivar, ivar / 4]),
        "coeff0": pa.array([3.58, 3.59]),
        "coeff1": pa.array([1e-4, 1e-4]),
        **changes,
    }
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    unit = pa.field("flux", table["flux"].type, metadata={"unit": "mJy"})
    table = table.set_column(table.column_names.index("flux"), unit, table["flux"])
    pq.write_table(table, path)
    return path


def test_lists_in_parquet_are_spectra_with_their_own_wavelengths(tmp_path):
    one, two = read_spectra(parquet(tmp_path / "s.parquet"), Reading(medium="vacuum"))
    np.testing.assert_array_equal(two.flux, one.flux * 2)
    np.testing.assert_allclose(np.log10(two.wavelength), np.log10(one.wavelength) + 0.01)
    assert (one.ra, two.dec, one.unit) == (1.0, 4.0, "mJy")
    assert [s.id for s in read_spectra(tmp_path / "s.parquet", Reading(id_key="name"))] == ["one", "two"]


def test_lists_of_any_length_and_any_arrow_layout_are_read_alike(tmp_path):
    flux, ivar = sample(8)
    short = {"flux": pa.array([flux, flux[:50]]), "ivar": pa.array([ivar, ivar[:50]])}
    lengths = [len(s.flux) for s in read_spectra(parquet(tmp_path / "a.parquet", **short), Reading())]
    assert lengths == [PIXELS, 50]
    fixed = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate([v, v])), PIXELS)
        for name, v in (("flux", flux), ("ivar", ivar))
    }
    large = pa.array([flux, flux], pa.large_list(pa.float32()))
    for one, other in zip(
        read_spectra(parquet(tmp_path / "b.parquet", **fixed), Reading()),
        read_spectra(parquet(tmp_path / "c.parquet", flux=large), Reading()),
        strict=True,
    ):
        assert one.flux.tobytes() == other.flux.tobytes()


def test_numbers_in_parquet_are_one_spectrum(tmp_path):
    flux, ivar = sample(9)
    columns = {"flux": flux, "ivar": ivar, "wavelength": wavelengths() / 10}
    path = parquet(tmp_path / "s.parquet", name=None, ra=None, dec=None, coeff0=None, coeff1=None, **columns)
    found = the_one(path, wavelength_unit="nm")
    assert found.flux.tobytes() == flux.tobytes()
    np.testing.assert_allclose(found.wavelength, wavelengths(), rtol=1e-12)


def test_columns_of_any_name_can_be_named_and_frequencies_are_wavelengths(tmp_path):
    flux, ivar = sample(10)
    table = Table({"nu": 2.99792458e18 / wavelengths(), "f": flux, "s": ivar**-0.5})
    table["nu"].unit = "Hz"
    table.write(tmp_path / "s.ecsv", format="ascii.ecsv")
    columns = {"wavelength": "NU", "flux": "f", "error": "s"}
    found = the_one(tmp_path / "s.ecsv", columns=columns)
    np.testing.assert_allclose(found.wavelength, wavelengths(), rtol=1e-12)
    np.testing.assert_array_equal(found.flux, flux)
    with pytest.raises(SpecError, match="did you mean 'nu'"):
        the_one(tmp_path / "s.ecsv", columns={**columns, "wavelength": "nuu"})
    with pytest.raises(SpecError, match="did you mean 'wavelength'"):
        Reading(columns={"wavelenght": "nu"})


def test_a_bad_row_of_a_table_costs_itself_alone(tmp_path):
    flux, ivar = sample(8)
    path = parquet(tmp_path / "s.parquet", ivar=pa.array([ivar, -ivar]), flux=pa.array([flux, flux]))
    good, bad = read_spectra(path, Reading())
    assert good.flux.tobytes() == flux.tobytes()
    assert isinstance(bad, DataError)
    assert "row 1" in bad.message
    nothing = parquet(tmp_path / "n.parquet", flux=pa.array([flux, None], pa.list_(pa.float32())))
    assert "its flux is null" in list(read_spectra(nothing, Reading()))[1].message


def test_an_id_that_is_not_there_or_no_name_costs_its_spectrum_and_no_digit_of_the_others(tmp_path):
    large = 1237650795683184714
    path = parquet(tmp_path / "s.parquet", name=pa.array([large, None], pa.int64()))
    good, bad = read_spectra(path, Reading(id_key="name"))
    assert good.id == large
    assert "has no 'name'" in bad.message
    one, other = read_spectra(parquet(tmp_path / "f.parquet", name=pa.array([7.0, 7.5])), Reading(id_key="name"))
    assert one.id == 7
    assert "7.5" in other.message


def test_a_column_of_texts_is_no_flux_and_a_gap_in_a_csv_a_bad_pixel(tmp_path):
    (tmp_path / "a.csv").write_text("wave,flux,ivar\n4000,high,1\n4001,low,1\n")
    with pytest.raises(DataError, match="no usable spectrum"):
        the_one(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("wave,flux,ivar\n4000,3,1\n4001,,1\n4002,5,1\n")
    np.testing.assert_array_equal(the_one(tmp_path / "b.csv").good(), [True, False, True])


def test_a_spectrum_without_errors_is_refused_unless_that_is_said(tmp_path):
    Table({"wave": wavelengths(), "flux": sample(1)[0]}).write(tmp_path / "s.csv", format="ascii.csv")
    with pytest.raises(DataError, match="--no-ivar"):
        the_one(tmp_path / "s.csv")
    assert the_one(tmp_path / "s.csv", ivar=False).ivar is None
    path = wcs1d(tmp_path / "x_wcs1d.fits", 2)
    with fits.open(path, mode="update") as hdus:
        del hdus[[h.name for h in hdus].index("STD")]
    with pytest.raises(DataError, match="--no-ivar"):
        the_one(path)
    assert the_one(path, ivar=False).ivar is None


@pytest.mark.parametrize(
    "name", ["noise.fits", "noise.parquet", "noise.csv", "noise.ecsv", "image.fits", "prose.csv"]
)
def test_a_file_that_is_no_spectrum_is_named(tmp_path, name):
    path = tmp_path / name
    if name == "image.fits":
        fits.PrimaryHDU(np.zeros((9, 9))).writeto(path)
    elif name == "prose.csv":
        path.write_text("a,b\n1,2\n")
    else:
        path.write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(DataError, match=name) as raised:
        the_one(path)
    assert raised.value.kind in {ErrorKind.BAD_FILE, ErrorKind.UNKNOWN_COLUMN}


def test_a_wrong_unit_is_said_to_be_wrong(tmp_path):
    table = Table({"wave": wavelengths(), "flux": sample(1)[0], "ivar": sample(1)[1]})
    table["wave"].unit = "kg"
    table.write(tmp_path / "s.ecsv", format="ascii.ecsv")
    with pytest.raises(DataError, match="no unit of a wavelength") as raised:
        the_one(tmp_path / "s.ecsv")
    assert raised.value.kind is ErrorKind.COLUMN_UNIT
    path = vectors(tmp_path / "v.fits", [1])
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TUNIT1"] = "counts per fortnight"
    with pytest.raises(DataError, match="--source-unit"):
        the_one(path)
    assert the_one(path, unit="adu").unit == "adu"


def test_a_position_in_hours_and_minutes_is_refused(tmp_path):
    path = wcs1d(tmp_path / "x_wcs1d.fits", 2, RA="09:44:54", DEC="-00:22:33")
    with pytest.raises(DataError, match="degrees"):
        the_one(path)
    assert np.isnan(the_one(path, position_keys=("RAX", "DECX")).ra)


def test_a_format_that_specutils_does_not_have_or_that_is_not_the_files_is_said(tmp_path):
    path = sdss(tmp_path / "spec.fits", 1)
    with pytest.raises(DataError, match="cannot be read"):
        the_one(path, format="no such format")
    with pytest.raises(DataError, match="cannot be read"):
        the_one(path, format="JWST x1d")
    assert the_one(path, format="SDSS-III/IV spec").unit == SDSS_UNIT


def test_each_file_is_opened_once(tmp_path, monkeypatch):
    opened = []
    real = fits.open
    monkeypatch.setattr(fits, "open", lambda name, *a, **k: opened.append(name) or real(name, *a, **k))
    for path in (
        sdss(tmp_path / "spec.fits", 1),
        tabular(tmp_path / "t.fits", 1),
        vectors(tmp_path / "v.fits", [1]),
    ):
        opened.clear()
        the_one(path)
        assert opened == [path]


def test_reading_warns_of_nothing(tmp_path):
    path = sdss(tmp_path / "spec.fits", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        the_one(path)


def test_places_are_files_directories_and_patterns_each_file_once(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a.fits", "b.txt", "deep/c.csv", "d.parquet"):
        (tmp_path / name).touch()
    found = find_spectra([str(tmp_path), str(tmp_path / "*.fits"), str(tmp_path / "b.txt")])
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["a.fits", "d.parquet", "deep/c.csv", "b.txt"]
    with pytest.raises(NotFoundError, match="no spectrum at"):
        find_spectra([str(tmp_path / "*.nothing")])
