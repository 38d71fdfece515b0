"""One object: every value of its row, its light curve, its tensors."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from skyloom.catalog import read_partition
from skyloom.columns import Column
from skyloom.errors import ConflictError, ErrorKind
from skyloom.explorer.figures import cutout_figures, light_curve_figure, spectrum_figure, stretched
from skyloom.explorer.objects import light_curve, open_stores, read_object, said
from skyloom.explorer.rows import Cell, read_row
from skyloom.jobs.plan import row_keys_of
from skyloom.tensors import Layout, PartitionWriter, create_store, key_arrays


def store_of(root, points, *, kind="cutouts", shape=(2, 6, 6), gap=False):
    base = points.view.base
    keys = row_keys_of(base)
    layout = Layout(kind=kind, catalog="sky", snapshot=base.snapshot(), keys=keys, shape=shape, chunk_rows=4)
    store = create_store(root, layout)
    first = 0
    for partition in base.partitions():
        table = read_partition(base.root, partition, list(keys), schema=base.schema)
        values = np.arange(first, first + partition.rows, dtype=np.float32).reshape(-1, *[1] * len(shape))
        values = np.broadcast_to(values, (partition.rows, *shape)).copy()
        if gap:
            values[:] = np.nan
        with PartitionWriter(store, layout, partition.key, key_arrays(table, keys)) as writer:
            writer.append(values)
            writer.commit()
        first += partition.rows
    return str(root)


@pytest.fixture(scope="module")
def stamps(points, tmp_path_factory):
    """A store whose cutouts say the number of their row."""
    return store_of(tmp_path_factory.mktemp("stores") / "stamps", points)


@pytest.mark.parametrize("point", [0, 57, 239])
def test_an_object_has_every_value_of_its_row_of_catalog_and_layer(point, points, sky, view):
    sight = read_object(points, point)
    row = sky.table.slice(point, 1).to_pylist()[0]
    assert sight.id == str(row["object_id"])
    for cell in sight.cells:
        if not cell.layer:
            assert cell.value[0].as_py() == row[cell.column.name]
    layer = view.query(f"select * from features where object_id = {row['object_id']}").to_pylist()[0]
    of_layer = {cell.column.name: cell.value[0].as_py() for cell in sight.cells if cell.layer == "features"}
    assert of_layer == {name: layer[name] for name in of_layer}
    assert len(of_layer) == len(view.layers[0].columns)


def test_a_light_curve_is_the_points_of_the_nested_column(points, sky):
    point = 5
    wanted = sky.table["lc"][point].as_py()
    (curve,) = read_object(points, point).curves
    np.testing.assert_array_equal(curve.mjd, wanted["mjd"])
    np.testing.assert_allclose(curve.value, wanted["flux"])
    np.testing.assert_allclose(curve.error, wanted["flux_err"])
    assert list(curve.band) == wanted["band"]
    assert not curve.is_magnitude
    assert len(light_curve_figure(curve).renderers) == 2 * len(set(wanted["band"]))


def cell_of(lists, **units):
    struct = pa.StructArray.from_arrays(
        [pa.array([values]) for values in lists.values()],
        fields=[
            pa.field(name, pa.array([values]).type, metadata={"unit": units.get(name, "")})
            for name, values in lists.items()
        ],
    )
    return Cell(Column("lc", dtype="struct"), "", struct)


def test_a_light_curve_leaves_out_what_is_not_finite_and_knows_magnitudes():
    curve = light_curve(
        cell_of({"hmjd": [1.0, 2.0, float("nan")], "mag": [15.0, float("nan"), 16.0], "magerr": [0.1, 0.1, -1.0],
                 "fid": [1, 2, 1]}, mag="mag")
    )  # fmt: skip
    assert (curve.mjd.tolist(), curve.value.tolist(), curve.band) == ([1.0], [15.0], ("1",))
    assert curve.is_magnitude
    assert light_curve_figure(curve).y_range.flipped


def test_what_is_no_light_curve_is_none():
    assert light_curve(cell_of({"name": ["a"], "weight": [1.0]})) is None
    assert light_curve(cell_of({"mjd": [1.0, 2.0], "flux": [1.0]})) is None
    assert light_curve(Cell(Column("x"), "", pa.array([1.0]))) is None


def test_an_empty_light_curve_and_one_without_bands_are_fine():
    empty = light_curve(cell_of({"mjd": pa.array([], pa.float64()).to_pylist() or [], "flux": []}))
    assert empty is None or len(empty.mjd) == 0
    plain = light_curve(cell_of({"mjd": [1.0], "flux": [2.0]}))
    assert (plain.band, plain.error.tolist()) == (("",), [0.0])
    light_curve_figure(plain)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63 - 1, "9223372036854775807"),
        (0.1, "0.1"),
        (None, ""),
        (True, "yes"),
        ("<b>", "<b>"),
        ([1, 2], "1, 2"),
    ],
)
def test_values_are_said_in_full(value, text):
    assert said(pa.array([value])) == text


def test_a_cutout_is_that_of_the_row(points, stamps):
    stores = open_stores([stamps], points)
    for point in (0, 100, 239):
        (stamp,) = read_object(points, point, stores).stamps
        assert not stamp.fault
        np.testing.assert_array_equal(stamp.values, np.full((2, 6, 6), point, np.float32))
        assert len(cutout_figures(stamp)) == 2


def test_a_spectrum_is_drawn_and_a_row_without_one_says_so(points, tmp_path):
    places = [
        store_of(tmp_path / "spectra", points, kind="spectra", shape=(1, 16)),
        store_of(tmp_path / "gaps", points, gap=True),
    ]
    spectrum, gap = read_object(points, 7, open_stores(places, points)).stamps
    assert spectrum_figure(spectrum).renderers[0].data_source.data["y"].tolist() == [7.0] * 16
    assert gap.fault == "no data here"


def test_a_store_of_another_catalog_is_refused(points, stamps):
    older = replace(
        points, view=replace(points.view, base=replace(points.view.base, pixels=points.view.base.pixels[1:]))
    )
    with pytest.raises(ConflictError, match="make it again") as refused:
        open_stores([stamps], older)
    assert refused.value.kind is ErrorKind.SNAPSHOT_CHANGED


def test_a_row_that_is_another_object_by_now_is_refused(points):
    partition, row = points.place(3)
    with pytest.raises(ConflictError, match="start the page again"):
        read_row(points.view, partition, row, -1)
    with pytest.raises(ConflictError, match="has no row"):
        read_row(points.view, partition, 10**6, points.ids[3].as_py())


def test_a_stretch_runs_from_0_to_1_rises_and_keeps_gaps():
    pixels = np.linspace(-5, 100, 50, dtype=np.float32).reshape(5, 10)
    pixels[0, 0] = np.nan
    out = stretched(pixels)
    assert np.isnan(out[0, 0])
    flat = out.ravel()[1:]
    assert flat.min() == 0
    assert flat.max() == pytest.approx(1)
    assert (np.diff(flat) >= 0).all()
    assert np.isnan(stretched(np.full((2, 2), np.nan, np.float32))).all()
