"""Cutouts of images, and stamps of others, end up beside their rows."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from sky_images import CENTRE, all_rows, catalog_at, tan, write_image
from skyloom.catalog import open_catalog
from skyloom.cli import main
from skyloom.errors import DataError, NotFoundError, SpecError, StoreFullError
from skyloom.imaging import ImageSet, cut_rows, find_images
from skyloom.jobs.make_tensors import check_tensors, import_cutouts, make_cutouts
from skyloom.runtime.tensors import tensor_column
from skyloom.tensors import open_tensors


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
def test_cuts_of_jwst_images_are_astropys_also_off_the_image(tmp_path, skyloom_data):
    folder = skyloom_data / "image_differencing" / "subtract_test_nircam" / "input_data"
    path = sorted(folder.glob("jw01324*.fits"))[0]
    wcs, data = WCS(fits.getheader(path)), fits.getdata(path)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-10, 910, 300), rng.uniform(-10, 910, 300)
    x[:4] = 3000.0
    catalog = catalog_at(tmp_path / "jwst", *wcs.pixel_to_world_values(x, y))
    made = make_cutouts(catalog, [str(path)], tmp_path / "store", size=32)
    values, _ = all_rows(catalog, tmp_path / "store")
    for row in range(4, 300):
        wanted = Cutout2D(data, (x[row], y[row]), 32, mode="partial", fill_value=np.nan).data
        np.testing.assert_array_equal(values[row, 0], wanted)
    assert made.without >= 4
    assert np.isnan(values[:4]).all()
    assert open_tensors(tmp_path / "store").layout.unit == "MJy/sr"


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
