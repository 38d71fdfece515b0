"""Shift of a layer by partition and sky cell: planted shifts are found, however rows are dealt out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.cli import main
from skyloom.errors import NotFoundError, SpecError
from skyloom.jobs import measure_shift, run
from skyloom.jobs.spec import parse_job
from tests.tiny_catalogs import objects, write_hats

ROWS, COLOR = 600, "color_mag_g_mag_r"


def stars():
    """Stars whose colour is standard normal, but redder by one deviation in the crowded field."""
    rng = np.random.default_rng(0)
    table = objects(ROWS, longest=1).drop_columns(["lc"])
    crowded = (np.abs(table["ra"].to_numpy() - 150) < 8) & (np.abs(table["dec"].to_numpy() - 2) < 8)
    color = rng.normal(size=ROWS) + crowded
    color[::50] = np.nan
    mag = {"mag_g": 20.0 + color, "mag_r": np.full(ROWS, 20.0)}
    for name, values in mag.items():
        field = pa.field(name, pa.float64(), metadata={"unit": "mag"})
        table = table.append_column(field, pa.array(values))
    return table


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two layers of the same rows, in few partitions and in many."""
    root = tmp_path_factory.mktemp("shift")
    for name, threshold in (("colors", 300), ("colors-fine", 80)):
        values = {
            "job": "test",
            "model": "colors",
            "layer": name,
            "input": {"catalog": str(write_hats(root / f"sky-{name}", stars(), threshold=threshold))},
            "output": {"store": str(root / "layers")},
            "model_config": {"magnitudes": ["mag_g", "mag_r"]},
            "run": {"max_bad_fraction": 0.5},
        }
        run(parse_job(values, where="test"), cluster="in-process", progress=False)
    return root / "layers"


@pytest.fixture
def training(tmp_path):
    """Rows of a training set, without any shift."""
    path = tmp_path / "training.parquet"
    pq.write_table(pa.table({COLOR: np.random.default_rng(1).normal(size=3000)}), path)
    return path


def of_kind(table, kind):
    return [line for line in table.to_pylist() if line["kind"] == kind]


def test_a_planted_shift_is_found_where_it_is_and_nowhere_else(store, training):
    table = measure_shift("colors", store, reference=training, order=0, rows=400)
    cells = [line for line in of_kind(table, "cell") if line["shift_auc"] is not None]
    crowded = max(cells, key=lambda line: line["rows"])
    assert crowded["shift_alarm"]
    assert crowded["shift_p"] < 0.01
    assert crowded[f"shift_w1_{COLOR}"] > 0.6
    others = [line["shift_p"] for line in cells if line is not crowded and line["rows"] < 60]
    assert len(others) >= 5
    assert np.median(others) > 0.05


def test_every_row_with_a_value_is_counted_once_in_partitions_and_once_in_cells(store, training):
    table = measure_shift("colors", store, reference=training, order=2)
    expected = ROWS - ROWS // 50
    assert [sum(line["rows"] for line in of_kind(table, kind)) for kind in ("partition", "cell")] == [expected] * 2


def test_cells_do_not_depend_on_how_rows_are_dealt_out_to_partitions(store):
    coarse, fine = (measure_shift(name, store, order=1, rows=64) for name in ("colors", "colors-fine"))
    assert len(of_kind(fine, "partition")) > len(of_kind(coarse, "partition"))
    assert str(of_kind(fine, "cell")) == str(of_kind(coarse, "cell"))


def test_without_a_reference_a_cell_is_compared_with_the_rest_of_the_layer(store):
    table = measure_shift("colors", store, order=0)
    crowded = max(of_kind(table, "cell"), key=lambda line: line["rows"])
    assert crowded["shift_alarm"]


def test_a_layer_can_be_the_reference_and_is_no_shift_from_itself(store):
    table = measure_shift("colors", store, reference=store / "colors", order=0, rows=4000)
    w1 = {line["npix"]: line[f"shift_w1_{COLOR}"] for line in of_kind(table, "cell") if line["rows"] > 60}
    assert 0 < min(w1.values()) < 0.5


def test_a_wrong_request_is_refused_with_the_way_out(store, training, tmp_path):
    with pytest.raises(SpecError, match=COLOR):
        measure_shift("colors", store, columns=[COLOR + "x"])
    with pytest.raises(SpecError, match="between 0 and 6"):
        measure_shift("colors", store, order=9)
    pq.write_table(pa.table({"other": [1.0]}), tmp_path / "other.parquet")
    with pytest.raises(SpecError, match="other"):
        measure_shift("colors", store, reference=tmp_path / "other.parquet")
    with pytest.raises(NotFoundError, match="colors"):
        measure_shift("colour", store)


def test_the_command_writes_the_table_and_says_where_to_look(store, training, tmp_path, capsys):
    out = tmp_path / "shift.parquet"
    words = ["layer", "shift", "colors", "--store", str(store), "--output", str(out), "--reference", str(training)]
    assert main([*words, "--order", "0", "--columns", COLOR]) == 0
    assert "differ" in capsys.readouterr().out
    written = pq.read_table(out)
    assert written.schema.field("shift_auc").metadata[b"description"]
    assert written.equals(measure_shift("colors", store, reference=training, order=0))
