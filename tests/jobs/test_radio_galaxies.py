"""Radio images beside a catalog become a layer: every row has a class, and how far to trust it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog
from skyloom.catalog.ingest import import_catalog
from skyloom.catalog.spec import ImportSpec
from skyloom.jobs import run
from skyloom.jobs.make_tensors import import_cutouts
from skyloom.models import radio_galaxy
from two_lobes import two_lobes

BLANK = next(flag.mask for flag in radio_galaxy.FLAGS if flag.name == "BLANK_IMAGE")
COLUMNS = tuple(column.name for column in radio_galaxy.writes(radio_galaxy.Config()))


def layer_of(job_of, root: Path, table: pa.Table, **sections):
    """Import rows with images, run the job over them, and return the layer's rows by id."""
    pq.write_table(table, root / "rows.parquet")
    said = {"files": [str(root / "rows.parquet")], "id": "object_id", "ra": "ra", "dec": "dec", "keep": "listed"}
    spec = {"name": "lobes", "output": str(root / "lobes"), "objects": said, "partitions": {"rows": 10}}
    import_catalog(ImportSpec.model_validate(spec))
    catalog = open_catalog(root / "lobes")
    made = import_cutouts(
        catalog, root / "rows.parquet", root / "store", columns=["image"], shape=(150, 150), pixel_arcsec=1.8,
        id_column="object_id",
    )  # fmt: skip
    assert (made.rows, made.without) == (table.num_rows, 0)
    job = job_of(
        root / "lobes",
        model="radio-galaxy",
        layer="fr",
        input={"tensors": {"cutout": str(root / "store")}},
        **sections,
    )
    report = run(job, cluster="in-process", progress=False)
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    assert len(parts) > 1
    return pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts]).sort_by("object_id")


def rows_of(images, seed=0):
    rng = np.random.default_rng(seed)
    flat = pa.array(images.reshape(len(images), -1).astype(np.float32).tolist(), type=pa.list_(pa.float32()))
    ids = np.arange(len(images))
    columns = {"object_id": ids, "ra": rng.uniform(0, 360, len(ids)), "dec": rng.uniform(-60, 60, len(ids))}
    return pa.table({**columns, "image": flat})


@pytest.mark.parametrize("form", ["equivariant", "plain"])
def test_simulated_sources_all_get_their_columns_and_an_empty_image_its_flag(job_of, tmp_path, form):
    images, label = two_lobes(20, seed=2)
    images[7] = 0
    layer = layer_of(job_of, tmp_path, rows_of(images), weights=form, model_config={"form": form})
    assert layer.num_rows == 20
    flag = layer["fr_flag"].to_numpy()
    assert np.flatnonzero(flag).tolist() == [7]
    assert flag[7] == BLANK
    for name in COLUMNS:
        assert np.flatnonzero(np.asarray(layer[name].is_null())).tolist() == [7]
    p2 = layer["fr_p2"].to_numpy()
    here = np.arange(20) != 7
    assert np.mean(p2[here & (label == 1)]) > np.mean(p2[here & (label == 0)])


@pytest.mark.survey_data
def test_real_galaxies_come_out_of_a_job_as_they_come_out_of_the_system(job_of, tmp_path, skyloom_data):
    tool = Path(__file__).parents[2] / "catalogs" / "make_mirabest_table.py"
    loaded = importlib.util.spec_from_file_location("make_mirabest_table", tool)
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    table = module.table_of(skyloom_data / "mirabest" / "mirabest_batches_792_150x150.parquet").slice(0, 40)
    table = table.rename_columns({"mirabest_id": "object_id"})
    layer = layer_of(job_of, tmp_path, table, weights="plain", model_config={"form": "plain"})
    assert layer.num_rows == 40
    assert (layer["fr_flag"].to_numpy() == 0).all()
    assert all(layer[name].null_count == 0 for name in COLUMNS)
    right = (layer["fr_p2"].to_numpy() > 0.5) == (table["label"].to_numpy() == 1)
    assert right.mean() > 0.8
