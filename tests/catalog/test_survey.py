"""Catalogs that others wrote, and the descriptors of this repository."""

from pathlib import Path

import pytest

from skyloom.catalog import list_descriptors, load_descriptor, open_catalog, read_partition
from skyloom.catalog.check import check_catalog
from skyloom.catalog.spec import load_import_spec

CATALOGS = Path(__file__).parents[2] / "catalogs"
IMPORTED = ["plasticc", "snpcc", "eros1", "vsx"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.survey_data
@pytest.mark.parametrize(
    ("name", "rows", "id_column"), [("gaia-cone", 13_128, "source_id"), ("catwise-cone", 47_697, "cntr")]
)
def test_a_hats_collection_of_others_opens_reads_and_passes_the_check(
    skyloom_data, monkeypatch, name, rows, id_column
):
    monkeypatch.setenv("SKYLOOM_DATA", str(skyloom_data))
    catalog = open_catalog(name, catalogs=CATALOGS)
    assert (catalog.rows, catalog.id_column) == (rows, id_column)
    assert sum(p.rows for p in catalog.partitions()) == rows
    table = read_partition(catalog.root, catalog.partitions()[0], None, schema=catalog.schema)
    assert table.num_rows == rows
    assert len(table[id_column].unique()) == rows
    assert check_catalog(catalog).ok
    assert next(c for c in catalog.columns if c.name == "pos_err").unit == "arcsec"


@pytest.mark.survey_data
def test_the_lsdb_frame_of_a_collection_has_its_margin(skyloom_data):
    catalog = open_catalog(skyloom_data / "lsdb" / "macauff" / "gaia_hats_data")
    frame = catalog.to_lsdb(columns=["source_id", "ra", "dec"])
    assert len(frame) == 13_128
    assert frame.margin is not None


@pytest.mark.parametrize("path", list_descriptors(CATALOGS), ids=lambda path: path.stem)
def test_every_descriptor_loads_and_states_licence_and_citation(path):
    descriptor = load_descriptor(path)
    assert descriptor.name == path.stem
    assert all((descriptor.title, descriptor.licence, descriptor.citation, descriptor.description))
    assert all(note.description for note in descriptor.columns.values())


@pytest.mark.parametrize("name", IMPORTED)
def test_a_descriptor_says_what_its_import_file_says(name):
    spec, descriptor = (
        load_import_spec(CATALOGS / "imports" / f"{name}.toml"),
        load_descriptor(CATALOGS / f"{name}.toml"),
    )
    columns = dict(spec.objects.columns)
    if spec.sources is not None:
        columns |= {f"{spec.sources.column}.{field}": note for field, note in spec.sources.columns.items()}
    said = {column: (note.unit, note.ucd, note.description) for column, note in columns.items()}
    assert {c: (n.unit, n.ucd, n.description) for c, n in descriptor.columns.items()} == said
    assert descriptor.id_column == spec.id_column
    assert (descriptor.licence, descriptor.citation) == (spec.licence, spec.citation)
