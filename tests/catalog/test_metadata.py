"""The small files of HATS catalogs: what we read is what hats reads, and reading them imports no hats."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from skyloom.catalog.metadata import (
    CollectionProperties,
    TableProperties,
    inner_place,
    read_pixels,
    read_properties,
)
from tiny_catalogs import objects, write_hats

PROPERTIES = """#HATS catalog
obs_collection = sky \\
  of stars
dataproduct_type: source
hats_nrows=12
hats_col_ra=ra
hats_col_dec=dec
obs_title=\\u03b2 Cen\\: a pair
hats_npix_suffix=/
moc_sky_fraction=0.5
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "hats.properties").write_text(PROPERTIES)
    return tmp_path


def test_properties_are_what_hats_makes_of_them(place):
    from hats.catalog.dataset.table_properties import TableProperties as Theirs

    ours = TableProperties.model_validate(read_properties(place / "hats.properties"))
    theirs = Theirs.read_from_dir(place)

    for name in TableProperties.model_fields:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.model_extra["obs_title"] == theirs.model_extra["obs_title"] == "\u03b2 Cen: a pair"


@pytest.mark.parametrize("type_", ["object", "source"])
def test_a_table_without_positions_is_refused_as_by_hats(place, type_):
    from hats.catalog.dataset.table_properties import TableProperties as Theirs

    kept = [line for line in PROPERTIES.splitlines() if "col_dec" not in line and "dataproduct" not in line]
    (place / "hats.properties").write_text("\n".join([*kept, f"dataproduct_type={type_}"]))

    for read in (TableProperties.model_validate, lambda words: Theirs(**words)):
        with pytest.raises(ValidationError, match="dec_column"):
            read(read_properties(place / "hats.properties"))


def test_pixels_are_sorted_along_the_sky_as_by_hats(tmp_path):
    from hats.catalog.partition_info import PartitionInfo

    drawn = random.Random(5)
    pixels = {(order, drawn.randrange(12 << (2 * order))) for order in range(8) for _ in range(20)}
    lines = [f"{order},{npix},{drawn.random()}" for order, npix in pixels]
    (tmp_path / "partition_info.csv").write_text("\n".join(["Norder,Npix,share", *lines]) + "\n")

    assert list(read_pixels(tmp_path)) == [
        (p.order, p.pixel) for p in PartitionInfo.read_from_dir(tmp_path).pixel_list
    ]


def test_partitions_that_no_file_lists_are_found(tmp_path):
    root = write_hats(tmp_path / "unlisted", objects(200))
    listed = read_pixels(root)
    (root / "partition_info.csv").unlink()

    assert read_pixels(root) == listed


def test_the_table_of_a_collection_is_found_from_there_or_absolutely(tmp_path):
    from hats.catalog.catalog_collection import CatalogCollection

    for inner in ("main", "../main", "/somewhere/else"):
        assert str(inner_place(tmp_path, inner)) == str(CatalogCollection.resolve_inner_path(tmp_path, inner))


def test_a_collection_names_its_table(tmp_path):
    (tmp_path / "collection.properties").write_text("obs_collection=c\nall_margins=one two\n")

    with pytest.raises(ValidationError, match="hats_primary_table_url"):
        CollectionProperties.model_validate(read_properties(tmp_path / "collection.properties"))


def test_opening_a_catalog_imports_neither_hats_nor_what_it_brings(shared_tiny_catalog):
    code = (
        "import sys\nfrom skyloom.catalog import open_catalog\n"
        f"catalog = open_catalog({str(shared_tiny_catalog)!r})\ncatalog.partitions()\n"
        "found = {'hats', 'matplotlib', 'numba', 'astropy', 'pandas', 'dask'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
