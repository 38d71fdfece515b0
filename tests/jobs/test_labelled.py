"""A labelled catalog is read as a job reads it: the same arrays, and every row is used or counted."""

import types

import numpy as np
import pyarrow as pa
import pytest

import toy_tensors
from skyloom.catalog import open_catalog, read_partition
from skyloom.cli import main
from skyloom.columns import Column
from skyloom.errors import ConflictError, DataError, NotFoundError, SpecError
from skyloom.evaluation import evaluate
from skyloom.jobs.labelled import UNLABELLED, LabelledCatalog
from skyloom.jobs.plan import row_keys_of
from skyloom.models import registry
from skyloom.models.card import unsaid
from skyloom.models.weights import read_bundle
from skyloom.runtime.contract import Flag, Inputs
from skyloom.tensors import Layout, PartitionWriter, create_store, key_arrays
from tiny_catalogs import objects, write_hats

SHAPE = (2, 6, 6)


def image_of(object_id):
    """The image of an object, whatever partition it is in."""
    return np.random.default_rng(int(object_id)).normal(5, 1, SHAPE).astype(np.float32)


def catalog_of(root, *, threshold=40, twice=False, rows=240):
    """A catalog with a column of labels: null in every fifth object."""
    table = objects(rows)
    ids = table["object_id"].to_numpy()
    kind = pa.array([None if i % 5 == 0 else "odd" if i % 2 else "even" for i in ids.tolist()])
    if twice:
        table = table.set_column(
            1, table.schema.field("object_id"), pa.array(np.where(ids == ids[3], ids[4], ids))
        )
    return write_hats(root, table.append_column("kind", kind), threshold=threshold)


def store_of(root, location, *, missing=11):
    catalog = open_catalog(location)
    layout = Layout(
        kind="cutouts",
        catalog=catalog.name,
        snapshot=catalog.snapshot(),
        keys=row_keys_of(catalog),
        shape=SHAPE,
        unit="nJy",
        bands=("g", "r"),
        chunk_rows=8,
        shard_rows=16,
    )
    store = create_store(root, layout)
    for partition in catalog.partitions():
        keys = key_arrays(read_partition(catalog.root, partition, list(layout.keys)), layout.keys)
        made = [np.full(SHAPE, np.nan) if i % missing == 0 else image_of(i) for i in keys["object_id"]]
        with PartitionWriter(store, layout, partition.key, keys) as writer:
            writer.append(np.array(made, dtype=np.float32))
            writer.commit()
    return str(root)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("labelled")
    location = catalog_of(root / "mine")
    return location, store_of(root / "store", location)


def read(source, folder, system=toy_tensors):
    return source.read(system, system.Config(), folder)


def test_every_labelled_row_with_an_image_is_there_as_inference_sees_it(place, tmp_path):
    location, store = place
    rows = read(LabelledCatalog(str(location), "kind", tensors={"cutout": store}), tmp_path)
    ids = [int(i) for i in objects(240)["object_id"].to_pylist()]
    used = [i for i in ids if i % 5 and i % 11]
    assert sorted(rows.ids.tolist()) == sorted(used)
    np.testing.assert_array_equal(rows.arrays["image"], np.stack([image_of(i) for i in rows.ids]))
    np.testing.assert_array_equal(rows.tensors["cutout"], rows.arrays["image"])
    assert rows.label.tolist() == ["odd" if i % 2 else "even" for i in rows.ids.tolist()]
    assert rows.left_out == {
        UNLABELLED: sum(i % 5 == 0 for i in ids),
        "NO_IMAGE": sum(i % 11 == 0 and i % 5 != 0 for i in ids),
    }
    assert (rows.catalog, rows.column, rows.bands) == ("mine", "kind", ("g", "r"))
    assert rows.snapshot == open_catalog(location).snapshot()


def test_rows_are_the_same_ones_however_the_catalog_is_partitioned(place, tmp_path):
    location, store = place
    coarse = catalog_of(tmp_path / "mine", threshold=500)
    other = store_of(tmp_path / "store", coarse)
    one = read(LabelledCatalog(str(location), "kind", tensors={"cutout": store}), tmp_path / "one")
    two = read(LabelledCatalog(str(coarse), "kind", tensors={"cutout": other}), tmp_path / "two")
    for a, b in zip(one.split(least=5), two.split(least=5), strict=True):
        np.testing.assert_array_equal(one.ids[a], two.ids[b])
        np.testing.assert_array_equal(one.arrays["image"][a], two.arrays["image"][b])


FAR = Flag(0, "NO_REDSHIFT", "there is no redshift")
REDSHIFTS = types.SimpleNamespace(
    FLAGS=(FAR,),
    Config=lambda: None,
    reads=lambda config: (Column("z", "", "redshift", "float32", "src.redshift"),),
    inputs=lambda config, rows: redshifts(rows.column("z")),
)


def redshifts(z):
    there = z.is_valid().to_numpy(zero_copy_only=False)
    values = z.drop_null().to_numpy()[:, None]
    return Inputs({"z": values}, np.where(there, 0, FAR.mask).astype(np.uint32), there)


def test_a_system_without_tensors_reads_columns(place, tmp_path):
    rows = read(LabelledCatalog(str(place[0]), "target", columns={"z": "hostgal_photoz"}), tmp_path, REDSHIFTS)
    table = objects(240)
    by_id = dict(zip(table["object_id"].to_pylist(), table["hostgal_photoz"].to_pylist(), strict=True))
    found = dict(zip(rows.ids.tolist(), rows.arrays["z"][:, 0].tolist(), strict=True))
    assert found == {i: np.float32(z) for i, z in by_id.items() if z is not None}
    assert rows.left_out == {UNLABELLED: 0, "NO_REDSHIFT": sum(z is None for z in by_id.values())}
    truth = dict(zip(table["object_id"].to_pylist(), table["target"].to_pylist(), strict=True))
    assert rows.label.tolist() == [str(truth[i]) for i in rows.ids.tolist()]


def test_a_system_whose_inputs_are_no_arrays_is_refused(place, tmp_path):
    with pytest.raises(SpecError, match="are arrays, got BandLightCurves"):
        read(LabelledCatalog(str(place[0]), "target"), tmp_path, registry.system("lightcurve-features"))


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ({"label": "kinds"}, SpecError, "'kind'"),
        ({"label": "mwebv"}, SpecError, "labels are text, integers or booleans"),
        ({"tensors": {}}, SpecError, "no store is named"),
        ({"tensors": {"cutout": "nowhere"}}, NotFoundError, "nowhere"),
        ({"location": "nowhere"}, NotFoundError, "nowhere"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_refused(place, tmp_path, source, error, words):
    said = {"location": str(place[0]), "label": "kind", "tensors": {"cutout": place[1]}} | source
    with pytest.raises(error, match=words):
        read(LabelledCatalog(**said), tmp_path)


def test_a_store_of_another_catalog_is_refused(place, tmp_path):
    other = catalog_of(tmp_path / "other", rows=100)
    with pytest.raises(ConflictError, match="not made for catalog"):
        read(LabelledCatalog(str(other), "kind", tensors={"cutout": place[1]}), tmp_path)


def test_two_labelled_rows_of_one_object_are_refused(tmp_path):
    location = catalog_of(tmp_path / "mine", twice=True)
    with pytest.raises(DataError, match="have the id of another one"):
        read(LabelledCatalog(str(location), "target", columns={"z": "target"}), tmp_path, REDSHIFTS)


def test_a_catalog_without_a_usable_row_is_refused_with_the_reason(place, tmp_path):
    catalog = LabelledCatalog(
        str(place[0]), "kind", tensors={"cutout": store_of(tmp_path / "s", place[0], missing=1)}
    )
    with pytest.raises(DataError, match="NO_IMAGE"):
        read(catalog, tmp_path)


def test_gamornet_learns_from_a_labelled_catalog_and_is_measured_on_it_again(tmp_path, monkeypatch, capsys):
    pytest.importorskip("galsim")
    from skyloom.simulators import galaxies

    monkeypatch.chdir(tmp_path)
    assert galaxies.main(["--n", "600", "--seed", "5", "--output", "drawn", "--domain", "real"]) == 0
    assert main(["catalog", "import", "drawn/objects.parquet", "--id", "object_id", "--output", "hats/mine"]) == 0
    stamps = [
        "--from",
        "drawn/cutouts-*.parquet",
        "--columns",
        "cutout",
        "--id-column",
        "object_id",
        "--unit",
        "nJy",
    ]
    assert (
        main(["cutouts", "import", "hats/mine", *stamps, "--pixel-arcsec", "0.396", "--output", "stores/mine"])
        == 0
    )
    (tmp_path / "r.toml").write_text("n_simulated = 60\nepochs = 1\ntransfer_epochs = 1\nscratch_epochs = 1\n")
    rows = ["--catalog", "hats/mine", "--label", "true_class", "--tensors", "cutout=stores/mine", "--simulated"]
    train = ["model", "train", "gamornet", "--config", "r.toml", "--device", "cpu", "--output", "w/mine"]
    capsys.readouterr()
    assert main([*train, *rows]) == 0, capsys.readouterr().err
    card, _ = read_bundle(tmp_path / "w" / "mine")
    assert card.training["catalog"] == "mine"
    assert card.training["simulated"] is True
    assert sum(card.training[f"n_{part}"] for part in ("train", "calibration", "held_out")) > 500
    assert {s.who for s in card.scores if s.who.startswith("ours, after transfer (")} == {
        "ours, after transfer (labels of mine, simulated)"
    }
    assert set(unsaid(card)) == {"subgroups"}
    assert card.command.endswith("--catalog mine --label true_class --tensors cutout=STORE --output DIR")
    assert not list((tmp_path / "w" / "mine.training").rglob("*.raw"))
    source = LabelledCatalog("hats/mine", "true_class", tensors={"cutout": "stores/mine"}, simulated=True)
    again = evaluate("gamornet", "w/mine", source)
    assert [(s.metric, s.who) for s in again.scores] == [(s.metric, s.who) for s in card.scores]
    np.testing.assert_allclose([s.value for s in again.scores], [s.value for s in card.scores])
    with pytest.raises(SpecError, match="name that catalog"):
        evaluate("gamornet", "w/mine")
