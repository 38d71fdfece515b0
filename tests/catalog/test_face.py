"""The HATS face of a layer: hats and lsdb take it for one of theirs."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog, read_partition
from skyloom.catalog.face import extension_face, layer_face
from skyloom.catalog.files import read_footer
from skyloom.errors import SpecError

KEPT = ["_healpix_29", "object_id", "ra", "dec"]


@pytest.fixture
def layer(tiny_catalog, tmp_path):
    """A base catalog and a layer of one column, faces written."""
    base = open_catalog(tiny_catalog())
    root, parts, footers = tmp_path / "store" / "scores" / "jobs" / "j1", [], []
    for partition in base.partitions():
        rows = read_partition(base.root, partition, KEPT, schema=base.schema)
        score = pa.array(np.arange(rows.num_rows, dtype=np.float32))
        rows = rows.append_column(pa.field("score", pa.float32(), metadata={"unit": "mag"}), score)
        path = root / "dataset" / f"{partition.key}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path)
        parts.append((partition.key, rows.num_rows, path.stat().st_size))
        footers.append(read_footer(str(path)).tail)
    return base, root, {"name": "scores", "base": base, "schema": rows.schema, "partitions": parts}, footers


def put(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@pytest.mark.parametrize("with_footers", [False, True])
def test_a_layer_is_a_valid_hats_catalog_with_and_without_metadata(layer, with_footers):
    import lsdb
    from hats.io.validation import is_valid_catalog

    base, root, words, footers = layer
    put(root, layer_face(**words, footers=footers if with_footers else None))
    assert is_valid_catalog(root)
    assert is_valid_catalog(root, strict=True)
    frame = lsdb.open_catalog(root).compute(progress_bar=False)
    assert len(frame) == base.rows
    opened = open_catalog(root)
    assert (opened.rows, opened.id_column, opened.healpix_column) == (240, "object_id", "_healpix_29")
    assert [p.key for p in opened.partitions()] == [p.key for p in base.partitions()]


def test_a_version_is_a_collection_that_lsdb_extends(layer, tmp_path):
    import lsdb

    base, root, words, _ = layer
    put(root, layer_face(**words))
    version = tmp_path / "store" / "scores" / "versions" / "v00000001"
    put(version, extension_face(name="scores", base=base, layer_path=str(root), columns=["score"]))
    with pytest.warns(RuntimeWarning, match="margin"):
        extended = lsdb.open_catalog(version).load_extension("scores").compute(progress_bar=False)
    alone = lsdb.open_catalog(root).compute(progress_bar=False).set_index("object_id")["score"]
    assert len(extended) == base.rows
    assert (extended.set_index("object_id")["score"].sort_index() == alone.sort_index()).all()


def test_a_face_is_the_same_bytes_each_time(layer):
    base, _, words, footers = layer
    assert layer_face(**words, footers=footers) == layer_face(**words, footers=footers)
    extension = {"name": "scores", "base": base, "layer_path": "../../jobs/j1", "columns": ["score"]}
    assert extension_face(**extension) == extension_face(**extension)


def test_a_base_without_an_id_gets_no_extension(layer):
    base = dataclasses.replace(layer[0], id_column=None)
    assert extension_face(name="scores", base=base, layer_path="x", columns=["score"]) == {}


def test_a_layer_without_positions_is_refused(layer):
    _, _, words, _ = layer
    words["schema"] = words["schema"].remove(words["schema"].get_field_index("ra"))
    with pytest.raises(SpecError, match="'ra'"):
        layer_face(**words)
