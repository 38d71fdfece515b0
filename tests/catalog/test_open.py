"""Opening catalogs: ours, others', by path, URL, descriptor and name."""

import pickle
import shutil

import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog, read_partition
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from tiny_catalogs import FIRST_ID, objects, write_hats


def test_a_bare_catalog_tells_what_it_is(shared_tiny_catalog):
    catalog = open_catalog(shared_tiny_catalog)
    assert (catalog.name, catalog.rows) == ("tiny", 240)
    assert (catalog.ra_column, catalog.dec_column) == ("ra", "dec")
    assert (catalog.id_column, catalog.healpix_column) == ("object_id", "_healpix_29")
    assert len({p.order for p in catalog.partitions()}) > 2
    assert sum(p.rows for p in catalog.partitions()) == catalog.rows


def test_columns_are_flat_with_units_and_ucds(shared_tiny_catalog):
    columns = {c.name: c for c in open_catalog(shared_tiny_catalog).columns}
    assert columns["lc.flux"].unit == "nJy"
    assert columns["lc.flux"].dtype == "list<float32>"
    assert str(columns["lc.flux"].type) == "list<item: float>"
    assert columns["ra"].ucd == "pos.eq.ra;meta.main"
    assert columns["object_id"].dtype == "int64"


def test_partitions_are_in_the_order_of_hats(shared_tiny_catalog):
    from hats import read_hats

    pixels = [(p.order, p.pixel) for p in read_hats(shared_tiny_catalog).get_healpix_pixels()]
    assert [(p.order, p.npix) for p in open_catalog(shared_tiny_catalog).partitions()] == pixels


def test_a_collection_opens_its_primary_catalog(tiny_catalog, tmp_path):
    collection = tmp_path / "collection"
    collection.mkdir()
    tiny_catalog("collection/tiny")
    (collection / "collection.properties").write_text("obs_collection=c\nhats_primary_table_url=tiny\n")
    catalog = open_catalog(collection)
    assert catalog.root == str(collection / "tiny")
    assert catalog.collection == str(collection)


def test_the_old_name_of_the_properties_file_and_no_partition_list_are_enough(tiny_catalog):
    root = tiny_catalog()
    expected = open_catalog(root).snapshot()
    (root / "hats.properties").rename(root / "properties")
    (root / "partition_info.csv").unlink()
    (root / "dataset" / "_common_metadata").unlink()
    catalog = open_catalog(root)
    assert catalog.snapshot() == expected
    assert "lc.mjd" in {c.name for c in catalog.columns}


def test_a_url_opens_as_its_path_does(shared_tiny_catalog):
    by_url = open_catalog(f"file://{shared_tiny_catalog}")
    assert by_url.snapshot() == open_catalog(shared_tiny_catalog).snapshot()


def test_a_remote_file_system_opens_and_reads(shared_tiny_catalog):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(shared_tiny_catalog), "/remote/tiny", recursive=True)
    try:
        remote, local = open_catalog("memory://remote/tiny"), open_catalog(shared_tiny_catalog)
        assert remote.snapshot() == local.snapshot()
        partition = remote.partitions()[0]
        rows = read_partition(remote.root, partition, ["object_id", "lc.flux"], schema=remote.schema)
        assert rows.equals(read_partition(local.root, partition, ["object_id", "lc.flux"]))
    finally:
        memory.rm("/remote", recursive=True)


def test_the_snapshot_changes_when_a_file_does_and_not_when_the_place_does(tiny_catalog, tmp_path):
    root = tiny_catalog()
    before = open_catalog(root).snapshot()
    moved = shutil.copytree(root, tmp_path / "moved")
    assert open_catalog(moved).snapshot() == before
    path = moved / open_catalog(moved).partitions()[0].files[0]
    pq.write_table(pq.read_table(path, partitioning=None)[1:], path)
    assert open_catalog(moved).snapshot() != before


def test_a_catalog_travels_to_another_process(shared_tiny_catalog):
    catalog = open_catalog(shared_tiny_catalog)
    assert pickle.loads(pickle.dumps(catalog)).snapshot() == catalog.snapshot()


def test_lsdb_sees_the_same_rows(shared_tiny_catalog):
    frame = open_catalog(shared_tiny_catalog).to_lsdb(columns=["object_id", "ra", "dec"])
    assert sorted(frame.compute(progress_bar=False)["object_id"]) == list(range(FIRST_ID, FIRST_ID + 240))


def test_ids_above_2_to_the_53_stay_apart(shared_tiny_catalog):
    catalog = open_catalog(shared_tiny_catalog)
    ids = [
        value
        for p in catalog.partitions()
        for value in read_partition(catalog.root, p, ["object_id"])["object_id"].to_pylist()
    ]
    assert sorted(ids) == list(range(FIRST_ID, FIRST_ID + 240))


def test_a_catalog_without_a_known_id_has_none(tmp_path):
    table = objects(20).rename_columns(lambda_names(objects(1).column_names))
    assert open_catalog(write_hats(tmp_path / "anonymous", table)).id_column is None


def lambda_names(names):
    return ["number" if name == "object_id" else name for name in names]


@pytest.mark.parametrize("make", ["empty", "tables", "file", "nothing", "parent"])
def test_what_is_no_catalog_is_named_with_the_way_out(tmp_path, tiny_catalog, make):
    place, way = tmp_path / "place", "catalog import"
    if make == "nothing":
        way = "no descriptor"
    elif make == "file":
        place.write_text("ra,dec\n")
    elif make == "parent":
        tiny_catalog("place/inside")
        way = "did you mean"
    else:
        place.mkdir()
        if make == "tables":
            pq.write_table(objects(3), place / "table.parquet")
    with pytest.raises(NotFoundError, match=way) as caught:
        open_catalog(place)
    assert caught.value.kind is ErrorKind.NOT_A_CATALOG
    assert "place" in caught.value.message


def test_a_margin_is_not_taken_for_a_catalog(tiny_catalog):
    root = tiny_catalog()
    text = (root / "hats.properties").read_text().replace("=object\n", "=margin\n")
    (root / "hats.properties").write_text(text + "hats_primary_table_url=tiny\nhats_margin_threshold=5.0\n")
    with pytest.raises(NotFoundError, match="margin"):
        open_catalog(root)


def test_broken_properties_name_the_file(tiny_catalog):
    root = tiny_catalog()
    (root / "hats.properties").write_text("obs_collection=tiny\n")
    with pytest.raises(DataError, match=r"hats\.properties") as caught:
        open_catalog(root)
    assert caught.value.kind is ErrorKind.BAD_FILE


def test_a_descriptor_adds_what_the_files_do_not_say(tiny_catalog, tmp_path):
    tiny_catalog()
    (tmp_path / "catalogs").mkdir()
    (tmp_path / "catalogs" / "mine.toml").write_text(
        'name = "mine"\nlocation = "../tiny"\nid_column = "target"\nlicence = "CC-BY-4.0"\n'
        '[columns]\nddf = { description = "deep" }\n"lc.flux" = { unit = "uJy" }\n'
    )
    for catalog in (
        open_catalog("mine", catalogs=tmp_path / "catalogs"),
        open_catalog(tmp_path / "catalogs" / "mine.toml"),
    ):
        columns = {c.name: c for c in catalog.columns}
        assert (catalog.name, catalog.id_column) == ("mine", "target")
        assert columns["ddf"].description == "deep"
        assert columns["lc.flux"].unit == "uJy"
        assert columns["lc.flux"].ucd == "phot.flux"
        assert catalog.describe().licence == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ('name = "m"\nlocatoin = "tiny"\nlocation = "tiny"', ErrorKind.UNKNOWN_KEY, "location"),
        ('name = "m"\nlocation = "tiny"\nid_column = "objectid"', ErrorKind.UNKNOWN_COLUMN, "object_id"),
        ('name = "m"\nlocation = "tiny"\n[columns]\nmwbv = {unit="mag"}', ErrorKind.UNKNOWN_COLUMN, "mwebv"),
        ('name = "../m"\nlocation = "tiny"', ErrorKind.BAD_PARAMETER, "name"),
        ('name = "m"\nlocation = ', ErrorKind.BAD_PARAMETER, "TOML"),
    ],
)
def test_a_wrong_descriptor_is_refused_with_the_close_word(tiny_catalog, tmp_path, text, kind, match):
    tiny_catalog()
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=match) as caught:
        open_catalog(path)
    assert caught.value.kind is kind


def test_a_descriptor_whose_variable_is_not_set_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    path = tmp_path / "m.toml"
    path.write_text('name = "m"\nlocation = "${NO_SUCH_PLACE}/m"')
    with pytest.raises(NotFoundError, match="NO_SUCH_PLACE"):
        open_catalog(path)


def test_an_unknown_name_is_answered_with_the_close_one(tmp_path):
    (tmp_path / "plasticc.toml").write_text('name = "plasticc"\nlocation = "/nowhere"')
    with pytest.raises(NotFoundError, match="plasticc"):
        open_catalog("plastic", catalogs=tmp_path)


def test_a_description_counts_rows_bytes_and_skew(shared_tiny_catalog):
    found = open_catalog(shared_tiny_catalog).describe()
    assert found.rows == 240
    assert sum(found.orders.values()) == found.partitions
    assert found.rows_min <= found.rows_median <= found.rows_max <= 40
    assert "240" in str(found)
    assert found.as_dict()["columns"][0]["name"] == "_healpix_29"
