"""Cutouts of images, and stamps of others, end up beside their rows."""

from __future__ import annotations

import errno
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from astropy.wcs import WCS

from sky_images import CENTRE, all_rows, catalog_at, tan, write_image
from skyloom.catalog import open_catalog, read_partition
from skyloom.cli import main
from skyloom.errors import ConflictError, DataError, NotFoundError, SpecError, StoreFullError
from skyloom.imaging import ImageSet, cut_rows, find_images
from skyloom.jobs.make_tensors import check_tensors, import_cutouts, make_cutouts
from skyloom.runtime.tensors import tensor_column
from skyloom.tensors import open_tensors


def ids_of(catalog, partition):
    return read_partition(catalog.root, partition, ["object_id"])["object_id"].to_numpy()


def all_positions(catalog):
    """Positions as the catalog has them, by id."""
    tables = [read_partition(catalog.root, p, ["object_id", "ra", "dec"]) for p in catalog.partitions()]
    table = pa.concat_tables(tables).sort_by("object_id")
    return table["ra"].to_numpy(), table["dec"].to_numpy()


@pytest.fixture
def sky(tmp_path):
    """An image with one hole, and a catalog of 30 rows on it, 3 on its edge and 2 off it."""
    rng = np.random.default_rng(3)
    data = rng.normal(10, 1, (200, 200)).astype(np.float32)
    data[90:110, 90:110] = np.nan
    wcs = tan(200)
    write_image(tmp_path / "r.fits", data, wcs)
    x = np.concatenate([rng.uniform(20, 180, 30), [0.3, 199.3, 100.3], [900.0, -800.0]])
    y = np.concatenate([rng.uniform(20, 180, 30), [100.3, 199.3, 100.3], [100.0, 100.0]])
    catalog = catalog_at(tmp_path / "rows", *wcs.pixel_to_world_values(x, y))
    return catalog, data, wcs, x, y


def test_cuts_on_the_images_own_grid_are_astropys(tmp_path, sky):
    catalog, data, _wcs, x, y = sky
    made = make_cutouts(catalog, [str(tmp_path / "r.fits")], tmp_path / "store", size=16)
    assert (made.rows, made.without, made.shape) == (35, 3, (1, 16, 16))
    values, coverage = all_rows(catalog, tmp_path / "store")
    for row in range(33):
        wanted = Cutout2D(data, (x[row], y[row]), 16, mode="partial", fill_value=np.nan).data
        np.testing.assert_array_equal(values[row, 0], wanted)
        assert coverage[row, 0] == pytest.approx(np.isfinite(wanted).mean())
    assert not coverage[32:].any()  # in the hole, and off the image
    assert check_tensors(open_tensors(tmp_path / "store"), catalog) == ([], 35)
    layout = open_tensors(tmp_path / "store").layout
    assert (layout.unit, layout.bands) == ("nJy", ("r",))
    assert layout.pixel_arcsec == pytest.approx(0.25)


def test_each_image_is_opened_once_and_of_two_the_one_with_more_data_is_taken(tmp_path):
    one, two = np.full((100, 100), 1.0, np.float32), np.full((100, 100), 2.0, np.float32)
    one[:, :52] = np.nan
    wcs = tan(100)
    paths = [str(write_image(tmp_path / f"{n}.fits", d, wcs)) for n, d in enumerate((one, two))]
    images = ImageSet(find_images(paths))
    x = np.linspace(10, 90, 40)
    ra, dec = wcs.pixel_to_world_values(x, np.full(40, 50.0))
    found = cut_rows(images, ra, dec, bands=["r"], size=8)
    assert images.opened == 2
    taken = found.values[:, 0, 4, 4]
    assert (taken[x < 55] == 2).all()
    assert (taken[x > 57] == 1).all()  # equal coverage: the earlier image
    np.testing.assert_array_equal(found.image[:, 0], taken - 1)


def test_resampled_north_up_a_turned_image_gives_what_a_straight_one_gives(tmp_path):
    sky_of = lambda w: np.sin(w[0] * 2e3) + np.cos(w[1] * 2e3)  # noqa: E731
    y, x = np.mgrid[:160, :160]
    for name, angle in (("straight", 0.0), ("turned", 0.7)):
        wcs = tan(160, angle=angle)
        ra, dec = wcs.pixel_to_world_values(x, y)
        write_image(tmp_path / f"{name}.fits", sky_of((ra, dec)).astype(np.float32), wcs)
    ra, dec = np.array([CENTRE[0], CENTRE[0] + 1e-3]), np.array([CENTRE[1], CENTRE[1] - 1e-3])
    straight, turned = (
        cut_rows(
            ImageSet(find_images([str(tmp_path / f"{name}.fits")])),
            ra,
            dec,
            bands=["r"],
            size=20,
            pixel_arcsec=0.25,
        ).values
        for name in ("straight", "turned")
    )
    assert np.isfinite(straight).all()
    np.testing.assert_allclose(turned, straight, atol=0.02)


def test_bands_become_channels_in_the_order_asked_and_compressed_images_are_images(tmp_path, sky):
    catalog, data, wcs, _, _ = sky
    write_image(tmp_path / "g.fits", data * 2, wcs, band="g", compressed=True)
    places = [str(tmp_path / "r.fits"), str(tmp_path / "g.fits")]
    make_cutouts(catalog, places, tmp_path / "store", size_arcsec=2.0, bands=["r", "g"])
    values, _ = all_rows(catalog, tmp_path / "store")
    assert values.shape[1:] == (2, 8, 8)
    np.testing.assert_array_equal(values[:, 1], values[:, 0] * 2)


def test_integer_blanks_are_no_data(tmp_path):
    data = np.arange(400, dtype=np.int16).reshape(20, 20)
    data[5, 5] = -999
    header = tan(20).to_header()
    header["FILTER"], header["BLANK"] = "r", -999
    fits.PrimaryHDU(data, header).writeto(tmp_path / "i.fits")
    pixels = ImageSet(find_images([str(tmp_path / "i.fits")])).pixels(0)
    assert np.isnan(pixels[5, 5])
    assert np.isfinite(pixels).sum() == 399


def test_the_width_of_the_image_that_was_taken_lies_beside_each_band_of_each_row(tmp_path, capsys):
    wcs = tan(100)
    left, right = np.ones((100, 100), np.float32), np.full((100, 100), 2.0, np.float32)
    left[:, 50:] = np.nan
    right[:, :50] = np.nan
    write_image(tmp_path / "left.fits", left, wcs, SEEING=(1.5, "[arcsec]"))
    write_image(tmp_path / "right.fits", right, wcs, SEEING=(4.0, "pixels"))
    write_image(tmp_path / "g.fits", left, wcs, band="g")
    catalog = catalog_at(tmp_path / "rows", *wcs.pixel_to_world_values([20.0, 80.0, 500.0], [50.0, 50.0, 50.0]))
    places = [str(tmp_path / f"{name}.fits") for name in ("left", "right", "g")]
    make_cutouts(catalog, places, tmp_path / "store", size=16, bands=["r", "g"])
    store = open_tensors(tmp_path / "store")
    widths = {}
    for partition in catalog.partitions():
        found = store.read(partition.key, 0, partition.rows)
        widths |= dict(zip(ids_of(catalog, partition).tolist(), found.psf_fwhm_arcsec.tolist(), strict=True))
    # Row 0 lies on the left, row 1 on the right image, row 2 on none; g states no width.
    np.testing.assert_allclose([widths[i] for i in range(3)], [[1.5, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    assert main(["cutouts", "describe", str(tmp_path / "store"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["origin"]["psf_fwhm"] == {
        "r": {"images": 2, "stated": 2, "arcsec": [1.0, 1.5], "keys": ["SEEING (arcsec)", "SEEING (pixel)"]},
        "g": {"images": 1, "stated": 0, "arcsec": [], "keys": []},
    }
    assert said["extras"] == ["psf_fwhm_arcsec"]


def test_a_store_of_images_that_state_no_width_has_none(tmp_path, sky):
    catalog = sky[0]
    make_cutouts(catalog, [str(tmp_path / "r.fits")], tmp_path / "store", size=16)
    store = open_tensors(tmp_path / "store")
    assert store.layout.extras == ()
    key = catalog.partitions()[0].key
    assert np.isnan(store.read(key, 0, 1).psf_fwhm_arcsec).all()
    # Unless the request says where it is, and in which unit.
    write_image(tmp_path / "w.fits", sky[1], sky[2], MYWIDTH=4.0)
    make_cutouts(catalog, [str(tmp_path / "w.fits")], tmp_path / "told", size=16, psf_key="MYWIDTH=pixel")
    told = open_tensors(tmp_path / "told").read(key, 0, catalog.partitions()[0].rows)
    assert np.nanmax(told.psf_fwhm_arcsec) == pytest.approx(1.0)


def test_images_that_state_no_unit_take_the_one_that_is_said(tmp_path, sky):
    catalog, data, wcs, _, _ = sky
    silent = write_image(tmp_path / "silent.fits", data, wcs, unit="")
    with pytest.raises(SpecError, match=r"several units[\s\S]*no unit stated: band r, .*silent.fits"):
        make_cutouts(catalog, [str(tmp_path / "r.fits"), str(silent)], tmp_path / "s", size=8)
    make_cutouts(catalog, [str(tmp_path / "r.fits"), str(silent)], tmp_path / "both", size=8, unit="nJy")
    make_cutouts(catalog, [str(silent)], tmp_path / "silent", size=8, unit="Jy")
    make_cutouts(catalog, [str(silent)], tmp_path / "none", size=8)
    units = [open_tensors(tmp_path / name).layout.unit for name in ("both", "silent", "none")]
    assert units == ["nJy", "Jy", ""]
    # Two spellings of one unit are one unit; a word that is none may be told by one that is.
    write_image(tmp_path / "spelt.fits", data, wcs, unit="1e-9 Jy")
    write_image(tmp_path / "strange.fits", data, wcs, unit="NANOJANSKYS")
    make_cutouts(catalog, [str(tmp_path / f"{n}.fits") for n in ("r", "spelt")], tmp_path / "two", size=8)
    make_cutouts(catalog, [str(tmp_path / "strange.fits")], tmp_path / "strange", size=8, unit="nJy")
    assert [open_tensors(tmp_path / name).layout.unit for name in ("two", "strange")] == ["nJy", "nJy"]


def test_packets_with_fits_files_in_bytes_are_one_command(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    catalog = catalog_at(tmp_path / "rows", np.linspace(10, 50, 5), np.zeros(5), ids=np.arange(5) + 100)
    packed = []
    for value in values:
        out = io.BytesIO()
        fits.PrimaryHDU(value).writeto(out)
        packed.append(gzip.compress(out.getvalue()))
    packed[3] = packed[3][:50]
    stamp = pa.StructArray.from_arrays([pa.array(packed)], names=["stampData"])
    candidate = pa.StructArray.from_arrays([pa.array([103, 101, 102, 100, 104])], names=["candid"])
    pq.write_table(pa.table({"cutoutScience": stamp, "candidate": candidate}), tmp_path / "packets.parquet")
    words = ["cutouts", "import", catalog.root, "--from", str(tmp_path / "packets.parquet")]
    words += ["--columns", "cutoutScience.stampData", "--id-column", "candidate.candid", "--shape", "6", "7"]
    assert main([*words, "--output", str(tmp_path / "store"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["without"], said["unreadable"]) == (5, 1, 1)
    assert "row 3: it is cut short" in said["first_unreadable"]
    found, coverage = all_rows(catalog, tmp_path / "store")
    assert coverage[:, 0].tolist() == [0, 1, 1, 1, 1]
    np.testing.assert_array_equal(found[1:, 0], values[[1, 2, 0, 4]])


def test_a_full_disk_stops_a_make_and_the_next_takes_up_the_rest_to_the_same_bytes(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    catalog = catalog_at(tmp_path / "rows", rng.uniform(0, 360, 40), rng.uniform(-60, 60, 40))
    stamps = rng.normal(size=(40, 5, 5)).astype(np.float32)
    np.save(tmp_path / "stamps.npy", stamps)
    calm = import_cutouts(catalog, tmp_path / "stamps.npy", tmp_path / "calm")
    from skyloom.tensors import PartitionWriter

    real, count = PartitionWriter._synced, []

    def full(self):
        count.append(self.key)
        if len(count) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self)

    assert calm.partitions > 2
    monkeypatch.setattr(PartitionWriter, "_synced", full)
    with pytest.raises(StoreFullError):
        import_cutouts(catalog, tmp_path / "stamps.npy", tmp_path / "store")
    monkeypatch.undo()
    assert not list((tmp_path / "store").glob(".tmp-*"))
    again = import_cutouts(catalog, tmp_path / "stamps.npy", tmp_path / "store")
    assert again.made == calm.partitions - 1
    one, two = (open_tensors(tmp_path / name) for name in ("calm", "store"))
    keys = [partition.key for partition in catalog.partitions()]
    assert one.digest(one.statements(keys)) == two.digest(two.statements(keys))
    np.testing.assert_array_equal(all_rows(catalog, tmp_path / "store")[0][:, 0], stamps)


def test_stamps_are_matched_by_id_and_rows_without_one_have_none(tmp_path):
    ids = np.array([70, 10, 50, 30])
    catalog = catalog_at(tmp_path / "rows", [1.0, 2.0, 3.0, 4.0], [0.0] * 4, ids)
    stamps = {"object_id": [50, 70, 10], **{c: [[v] * 4 for v in (5.0, 7.0, 1.0)] for c in ("a", "b")}}
    pq.write_table(pa.table(stamps), tmp_path / "s.parquet")
    import_cutouts(catalog, tmp_path / "s.parquet", tmp_path / "store", columns=["a", "b"], shape=(2, 2))
    values, coverage = all_rows(catalog, tmp_path / "store")
    assert values[:, :, 0, 0].tolist()[0] == [1.0, 1.0]
    assert coverage[:, 0].tolist() == [1.0, 0.0, 1.0, 1.0]
    np.save(tmp_path / "twice.npy", np.zeros((2, 3, 3)))
    np.save(tmp_path / "ids.npy", np.array([10, 10]))
    with pytest.raises(DataError, match="id 10 occurs twice"):
        import_cutouts(catalog, tmp_path / "twice.npy", tmp_path / "t", ids=tmp_path / "ids.npy")


def test_stamps_of_which_no_row_has_one_make_no_store(tmp_path):
    catalog = catalog_at(tmp_path / "rows", [1.0, 2.0], [0.0, 0.0], np.array([70, 10]))
    np.save(tmp_path / "stamps.npy", np.zeros((2, 3, 3)))
    with pytest.raises(DataError, match=r"none of its 2 stamps .* its ids are 0, 1, .* catalog 10, .*--id-column"):
        import_cutouts(catalog, tmp_path / "stamps.npy", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_ids_that_are_none_are_said_with_their_file(tmp_path):
    catalog = catalog_at(tmp_path / "rows", [1.0, 2.0], [0.0, 0.0])
    np.save(tmp_path / "stamps.npy", np.zeros((2, 3, 3)))
    (tmp_path / "text.npy").write_text("1 2")
    np.save(tmp_path / "two.npy", np.zeros((2, 1), int))
    np.save(tmp_path / "three.npy", np.arange(3))
    for name, error, said in (
        ("text.npy", DataError, r"text\.npy holds no ids"),
        ("nowhere.npy", DataError, r"nowhere\.npy holds no ids"),
        ("two.npy", SpecError, r"shape \(2, 1\); --ids has one id per stamp"),
        ("three.npy", SpecError, "2 stamps and there are 3 ids"),
    ):
        with pytest.raises(error, match=said):
            import_cutouts(catalog, tmp_path / "stamps.npy", tmp_path / "store", ids=tmp_path / name)


def test_a_request_for_other_images_does_not_go_into_a_store_and_says_so_shortly(tmp_path, sky):
    catalog, data, wcs, _, _ = sky
    places = [str(write_image(tmp_path / f"image-with-a-long-name-{k}.fits", data, wcs)) for k in range(8)]
    make_cutouts(catalog, places[:1], tmp_path / "store", size=8)
    with pytest.raises(ConflictError, match=r"origin: .* \.\.\.\nGive another --output") as caught:
        make_cutouts(catalog, places, tmp_path / "store", size=8)
    assert len(caught.value.message) < 1000


def test_tensors_in_several_parquet_files_are_one_import(tmp_path):
    values = np.random.default_rng(3).normal(size=(7, 2, 4, 5)).astype(np.float32)
    catalog = catalog_at(tmp_path, np.linspace(10, 50, 7), np.zeros(7), ids=np.arange(7) + 100)
    order = np.array([6, 0, 3, 1, 5, 2, 4])
    for number, part in enumerate((order[:4], order[4:])):
        table = pa.table({"object_id": part + 100, "cutout": tensor_column(values[part])})
        pq.write_table(table, tmp_path / f"stamps-{number}.parquet")
    made = import_cutouts(
        catalog, tmp_path / "stamps-*.parquet", tmp_path / "store", columns=["cutout"], id_column="object_id"
    )
    assert (made.rows, made.without, made.shape) == (7, 0, (2, 4, 5))
    found, coverage = all_rows(catalog, tmp_path / "store")
    np.testing.assert_array_equal(found, values)
    assert (coverage == 1).all()


def test_requests_that_leave_it_open_what_to_make_are_refused(tmp_path, sky):
    catalog, data, _wcs, _, _ = sky
    place = str(tmp_path / "r.fits")
    for options, said in (
        ({"size": 8, "bands": ["g"]}, "no image has band g; there is: r"),
        ({}, "either --size"),
        ({"size": 8, "size_arcsec": 2.0}, "either --size"),
    ):
        with pytest.raises(SpecError, match=said):
            make_cutouts(catalog, [place], tmp_path / "s", **options)
    write_image(tmp_path / "other.fits", data, tan(200, scale=0.5), unit="Jy")
    with pytest.raises(
        SpecError, match=r"several units[\s\S]*nJy: band r, .*r.fits\[1\]\n  Jy: band r, .*other.fits"
    ):
        make_cutouts(catalog, [place, str(tmp_path / "other.fits")], tmp_path / "s", size=8)
    with pytest.raises(SpecError, match="several units"):
        make_cutouts(catalog, [place, str(tmp_path / "other.fits")], tmp_path / "s", size=8, unit="nJy")
    with pytest.raises(SpecError, match="is in 'nJy' by its header, and --unit says 'Jy'"):
        make_cutouts(catalog, [place], tmp_path / "s", size=8, unit="Jy")
    write_image(tmp_path / "coarse.fits", data, tan(200, scale=0.5))
    with pytest.raises(SpecError, match="resample with --pixel-arcsec"):
        make_cutouts(catalog, [place, str(tmp_path / "coarse.fits")], tmp_path / "s", size=8)
    with pytest.raises(NotFoundError, match="no FITS file"):
        find_images([str(tmp_path / "nowhere")])


def test_the_commands_make_describe_and_check(tmp_path, sky, capsys):
    catalog = sky[0]
    store = str(tmp_path / "store")
    words = [
        "cutouts",
        "make",
        catalog.root,
        "--images",
        str(tmp_path / "r.fits"),
        "--size",
        "8",
        "--output",
        store,
    ]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 35
    assert main(["cutouts", "describe", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shape"] == [1, 8, 8]
    assert main(["cutouts", "check", store, "--catalog", catalog.root]) == 0
    assert "nothing wrong in 35 rows" in capsys.readouterr().out
    next(Path(store).rglob("values/c/0/0/0/0")).write_bytes(b"")
    assert main(["cutouts", "check", store, "--catalog", catalog.root, "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]


@pytest.mark.survey_data
def test_cuts_of_both_jwst_images_are_astropys_also_off_the_image(tmp_path, skyloom_data):
    folder = skyloom_data / "image_differencing" / "subtract_test_nircam" / "input_data"
    paths = sorted(folder.glob("jw*.fits"))
    assert len(paths) == 2
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-25, 925, 300), rng.uniform(-25, 925, 300)
    x[:4] = 3000.0
    catalog = catalog_at(tmp_path / "jwst", *WCS(fits.getheader(paths[0])).pixel_to_world_values(x, y))
    places = [f"{band}={path}" for band, path in zip(("first", "second"), paths, strict=True)]
    made = make_cutouts(catalog, places, tmp_path / "store", size=32, bands=["first", "second"])
    values, coverage = all_rows(catalog, tmp_path / "store")
    assert (len(values), made.rows, made.shape) == (300, 300, (2, 32, 32))
    ra, dec = all_positions(catalog)
    for channel, path in enumerate(paths):
        wcs, data = WCS(fits.getheader(path)), fits.getdata(path)
        positions = np.stack(wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg")), axis=1)
        for row in range(300):
            try:
                wanted = Cutout2D(data, positions[row], 32, mode="partial", fill_value=np.nan).data
            except NoOverlapError:
                wanted = np.full((32, 32), np.nan, np.float32)
            np.testing.assert_array_equal(values[row, channel], wanted)
            assert coverage[row, channel] == np.float32(np.isfinite(wanted).mean())
    off = ~np.isfinite(values).any(axis=(1, 2, 3))
    assert off[:4].all()
    assert made.without == off.sum() < 60
    assert open_tensors(tmp_path / "store").layout.unit == "MJy/sr"
    assert check_tensors(open_tensors(tmp_path / "store"), catalog) == ([], 300)


@pytest.mark.survey_data
def test_widths_in_decam_headers_lie_beside_their_cutouts_in_arcsec(tmp_path, skyloom_data):
    folder = skyloom_data / "image_differencing" / "difference_noise_decorrelation" / "input_data"
    paths = sorted(folder.glob("*.mini.fits"))[:2]
    x, y = np.array([100.0, 200.0, 5000.0]), np.array([100.0, 50.0, 100.0])
    catalog = catalog_at(tmp_path / "decam", *WCS(fits.getheader(paths[0])).pixel_to_world_values(x, y))
    places = [f"{band}={path}" for band, path in zip("ab", paths, strict=True)]
    make_cutouts(catalog, places, tmp_path / "store", size=32, pixel_arcsec=0.27)
    store = open_tensors(tmp_path / "store")
    widths = np.concatenate(
        [
            store.read(p.key, 0, p.rows).psf_fwhm_arcsec[np.argsort(ids_of(catalog, p))]
            for p in catalog.partitions()
        ]
    )
    off = ~np.isfinite(all_rows(catalog, tmp_path / "store")[0]).any(axis=(1, 2, 3))
    assert off.sum() == 1
    pixels = [fits.getheader(path)["FWHM"] for path in paths]
    scale = [image.pixel_arcsec for image in find_images([str(path) for path in paths])]
    known = widths[np.isfinite(widths).all(axis=1)]
    np.testing.assert_allclose(known, np.tile(np.multiply(pixels, scale), (2, 1)), rtol=1e-6)
    assert np.isnan(widths).all(axis=1).sum() == 1
    assert store.layout.origin["psf_fwhm"]["a"]["keys"] == ["FWHM (pixel)"]


@pytest.mark.survey_data
def test_ztf_stamps_come_back_beside_their_alerts(tmp_path, skyloom_data):
    source = skyloom_data / "ztf_alerts" / "alerts.parquet"
    columns = ["stamp_science", "stamp_template", "stamp_difference"]
    table = pq.read_table(source, columns=["candid", "ra", "dec", *columns])
    catalog = catalog_at(
        tmp_path / "ztf", table["ra"].to_numpy(), table["dec"].to_numpy(), table["candid"].to_numpy()
    )
    import_cutouts(
        catalog, source, tmp_path / "store", columns=columns, shape=(63, 63), id_column="candid",
        bands=["science", "template", "difference"],
    )  # fmt: skip
    values, _ = all_rows(catalog, tmp_path / "store")
    order = np.argsort(table["candid"].to_numpy())
    for channel, name in enumerate(columns):
        wanted = table[name].combine_chunks().flatten().to_numpy().reshape(-1, 63, 63)[order]
        np.testing.assert_array_equal(values[:, channel], np.where(np.isfinite(wanted), wanted, np.nan))
    assert check_tensors(open_tensors(tmp_path / "store"), open_catalog(catalog.root))[0] == []


@pytest.mark.survey_data
def test_ztf_alerts_and_their_stamps_are_two_commands(tmp_path, skyloom_data, monkeypatch, capsys):
    monkeypatch.setenv("SKYLOOM_DATA", str(skyloom_data))
    rows, store = str(tmp_path / "ztf"), str(tmp_path / "store")
    spec = Path(__file__).parents[2] / "catalogs" / "imports" / "ztf-alerts.toml"
    assert main(["catalog", "import", str(spec), "--output", rows]) == 0
    source = str(skyloom_data / "ztf_alerts" / "alerts.parquet")
    words = ["cutouts", "import", rows, "--from", source, "--columns", "stamp_science", "stamp_template"]
    assert main([*words, "--shape", "63", "63", "--output", store]) == 0
    assert main(["cutouts", "check", store, "--catalog", rows]) == 0
    assert open_tensors(store).layout.shape == (2, 63, 63)


@pytest.mark.survey_data
def test_mirabest_images_lie_at_the_positions_of_their_files(tmp_path, skyloom_data):
    import importlib.util

    tool = Path(__file__).parents[2] / "catalogs" / "make_mirabest_table.py"
    loaded = importlib.util.spec_from_file_location("make_mirabest_table", tool)
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    source = skyloom_data / "mirabest" / "mirabest_batches_792_150x150.parquet"
    table = module.table_of(source)
    pq.write_table(table, tmp_path / "mirabest.parquet")
    ids = table["mirabest_id"].to_numpy()
    catalog = catalog_at(tmp_path / "rows", table["ra"].to_numpy(), table["dec"].to_numpy(), ids)
    made = import_cutouts(
        catalog, tmp_path / "mirabest.parquet", tmp_path / "store", columns=["image"], shape=(150, 150),
        id_column="mirabest_id", pixel_arcsec=1.8,
    )  # fmt: skip
    assert made.without == 0
    values, _ = all_rows(catalog, tmp_path / "store")
    wanted = pq.read_table(source, columns=["image_u8"])["image_u8"].combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(values[:, 0], wanted.reshape(-1, 150, 150))
