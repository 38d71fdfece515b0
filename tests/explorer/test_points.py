"""Points in memory: the catalog's rows, thinned evenly if there are too many."""

import numpy as np
import pytest

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.explorer.points import CELL_ORDER, Points, cells_of
from skyloom.explorer.rows import columns_by_partition
from skyloom.explorer.state import Box, Span, State
from skyloom.jobs import open_catalog
from tests.tiny_catalogs import empty_partition, write_tiny_catalog


def test_points_are_the_rows_of_the_catalog_in_its_order(points, sky):
    assert points.ids.to_pylist() == sky.table["object_id"].to_pylist()
    np.testing.assert_allclose(points.ra, sky.table["ra"].to_numpy(), atol=3e-5)
    np.testing.assert_allclose(points.dec, sky.table["dec"].to_numpy(), atol=1e-5)
    assert len(points) == points.total_rows == 240


def test_cells_are_those_of_the_positions(points, sky):
    cells = cells_of(sky.table["ra"].to_numpy(), sky.table["dec"].to_numpy(), CELL_ORDER)
    np.testing.assert_array_equal(points.cells, cells)


def test_columns_of_the_catalog_and_of_a_layer_are_those_that_sql_gives(points, view):
    for name in ("hostgal_photoz", "ddf", "lcf_amplitude_g"):
        asked = view.query(f'select "{name}" as v from catalog')["v"]
        wanted = np.array([np.nan if v is None else float(v) for v in asked.to_pylist()], np.float32)
        np.testing.assert_array_equal(points.column(name), wanted)


def test_what_is_shared_cannot_be_changed(points):
    for array in (points.ra, points.dec, points.cells, points.column("mwebv")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("limit", [1, 7, 100, 239, 240, 1000])
def test_too_many_rows_are_thinned_evenly_and_each_point_knows_its_row(limit, view, sky, points):
    thin = Points.of(view, limit=limit)
    assert len(thin) <= limit
    assert thin.stride == -(-240 // limit)
    every = sky.table["object_id"].to_pylist()
    assert thin.ids.to_pylist() == every[:: thin.stride]
    np.testing.assert_array_equal(thin.column("lcf_amplitude_g"), points.column("lcf_amplitude_g")[:: thin.stride])
    partition, row = thin.place(len(thin) - 1)
    start = 0
    for other in view.base.partitions():
        if other.key == partition.key:
            break
        start += other.rows
    assert every[start + row] == thin.ids[len(thin) - 1].as_py()


def test_an_object_is_found_by_its_id_beyond_what_a_float_holds(points):
    for point in (0, 1, 239):
        assert points.find(str(points.ids[point])) == point


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "9" * 40])
def test_an_id_that_no_object_has_is_said_to_be_none(text, points):
    with pytest.raises(NotFoundError, match="no object has the id"):
        points.find(text)


def test_features_of_some_rows_are_their_columns(points):
    names = ["mwebv", "lcf_amplitude_g", "hostgal_photoz"]
    rows = np.array([0, 3, 4, 100, 239])
    wanted = np.stack([points.column(name)[rows] for name in names], axis=1)
    np.testing.assert_array_equal(points.matrix(names, rows), wanted)


def test_only_numbers_can_be_drawn_and_only_single_values_sorted(points):
    drawn = {column.name for column in points.numeric}
    assert {"ra", "mwebv", "ddf", "lcf_amplitude_g"} <= drawn
    assert not {"name", "object_id", "_healpix_29", "lc.flux"} & drawn
    assert {"name", "object_id"} <= set(points.sortable)
    assert not {"lc", "lc.flux"} & set(points.sortable)
    with pytest.raises(SpecError, match="no column of numbers 'name'"):
        points.column("name")


def test_the_core_holds_the_middle_and_survives_what_has_no_spread(points):
    low, high = points.core("hostgal_photoz")
    values = points.column("hostgal_photoz")
    inside = (values >= low) & (values <= high)
    assert 0.98 * np.isfinite(values).sum() <= inside.sum()
    assert low < high


def test_a_box_through_right_ascension_0_selects_both_sides(points):
    chosen = points.within(Box(350, 10, -90, 90))
    assert chosen.sum() == ((points.ra >= 350) | (points.ra <= 10)).sum() > 0


def test_a_selection_is_where_all_conditions_hold_and_a_missing_value_is_outside(points):
    state = State(x="hostgal_photoz", y="mwebv", xs=Span(-1e30, 1e30), ys=Span(0.1, 0.2))
    mwebv, photoz = points.column("mwebv"), points.column("hostgal_photoz")
    wanted = np.isfinite(photoz) & (mwebv >= np.float32(0.1)) & (mwebv <= np.float32(0.2))
    np.testing.assert_array_equal(points.selected(state), wanted)
    assert points.selected(State(x="mwebv", y="mwebv")) is None


def test_an_empty_partition_and_no_layers_are_fine(tmp_path):
    catalog = write_tiny_catalog(tmp_path / "tiny", rows=60)
    empty_partition(catalog)
    points = Points.of(open_catalog(catalog))
    assert len(points) == points.total_rows < 60
    assert len(points.column("mwebv")) == len(points)


def test_a_layer_whose_rows_are_others_is_refused(view, monkeypatch):
    import pyarrow.parquet as pq

    read = pq.ParquetFile.read

    def shuffled(self, columns=None, **options):
        table = read(self, columns=columns, **options)
        return table.take(list(range(table.num_rows))[::-1]) if columns and columns[-1] == "lcf_skew_g" else table

    monkeypatch.setattr(pq.ParquetFile, "read", shuffled)
    with pytest.raises(DataError, match="row for row") as refused:
        list(columns_by_partition(view, ["lcf_skew_g"], view.layers[0]))
    assert refused.value.kind is ErrorKind.ROW_ORDER
