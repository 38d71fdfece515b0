import re
import tomllib

import pyarrow.parquet as pq
import pytest

from skyloom.catalog import load_descriptor, open_catalog
from skyloom.cli import demo
from skyloom.errors import ConflictError
from skyloom.evaluation.split import parts_of
from skyloom.models.transient_class import CLASSES

pytestmark = pytest.mark.skipif(not (demo.DATA / "objects.parquet").is_file(), reason="no sample")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    demo.import_sample(folder)
    return folder


def test_the_sample_has_at_least_a_thousand_objects_and_all_fourteen_classes():
    objects = pq.read_table(demo.DATA / "objects.parquet")
    assert objects.num_rows >= 1_000
    assert len(set(objects["target"].to_pylist())) == 14
    points = pq.read_table(demo.DATA / "lightcurves.parquet", columns=["object_id"])
    assert set(points["object_id"].to_pylist()) == set(objects["object_id"].to_pylist())


def test_the_sample_is_imported_with_every_row_and_point(place):
    catalog = open_catalog(place / "catalogs" / "plasticc-demo")
    assert catalog.rows == pq.read_metadata(demo.DATA / "objects.parquet").num_rows
    flux = next(column for column in catalog.columns if column.name == "lc.flux")
    assert flux.unit == "nJy"


def test_a_second_import_finds_it_up_to_date(place, capsys):
    before = open_catalog(place / "catalogs" / "plasticc-demo").snapshot()
    demo.import_sample(place)
    assert "up to date" in capsys.readouterr().out
    assert open_catalog(place / "catalogs" / "plasticc-demo").snapshot() == before


def test_the_demo_leaves_a_descriptor_with_licence_and_citation(place):
    descriptor = load_descriptor(place / "catalogs" / "plasticc-demo.toml")
    assert descriptor.licence == "CC-BY-4.0"
    assert "2539456" in descriptor.citation
    assert descriptor.layers == str(place / "layers")
    assert open_catalog(place / "catalogs" / "plasticc-demo.toml").rows >= 1_000


def test_a_catalog_of_another_sample_is_not_touched(tmp_path):
    catalog = tmp_path / "catalogs" / "plasticc-demo"
    catalog.mkdir(parents=True)
    (catalog / "hats.properties").write_text("somebody's\n")
    with pytest.raises(ConflictError, match="--output"):
        demo.import_sample(tmp_path)
    assert (catalog / "hats.properties").read_text() == "somebody's\n"


@pytest.mark.parametrize("name", demo.JOBS)
def test_the_demos_jobs_read_the_catalog_that_it_made(name, place):
    catalog = place / "catalogs" / "plasticc-demo"
    job = demo.demo_job(name, catalog)
    assert job.input.catalog == str(catalog)
    raw = tomllib.loads((demo.DATA / "jobs" / f"{name}.toml").read_text())
    assert job.model == raw["model"] == name


@pytest.mark.parametrize("path", sorted((demo.DATA / "queries").glob("*.sql")), ids=lambda path: path.stem)
def test_the_demos_queries_name_the_classes_as_the_model_does(path):
    named = re.findall(r"(\d+): '(\w+)'", path.read_text())
    assert {int(code): name for code, name in named} == dict(CLASSES)
    columns = re.findall(r"transient_class_p_(\w+)", path.read_text())
    assert set(columns) in (set(), set(CLASSES.values()))


def test_no_object_of_the_sample_was_seen_in_training():
    ids = pq.read_table(demo.DATA / "objects.parquet", columns=["object_id"])["object_id"].to_numpy()
    assert parts_of(ids).held_out.all()
