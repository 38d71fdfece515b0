"""Spectra end up beside their rows, on the model's grid, and what does not fit is said."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog, read_partition
from skyloom.catalog.ingest import import_catalog
from skyloom.catalog.spec import ImportSpec
from skyloom.cli import main
from skyloom.errors import ConflictError, DataError, ErrorKind, SpecError, StoreFullError
from skyloom.jobs import gather_spectra
from skyloom.jobs.make_spectra import SpectraRequest, import_spectra, make_spectra
from skyloom.jobs.stores import check_tensors
from skyloom.spectra import Grid, Reading, Resampler, in_unit, make_spectrum
from skyloom.tensors import PartitionWriter, open_tensors
from skyloom.tensors.layout import Statement
from slow_spectra import slow_conserving
from spectra_files import PIXELS, SDSS_UNIT, START, STEP, sample, sdss, tabular, vectors, wavelengths, wcs1d

GRID = Grid(PIXELS, start=START, step=STEP, log10=True)


def catalog_at(root: Path, ra, dec, ids=None):
    table = root.with_suffix(".rows.parquet")
    ids = np.arange(len(ra)) if ids is None else ids
    pq.write_table(pa.table({"object_id": ids, "ra": np.asarray(ra), "dec": np.asarray(dec)}), table)
    said = {"files": [str(table)], "id": "object_id", "ra": "ra", "dec": "dec"}
    spec = {"name": root.name, "output": str(root), "objects": said, "partitions": {"rows": 5}}
    return import_catalog(ImportSpec.model_validate(spec))


def by_id(catalog, store):
    """Flux, inverse variance and coverage of every row, by id."""
    opened, found = open_tensors(store), {}
    for partition in catalog.partitions():
        ids = read_partition(catalog.root, partition, ["object_id"])["object_id"].to_pylist()
        read = opened.read(partition.key, 0, partition.rows)
        found.update({i: (v[0], v[-1], c[0]) for i, v, c in zip(ids, read.values, read.coverage, strict=True)})
    return found


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A catalog of twelve rows in several partitions. Read only."""
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 12), rng.uniform(-60, 60, 12)
    catalog = catalog_at(tmp_path_factory.mktemp("catalogs") / "field", ra, dec)
    assert len(catalog.partitions()) > 2
    return catalog, ra, dec


@pytest.fixture
def field(tmp_path, twelve):
    """Twelve rows, and a folder with spec-lite files of the first ten of them."""
    catalog, ra, dec = twelve
    folder = tmp_path / "spectra"
    folder.mkdir()
    for i in range(10):
        sdss(folder / f"spec-{i}.fits", i, ra=ra[i], dec=dec[i], name=str(i))
    return catalog, folder, ra, dec


def request_of(**changes):
    reading = {"id_key": "BESTOBJID", **changes.pop("reading", {})}
    return SpectraRequest(reading=Reading(**reading), **{"grid": GRID, **changes})


@pytest.mark.parametrize("reading", [{"id_key": "BESTOBJID"}, {"id_key": None}], ids=["by id", "by position"])
def test_every_spectrum_ends_up_beside_its_row_bit_for_bit(tmp_path, field, reading):
    catalog, folder, _, _ = field
    made = make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(reading=reading))
    assert (made.rows, made.spectra, made.without, made.unmatched, made.skipped) == (12, 10, 2, 0, 0)
    for i, (flux, ivar, coverage) in by_id(catalog, tmp_path / "store").items():
        if i < 10:
            assert flux.tobytes() == sample(i)[0].tobytes()
            assert ivar.tobytes() == sample(i)[1].tobytes()
            assert coverage == 1
        else:
            assert np.isnan(flux).all()
            assert not ivar.any()
            assert coverage == 0
    store = open_tensors(tmp_path / "store")
    assert check_tensors(store, catalog) == ([], 12)
    assert (store.layout.bands, store.layout.unit) == (("flux", "ivar"), SDSS_UNIT)
    assert store.layout.grid == GRID
    np.testing.assert_array_equal(store.wavelength, GRID.wavelengths())


def test_the_grid_of_the_first_spectrum_is_the_stores_where_none_is_told(tmp_path, field):
    catalog, folder, _, _ = field
    make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(grid=None))
    assert open_tensors(tmp_path / "store").layout.grid == GRID


def test_on_another_grid_each_row_is_what_resampling_it_alone_gives_and_coverage_counts_good_pixels(
    tmp_path, field
):
    catalog, folder, ra, dec = field
    sdss(folder / "spec-10.fits", 10, ra=ra[10], dec=dec[10], name="10", masked=range(30, 40))
    grid = Grid(90, start=3790.0, step=1.1)
    make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(grid=grid))
    put = Resampler(grid)
    # specutils' reader of SDSS computes wavelengths in single precision: a thousandth of a pixel.
    written = np.float64(10 ** np.float32(START + STEP * np.arange(PIXELS)))
    for i, (flux, ivar, coverage) in by_id(catalog, tmp_path / "store").items():
        if i < 11:
            weight = np.where((i == 10) & (np.arange(PIXELS) >= 30) & (np.arange(PIXELS) < 40), 0, sample(i)[1])
            wanted = put(written, sample(i)[0], weight)
            np.testing.assert_allclose(flux, wanted[0], rtol=1e-6)
            np.testing.assert_allclose(ivar, wanted[1], rtol=1e-5)
            assert coverage == pytest.approx((wanted[1] > 0).mean())
            assert 0 < coverage < 1


def test_formats_units_and_air_are_brought_together(tmp_path):
    catalog = catalog_at(tmp_path / "mixed", [10.0, 20.0, 30.0], [1.0, 2.0, 3.0])
    files = [
        sdss(tmp_path / "spec.fits", 0, ra=10.0, dec=1.0),
        tabular(tmp_path / "table.fits", 1, RA=20.0, DEC=2.0, VACUUM=True),
        wcs1d(tmp_path / "x_wcs1d.fits", 2, RA=30.0, DEC=3.0),
    ]
    grid = Grid(200, start=3820.0, step=2.0)
    request = SpectraRequest(grid=grid, unit="mJy")
    made = make_spectra(catalog, [str(f) for f in files], tmp_path / "store", request)
    assert (made.spectra, made.without) == (3, 0)
    found = by_id(catalog, tmp_path / "store")
    flux, _ = sample(1)
    np.testing.assert_allclose(found[1][0], Resampler(grid)(wavelengths(), flux, None)[0], rtol=1e-5)
    flux, _ = sample(0)
    wanted = in_unit(make_spectrum("sdss", wavelengths(), flux, unit=SDSS_UNIT), "mJy")
    np.testing.assert_allclose(found[0][0], Resampler(grid)(wavelengths(), wanted.flux, None)[0], rtol=1e-3)
    flux, ivar = sample(2)
    import astropy.units as u
    from specutils.utils.wcs_utils import air_to_vac

    vacuum = air_to_vac((4000 + 2.0 * np.arange(PIXELS)) * u.AA).value
    wanted = Resampler(grid)(vacuum, flux, np.where(np.arange(PIXELS) == 7, 0, ivar))
    np.testing.assert_allclose(found[2][0], wanted[0], rtol=1e-5)
    np.testing.assert_allclose(found[2][1], wanted[1], rtol=1e-5)


def test_of_two_spectra_of_a_row_the_better_is_taken_and_the_other_named(tmp_path, field):
    catalog, folder, ra, dec = field
    _, ivar = sample(3)
    path = folder / "a-better.fits"
    vectors(path, [3])
    from astropy.io import fits

    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update({"HIERARCH BESTOBJID": "3", "VACUUM": True, "PLUG_RA": ra[3], "PLUG_DEC": dec[3]})
        hdus[1].data["IVAR"] = ivar * 4
        hdus[1].header["TUNIT1"] = SDSS_UNIT
    made = make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    assert (made.rows_with_several, made.unmatched, made.without) == (1, 0, 2)
    assert made.passed_over == (f"{path}, row 0 before {folder / 'spec-3.fits'}",)
    assert by_id(catalog, tmp_path / "store")[3][1].tobytes() == (ivar * 4).tobytes()
    shutil.copy(folder / "spec-3.fits", folder / "spec-3b.fits")
    path.unlink()
    again = make_spectra(catalog, [str(folder)], tmp_path / "equal", request_of())
    assert again.passed_over == (f"{folder / 'spec-3.fits'} before {folder / 'spec-3b.fits'}",)  # the earlier


def test_a_spectrum_of_no_row_is_counted(tmp_path, field):
    catalog, folder, ra, _ = field
    sdss(folder / "stranger.fits", 1, ra=ra[0], dec=89.0, name="999")
    for reading in ({"id_key": "BESTOBJID"}, {"id_key": None}):
        made = make_spectra(catalog, [str(folder)], tmp_path / str(reading["id_key"]), request_of(reading=reading))
        assert (made.spectra, made.unmatched) == (11, 1)


def test_a_bad_spectrum_ends_it_or_is_left_out_and_named(tmp_path, field):
    catalog, folder, _, _ = field
    (folder / "spec-2.fits").write_bytes(b"no spectrum")
    tabular(folder / "z-no-id.fits", 1)
    with pytest.raises(DataError, match=r"spec-2\.fits"):
        make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    made = make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(on_bad="skip"))
    assert (made.skipped, made.spectra, made.without) == (2, 9, 3)
    assert "spec-2.fits" in made.why_skipped[0]
    assert "BESTOBJID" in made.why_skipped[1]


def test_files_with_no_usable_spectrum_at_all_are_a_wrong_request(tmp_path, field):
    catalog, folder, _, _ = field
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "a.fits").write_bytes(b"no spectrum")
    with pytest.raises(SpecError, match="no usable spectrum"):
        make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(on_bad="skip"))
    with pytest.raises(SpecError, match="neither"):
        request_of(on_bad="ignore")


def test_a_spectrum_without_position_medium_or_convertible_unit_is_told_what_it_lacks(tmp_path, field):
    catalog, _, _, _ = field
    only = tabular(tmp_path / "t.fits", 1)
    cases = {
        "--id-key": SpectraRequest(grid=GRID, reading=Reading(medium="air")),
        "--source-medium": SpectraRequest(grid=GRID, reading=Reading(id_key="EXTEND")),
        "--source-unit": SpectraRequest(grid=GRID, unit="K", reading=Reading(id_key="EXTEND", medium="air")),
    }
    for says, request in cases.items():
        with pytest.raises(DataError, match=says):
            make_spectra(catalog, [str(only)], tmp_path / says, request)
        assert not list((tmp_path / says).rglob("Norder=*"))


def test_numbers_that_single_precision_does_not_hold_are_refused_not_lost(tmp_path, field):
    catalog, folder, _, _ = field
    for unit in ("1e25 erg / (Angstrom s cm2)", "1e-60 erg / (Angstrom s cm2)"):
        with pytest.raises(DataError, match="nearer to 1"):
            make_spectra(catalog, [str(folder)], tmp_path / unit[:4], request_of(unit=unit))


def digest(catalog, store):
    opened = open_tensors(store)
    return opened.digest(opened.statements(p.key for p in catalog.partitions()))


def test_stopped_at_any_partition_the_same_command_makes_the_rest_and_the_same_bytes(tmp_path, field, monkeypatch):
    catalog, folder, _, _ = field
    make_spectra(catalog, [str(folder)], tmp_path / "whole", request_of())
    real, count = PartitionWriter.commit, len(catalog.partitions())

    def dying(self) -> Statement:
        if len(list(Path(self.store.root).rglob("Npix=*/zarr.json"))) == stop:
            raise KeyboardInterrupt
        return real(self)

    for stop in range(1, count):
        store = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patch:
            patch.setattr(PartitionWriter, "commit", dying)
            with pytest.raises(KeyboardInterrupt):
                make_spectra(catalog, [str(folder)], store, request_of())
        made = make_spectra(catalog, [str(folder)], store, request_of())
        assert (made.made, made.partitions, made.unmatched) == (count - stop, count, 0)
        assert digest(catalog, store) == digest(catalog, tmp_path / "whole")


def test_a_finished_store_is_taken_up_without_reading_and_another_request_is_refused(tmp_path, field):
    catalog, folder, _, _ = field
    make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    again = make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    assert (again.made, again.spectra) == (0, 0)
    with pytest.raises(ConflictError, match="wavelength"):
        make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(grid=Grid(PIXELS, start=4000.0)))
    with pytest.raises(ConflictError, match="origin"):  # half of it in one unit, half in another
        make_spectra(catalog, [str(folder)], tmp_path / "store", request_of(reading={"unit": "Jy"}))
    sdss(folder / "another.fits", 11, name="11")
    with pytest.raises(ConflictError, match="origin"):
        make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())


def test_a_full_disk_leaves_a_store_that_the_same_command_finishes(tmp_path, field, monkeypatch):
    catalog, folder, _, _ = field

    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(gather_spectra.tempfile, "TemporaryFile", Full)
        with pytest.raises(StoreFullError):
            make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    assert make_spectra(catalog, [str(folder)], tmp_path / "store", request_of()).made == len(catalog.partitions())


def test_arrays_and_tables_are_imported_by_id(tmp_path, field):
    catalog, _, _, _ = field
    flux, ivar = (np.stack(values) for values in zip(*(sample(i) for i in range(12)), strict=True))
    order = np.random.default_rng(1).permutation(12)[:11]
    np.save(tmp_path / "flux.npy", flux[order])
    np.save(tmp_path / "ivar.npy", ivar[order])
    np.save(tmp_path / "ids.npy", order)
    np.save(tmp_path / "wave.npy", wavelengths() / 10)
    table = {"object_id": order, "flux": list(flux[order]), "ivar": list(ivar[order])}
    pq.write_table(pa.table({**table, "wave": [wavelengths()] * 11}), tmp_path / "s.parquet")
    arrays = {"ivar": tmp_path / "ivar.npy", "ids": tmp_path / "ids.npy"}
    request = SpectraRequest(
        grid=GRID, unit="Jy", reading=Reading(unit="Jy", medium="vacuum", wavelength_unit="nm")
    )
    plain = SpectraRequest(grid=GRID, unit="Jy", reading=Reading(unit="Jy", medium="vacuum"))
    made = [
        import_spectra(catalog, tmp_path / "flux.npy", tmp_path / "a", plain, **arrays),
        import_spectra(
            catalog, tmp_path / "flux.npy", tmp_path / "b", request, **arrays, wavelength=tmp_path / "wave.npy"
        ),
        import_spectra(catalog, tmp_path / "s.parquet", tmp_path / "c", plain),
    ]
    assert [(m.spectra, m.without, m.unmatched) for m in made] == [(11, 1, 0)] * 3
    for store in "abc":
        for i, (have_flux, have_ivar, coverage) in by_id(catalog, tmp_path / store).items():
            assert coverage == (i in order)
            if i in order:
                assert (have_flux.tobytes(), have_ivar.tobytes()) == (flux[i].tobytes(), ivar[i].tobytes())


def test_arrays_that_do_not_fit_one_another_are_refused(tmp_path, field):
    catalog, _, _, _ = field
    for name, shape in {"flux": (3, PIXELS), "short": (3, 9), "ids": (2,), "cube": (3, 2, 9)}.items():
        np.save(tmp_path / f"{name}.npy", np.ones(shape))
    flux, short = tmp_path / "flux.npy", tmp_path / "short.npy"
    request = SpectraRequest(grid=GRID, reading=Reading(medium="vacuum"))
    cases = [
        ("--ivar", flux, {}),
        ("--ivar", flux, {"ivar": short}),
        ("--ids", flux, {"ivar": flux, "ids": tmp_path / "ids.npy"}),
        ("--source-wavelength", short, {"ivar": short}),
        (r"\(N, L\)", tmp_path / "cube.npy", {}),
        ("a table holds all", tmp_path / "s.parquet", {"ivar": flux}),
    ]
    for says, source, beside in cases:
        with pytest.raises(SpecError, match=says):
            import_spectra(catalog, source, tmp_path / "store", request, **beside)
    with pytest.raises(SpecError, match="nothing says the wavelengths"):
        import_spectra(catalog, flux, tmp_path / "store", SpectraRequest(), ivar=flux)


def test_flux_alone_is_a_store_of_one_channel(tmp_path, field):
    catalog, _, _, _ = field
    flux = np.stack([sample(i)[0] for i in range(12)])
    flux[4, :60] = np.nan
    np.save(tmp_path / "flux.npy", flux)
    request = SpectraRequest(grid=GRID, reading=Reading(ivar=False))
    made = import_spectra(catalog, tmp_path / "flux.npy", tmp_path / "store", request)
    assert (made.shape, made.without) == ((1, PIXELS), 0)
    assert by_id(catalog, tmp_path / "store")[4][2] == 0.5
    assert open_tensors(tmp_path / "store").layout.bands == ("flux",)


def test_check_finds_flipped_bits_lost_files_other_catalogs_and_impossible_weights(tmp_path, field):
    catalog, folder, ra, dec = field
    make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    store = open_tensors(tmp_path / "store")
    other = catalog_at(tmp_path / "other", ra[::-1], dec)
    kinds = {finding.kind for finding in check_tensors(store, other)[0]}
    assert ErrorKind.SNAPSHOT_CHANGED in kinds
    files = sorted(p for p in (tmp_path / "store").rglob("values/c/*/*/*") if p.is_file())
    data = bytearray(files[0].read_bytes())
    data[11] ^= 4
    files[0].write_bytes(bytes(data))
    files[1].unlink()
    kinds = {finding.kind for finding in check_tensors(store, catalog)[0]}
    assert {"file-changed", "file-missing", "chunk-corrupt", "chunk-missing"} <= kinds
    import_arrays = tmp_path / "negative"
    from skyloom.tensors import create_store, key_arrays

    layout = store.layout
    made = create_store(import_arrays, layout)
    for partition in catalog.partitions():
        keys = key_arrays(read_partition(catalog.root, partition, list(layout.keys)), layout.keys)
        with PartitionWriter(made, layout, partition.key, keys) as writer:
            writer.append(np.full((partition.rows, *layout.shape), -1.0, np.float32))
            writer.commit()
    findings, _ = check_tensors(open_tensors(import_arrays), catalog)
    assert {finding.kind for finding in findings} == {"bad-ivar"}


def test_a_store_whose_grid_is_none_says_so(tmp_path, field):
    catalog, folder, _, _ = field
    make_spectra(catalog, [str(folder)], tmp_path / "store", request_of())
    root = tmp_path / "store" / "zarr.json"
    root.write_text(root.read_text().replace('"step": 0.0001', '"step": -0.0001'))
    with pytest.raises(DataError, match="positive and increase"):
        open_tensors(tmp_path / "store")


def test_the_commands_make_import_describe_and_check(tmp_path, field, capsys):
    catalog, folder, _, _ = field
    store = str(tmp_path / "store")
    words = ["--grid", str(START), str(STEP), str(PIXELS), "--log10", "--id-key", "BESTOBJID", "--json"]
    assert main(["spectra", "make", catalog.root, "--spectra", str(folder), "--output", store, *words]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["rows"], made["without"], made["spectra"]) == (12, 2, 10)
    assert main(["spectra", "describe", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wavelength"] == {**GRID.said()}
    assert main(["spectra", "check", store, "--catalog", catalog.root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12
    for name, at in (("flux", 0), ("ivar", 1)):
        np.save(tmp_path / f"{name}.npy", np.stack([sample(i)[at] for i in range(12)]))
    np.save(tmp_path / "grid.npy", wavelengths())
    words = ["--ivar", str(tmp_path / "ivar.npy"), "--grid-file", str(tmp_path / "grid.npy"), "--unit", ""]
    source = ["--from", str(tmp_path / "flux.npy"), "--output", str(tmp_path / "imported")]
    assert main(["spectra", "import", catalog.root, *source, *words]) == 0
    assert open_tensors(tmp_path / "imported").layout.grid.agrees(GRID)
    assert main(["spectra", "import", catalog.root, *source, *words, "--grid", "1", "1", "9"]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["spectra", "import", catalog.root, *source, "--medium", "air", "--unit", ""]) == 2
    assert "give one of these" in capsys.readouterr().err
    columns = ["--columns", "flux:FLUX"]
    assert main(["spectra", "make", catalog.root, "--spectra", str(folder), "--output", "x", *columns]) == 2
    assert "WHAT=NAME" in capsys.readouterr().err


LAMOST = "lamost_spectra/spectra_176.parquet"
SDSS = "sdss_image_spectrum_pairs/pairs.parquet"


def survey(tmp_path, data, file, key):
    """The catalog of a table of spectra: its rows, under their key."""
    table = pq.read_table(data / file)
    rows = table.select([key, "ra", "dec"]).rename_columns(["object_id", "ra", "dec"])
    pq.write_table(rows, tmp_path / "rows.parquet")
    said = {"files": [str(tmp_path / "rows.parquet")], "id": "object_id", "ra": "ra", "dec": "dec"}
    spec = {"name": "survey", "output": str(tmp_path / "survey"), "objects": said, "partitions": {"rows": 40}}
    return import_catalog(ImportSpec.model_validate(spec)), table.to_pylist()


@pytest.mark.survey_data
def test_lamost_on_its_own_grid_is_the_source_bit_for_bit_and_on_another_the_slow_sum(tmp_path, skyloom_data):
    catalog, source = survey(tmp_path, skyloom_data, LAMOST, "filename")
    reading = Reading(id_key="filename", medium="vacuum")
    made = import_spectra(catalog, skyloom_data / LAMOST, tmp_path / "own", SpectraRequest(reading=reading))
    assert (made.rows, made.spectra, made.without, made.unmatched, made.rows_with_several) == (176, 176, 0, 0, 0)
    assert open_tensors(tmp_path / "own").layout.grid == Grid(3904, start=3.5682, step=1e-4, log10=True)
    own = by_id(catalog, tmp_path / "own")
    grid = Grid(250, start=4000.0, step=4.0)
    import_spectra(catalog, skyloom_data / LAMOST, tmp_path / "other", SpectraRequest(grid=grid, reading=reading))
    other = by_id(catalog, tmp_path / "other")
    assert check_tensors(open_tensors(tmp_path / "other"), catalog) == ([], 176)
    for number, row in enumerate(source):
        flux, ivar = np.array(row["flux"], np.float32), np.array(row["ivar"], np.float32)
        have = own[row["filename"]]
        assert (have[0].tobytes(), have[1].tobytes()) == (flux.tobytes(), ivar.tobytes())
        assert have[2] == pytest.approx((ivar > 0).mean())
        if number % 60 == 0:  # the slow sum takes seconds
            wave = 10 ** (row["coeff0"] + row["coeff1"] * np.arange(row["npix"]))
            near = (wave > 3990) & (wave < 5010)
            wanted = slow_conserving(
                wave[near], grid.wavelengths(), flux[near].astype(float), ivar[near].astype(float)
            )
            np.testing.assert_allclose(other[row["filename"]][0], wanted[0], rtol=1e-6)
            np.testing.assert_allclose(other[row["filename"]][1], wanted[1], rtol=1e-5)


@pytest.mark.survey_data
def test_sdss_spectra_of_ten_galaxies_share_a_grid_and_keep_their_bits(tmp_path, skyloom_data):
    catalog, source = survey(tmp_path, skyloom_data, SDSS, "bestobjid")
    grid = Grid(3900, start=3.5780, step=1e-4, log10=True)
    unit = SDSS_UNIT
    by = {
        "id": Reading(id_key="bestobjid", medium="vacuum", unit=unit),
        "sky": Reading(medium="vacuum", unit=unit),
    }
    for name, reading in by.items():
        request = SpectraRequest(grid=grid, reading=reading)
        made = make_spectra(catalog, [str(skyloom_data / SDSS)], tmp_path / name, request)
        assert (made.rows, made.without, made.unmatched) == (10, 0, 0)
        found = by_id(catalog, tmp_path / name)
        for row in source:
            flux, ivar = np.array(row["flux"], np.float32), np.array(row["ivar"], np.float32)
            at = round((row["loglam"][0] - 3.5780) / 1e-4)
            have = found[row["bestobjid"]]
            here = slice(at, at + len(flux))
            assert (have[0][here].tobytes(), have[1][here].tobytes()) == (flux.tobytes(), ivar.tobytes())
            assert np.isfinite(have[0]).sum() == len(flux)
            assert (have[1] > 0).sum() == (ivar > 0).sum()


@pytest.mark.survey_data
@pytest.mark.parametrize(("name", "file"), [("lamost", LAMOST), ("sdss-pairs", SDSS)])
def test_the_import_files_of_the_surveys_make_catalogs_that_spectra_match(
    tmp_path, skyloom_data, monkeypatch, name, file
):
    monkeypatch.setenv("SKYLOOM_DATA", str(skyloom_data))
    spec = Path(__file__).parents[2] / "catalogs" / "imports" / f"{name}.toml"
    assert main(["catalog", "import", str(spec), "--output", str(tmp_path / name)]) == 0
    catalog = open_catalog(str(tmp_path / name))
    request = SpectraRequest(reading=Reading(medium="vacuum"))
    made = import_spectra(catalog, skyloom_data / file, tmp_path / "store", request)
    assert (made.without, made.unmatched) == (0, 0)
    assert made.spectra == made.rows == catalog.rows
