"""A query with a region gives the rows of the same query with a condition, and opens few files."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from skyloom.cli import main
from skyloom.jobs import open_catalog, run
from skyloom.sky import Box, Cone, MocRegion, Polygon
from tests.tiny_catalogs import write_tiny_catalog


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    """A catalog of 15 and more partitions with a layer, on the whole sky."""
    folder = tmp_path_factory.mktemp("regions")
    catalog = write_tiny_catalog(folder / "catalog")
    job = folder / "job.toml"
    job.write_text(
        f'job = "features"\nmodel = "lightcurve-features"\nlayer = "features"\n[input]\ncatalog = "{catalog}"\n'
        f'[output]\nstore = "{folder / "layers"}"\n'
    )
    run(job, cluster="in-process", progress=False)
    return open_catalog(catalog).with_layers("features", store=folder / "layers")


def moc():
    from mocpy import MOC

    return MocRegion(MOC.from_string("1/5 17 2/100-120"))


REGIONS = [
    Cone(40.0, 10.0, 30.0),
    Box(300.0, 60.0, -40.0, 20.0),
    Polygon(((0.0, -20.0), (60.0, -20.0), (60.0, 30.0), (0.0, 30.0))),
    moc(),
]


def rows_of(table: pa.Table) -> list[dict]:
    return table.sort_by("object_id").to_pylist()


@pytest.mark.parametrize("region", REGIONS, ids=lambda r: type(r).__name__)
def test_a_region_gives_the_rows_of_its_condition_on_catalog_and_layer(view, region):
    columns = next(c.name for c in view.layers[0].columns)
    sql = f"select object_id, ra, dec, {columns} from catalog"
    found = view.query(sql, region=region)
    condition = region.sql("ra", "dec", '"_healpix_29"')
    wanted = view.query(f"{sql} where {condition}")
    assert 0 < found.num_rows < view.rows
    assert rows_of(found) == rows_of(wanted)
    alone = view.query("select object_id from features", region=region)
    assert sorted(alone["object_id"].to_pylist()) == sorted(found["object_id"].to_pylist())


def test_a_small_cone_opens_the_partition_it_is_in_and_no_other(view):
    first = view.base.partitions()[3]
    centre = view.query("select ra, dec from catalog limit 1 offset 130").to_pylist()[0]
    explained = view.explain("select count(*) from catalog", region=Cone(centre["ra"], centre["dec"], 0.01))
    assert first.rows
    assert explained.partitions == 1
    assert explained.partitions_of == len(view.base.partitions())
    assert explained.rows < view.rows / 3
    assert "PARQUET" in explained.plan.upper()


def test_files_outside_a_region_are_not_opened(tmp_path):
    """They are spoilt, and a query over the region does not notice."""
    catalog = write_tiny_catalog(tmp_path / "catalog")
    view = open_catalog(catalog)
    region = Cone(40.0, 10.0, 5.0)
    kept = {partition.key for partition in view.partitions(region)}
    wanted = view.query("select object_id from catalog", region=region)
    spoilt = [p for p in view.base.partitions() if p.key not in kept]
    assert spoilt
    for partition in spoilt:
        for file in partition.files:
            (catalog / file).write_bytes(b"spoilt")
    assert view.query("select object_id from catalog", region=region).equals(wanted)


def test_a_region_without_rows_gives_an_empty_table_of_the_same_columns(view):
    where = Box(10.0, 10.001, 89.0, 89.001)
    empty = view.query("select * from catalog", region=where)
    assert empty.num_rows == 0
    assert empty.column_names == view.query("select * from catalog limit 1").column_names


def test_the_command_takes_each_kind_of_region(view, capsys, tmp_path):
    moc().moc.save(str(tmp_path / "area.fits"), format="fits")
    asked = {
        "cone": (["--cone", "40", "10", "30"], REGIONS[0]),
        "box": (["--box", "300", "60", "-40", "20"], REGIONS[1]),
        "polygon": (["--polygon", "0", "-20", "60", "-20", "60", "30", "0", "30"], REGIONS[2]),
        "moc": (["--moc", str(tmp_path / "area.fits")], REGIONS[3]),
    }
    for words, region in asked.values():
        command = ["query", "select count(*) as n from catalog", "--catalog", view.base.root, "--json", *words]
        assert main(command) == 0
        n = json.loads(capsys.readouterr().out)[0]["n"]
        assert n == view.query("select count(*) as n from catalog", region=region)["n"][0].as_py()
    command = [
        "query",
        "select 1 from catalog",
        "--catalog",
        view.base.root,
        "--cone",
        "40",
        "10",
        "1",
        "--explain",
    ]
    assert main(command) == 0
    assert "of" in capsys.readouterr().out.splitlines()[0]


def test_two_regions_at_once_are_refused(view, capsys):
    words = ["--cone", "40", "10", "1", "--box", "0", "10", "0", "10"]
    assert main(["query", "select 1", "--catalog", view.base.root, *words]) == 2
    assert "two regions" in capsys.readouterr().err


def test_partitions_are_all_there_without_a_region(view):
    assert len(view.partitions()) == len(view.base.partitions())
    assert sum(p.rows for p in view.partitions()) == view.rows
