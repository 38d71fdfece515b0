"""A query with a region gives the rows of the same query with a condition, and opens few files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.cli import main
from skyloom.errors import DataError, SkyloomError
from skyloom.jobs import open_catalog, run
from skyloom.sky import Box, Cone, MocRegion, Polygon
from tests.tiny_catalogs import write_tiny_catalog


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    """A catalog of 15 and more partitions with a layer, on the whole sky."""
    folder = tmp_path_factory.mktemp("regions")
    catalog = write_tiny_catalog(folder / "catalog")
    run(job_file(folder, catalog, folder / "layers"), cluster="in-process", progress=False)
    return open_catalog(catalog).with_layers("features", store=folder / "layers")


def job_file(folder: Path, catalog: Path, store: Path) -> Path:
    job = folder / "job.toml"
    job.write_text(
        f'job = "features"\nmodel = "lightcurve-features"\nlayer = "features"\n[input]\ncatalog = "{catalog}"\n'
        f'[output]\nstore = "{store}"\n'
    )
    return job


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


TEXTS = {
    "Cone": "in_cone(ra, dec, 40, 10, 30)",
    "Box": "in_box(ra, dec, 300, 60, -40, 20)",
    "Polygon": "in_polygon(ra, dec, 0, -20, 60, -20, 60, 30, 0, 30)",
    "MocRegion": "in_moc(_healpix_29, '1/5 17 2/100-120')",
}


@pytest.mark.parametrize("region", REGIONS, ids=lambda r: type(r).__name__)
def test_a_region_named_in_sql_gives_rows_and_partitions_of_the_same_option(view, region):
    columns = next(c.name for c in view.layers[0].columns)
    sql = f"select object_id, {columns} from catalog"
    named = f"{sql} where {TEXTS[type(region).__name__]}"
    assert rows_of(view.query(named)) == rows_of(view.query(sql, region=region))
    explained, optional = view.explain(named), view.explain(sql, region=region)
    assert explained.partitions == optional.partitions < explained.partitions_of
    assert (explained.rows, explained.bytes) == (optional.rows, optional.bytes)
    assert [said.rpartition(": ")[2] for said in explained.regions] == ["chooses partitions"]


def test_regions_named_in_sql_and_as_an_option_are_both_kept(view):
    sql = "select object_id from catalog where {} and in_box(ra, dec, 0, 60, -40, 20)"
    both = view.query(sql.format("true"), region=REGIONS[0])
    assert rows_of(both) == rows_of(view.query(sql.format(TEXTS["Cone"])))
    assert 0 < both.num_rows < view.query("select object_id from catalog", region=REGIONS[0]).num_rows
    explained = view.explain(sql.format(TEXTS["Cone"]))
    assert explained.partitions <= view.explain("select 1 from catalog", region=REGIONS[0]).partitions


def test_a_region_in_an_or_gives_its_rows_and_says_why_nothing_was_pruned(view):
    condition = f"{TEXTS['Cone']} or dec > 60"
    explained = view.explain(f"select count(*) from catalog where {condition}")
    assert explained.partitions == explained.partitions_of
    (said,) = explained.regions
    assert said.startswith(TEXTS["Cone"])
    assert "tests rows only, because it is not one of the conditions that a WHERE joins by AND" in said
    n = view.query(f"select count(*) as n from catalog where {condition}")["n"][0].as_py()
    wanted = REGIONS[0].sql("ra", "dec", None)
    assert n == view.query(f"select count(*) as n from catalog where {wanted} or dec > 60")["n"][0].as_py()


@pytest.mark.parametrize("how", ["option", "sql"])
def test_files_outside_a_region_are_not_opened_not_even_their_footers(tmp_path, how):
    """They are spoilt, gone or of no rights, in catalog and layer, and a query over the region does not notice."""
    catalog = write_tiny_catalog(tmp_path / "catalog")
    store = tmp_path / "layers"
    run(job_file(tmp_path, catalog, store), cluster="in-process", progress=False)

    def ask():
        view = open_catalog(catalog).with_layers("features", store=store)
        sql = "select object_id, lcf_n_obs_g from catalog"
        if how == "option":
            return view.query(sql, region=Cone(40.0, 10.0, 5.0))
        return view.query(f"{sql} where in_cone(ra, dec, 40.0, 10.0, 5.0)")

    wanted = ask()
    view = open_catalog(catalog).with_layers("features", store=store)
    kept = {partition.key for partition in view.partitions(Cone(40.0, 10.0, 5.0))}
    files = [catalog / f for p in view.base.partitions() if p.key not in kept for f in p.files]
    (layer,) = view.layers
    files += [
        Path(f) for f, entry in zip(layer.files, layer.published.files, strict=True) if entry.key not in kept
    ]
    assert len(files) > 20
    for number, file in enumerate(files):
        whole = file.read_bytes()
        # Nothing of the file, its footer alone, its data alone.
        spoilt = [b"spoilt", whole[:-40] + bytes(32) + whole[-8:], bytes(len(whole) - 8) + whole[-8:]][number % 3]
        file.unlink()
        if number % 4:
            file.write_bytes(spoilt)
    assert ask().equals(wanted)
    with pytest.raises(SkyloomError):
        open_catalog(catalog).with_layers("features", store=store).query("select sum(lcf_n_obs_g) from catalog")


def test_a_spoilt_file_within_the_region_is_an_error_that_names_it(tmp_path):
    catalog = write_tiny_catalog(tmp_path / "catalog")
    view = open_catalog(catalog)
    (inside,) = view.partitions(Cone(40.0, 10.0, 0.01))
    (catalog / inside.files[0]).write_bytes(b"spoilt")
    with pytest.raises(DataError, match=inside.files[0]):
        open_catalog(catalog).query("select sum(mwebv) from catalog where in_cone(ra, dec, 40, 10, 0.01)")


def test_a_layer_file_that_is_not_the_committed_one_is_refused_by_name(tmp_path):
    catalog = write_tiny_catalog(tmp_path / "catalog")
    store = tmp_path / "layers"
    run(job_file(tmp_path, catalog, store), cluster="in-process", progress=False)
    view = open_catalog(catalog).with_layers("features", store=store)
    file = Path(view.layers[0].files[0])
    pq.write_table(pq.read_table(file, partitioning=None).replace_schema_metadata(), file)
    for compare_rows in (False, True):
        with pytest.raises(DataError, match="not the file that layer 'features' was published with") as caught:
            view.query("select sum(lcf_n_obs_g) from catalog", compare_rows=compare_rows)
        assert caught.value.context["file"] == str(file)


def test_a_layer_is_as_trusted_as_its_compared_rows(view):
    sql = "select object_id, lcf_n_obs_g from catalog order by 1"
    assert view.query(sql).equals(view.query(sql, compare_rows=True))
    assert "error(" not in view.explain(sql).plan


def test_a_hundred_thousand_partitions_are_chosen_without_a_look_at_one(tmp_path):
    """The catalog has metadata and no partition at all: choosing among them opens nothing."""
    catalog = write_tiny_catalog(tmp_path / "catalog")
    shutil.rmtree(catalog / "dataset" / "Norder=1", ignore_errors=True)
    pixels = "".join(f"7,{npix}\n" for npix in range(100_000))
    (catalog / "partition_info.csv").write_text(f"Norder,Npix\n{pixels}")
    view = open_catalog(catalog)
    explained = view.explain("select count(*) from catalog where in_cone(ra, dec, 180, -89.9, 0.05)")
    assert (explained.partitions, explained.partitions_of, explained.rows) == (0, 100_000, 0)
    assert view.query("select * from catalog where in_cone(ra, dec, 180, -89.9, 0.05)").num_rows == 0


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
