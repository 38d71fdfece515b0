"""Pictures: what is drawn is what there is."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyloom.explorer.frame import nearest
from skyloom.explorer.points import Points, cells_of
from skyloom.explorer.shade import SQUARE_DEGREES, draw_map, draw_scatter, histogram, partition_density
from skyloom.explorer.state import WHOLE_SKY, Box

SIZE = (90, 45)


def alpha(picture):
    return picture.rgba >> np.uint32(24)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=st.lists(st.floats(-10, 10, width=32) | st.just(float("nan")), max_size=50),
    bins=st.integers(1, 40),
)
def test_a_histogram_counts_what_is_inside_once(values, bins):
    values = np.array(values, np.float32)
    counts = histogram(values, -5.0, 5.0, bins)
    assert counts.shape == (bins,)
    assert counts.sum() == ((values >= -5) & (values <= 5)).sum()


def test_a_histogram_agrees_with_numpy():
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    wanted, _ = np.histogram(values, bins=50, range=(-3, 3))
    assert np.abs(histogram(values, -3, 3, 50) - wanted).sum() <= 4


def test_the_density_of_partitions_adds_up_to_their_rows():
    partitions = [
        SimpleNamespace(order=0, npix=3, rows=160), SimpleNamespace(order=3, npix=17, rows=40),
        SimpleNamespace(order=2, npix=100, rows=7),
    ]  # fmt: skip
    density = partition_density(partitions, 2)
    area = SQUARE_DEGREES / len(density)
    assert density.sum() * area == pytest.approx(207)
    assert density[3 * 16 : 4 * 16] == pytest.approx(10 / area)
    assert density[4] == pytest.approx(40 / area)


def test_every_point_is_on_the_map_of_the_whole_sky_where_it_is(points):
    picture = draw_map(points, WHOLE_SKY, SIZE, None)
    assert picture.in_view == len(points)
    x = np.minimum((points.ra / 360 * SIZE[0]).astype(int), SIZE[0] - 1)
    y = np.minimum(((points.dec + 90) / 180 * SIZE[1]).astype(int), SIZE[1] - 1)
    assert (alpha(picture)[y, x] > 0).all()


def test_the_map_goes_on_through_right_ascension_0(points):
    west, east = points.within(Box(340, 360, -90, 90)).sum(), points.within(Box(0, 20, -90, 90)).sum()
    assert draw_map(points, Box(-20, 20, -90, 90), SIZE, None).in_view == west + east
    assert draw_map(points, Box(340, 380, -90, 90), SIZE, None).in_view == west + east


def test_what_is_selected_has_a_colour_of_its_own(points):
    chosen = points.within(Box(140, 160, -10, 10))
    plain, marked = (draw_map(points, WHOLE_SKY, SIZE, some) for some in (None, chosen))
    assert not np.array_equal(plain.rgba, marked.rgba)
    nothing = draw_map(points, WHOLE_SKY, SIZE, np.zeros(len(points), bool))
    colours = set(np.unique(marked.rgba)) - set(np.unique(nothing.rgba))
    assert colours
    # Red is the lowest byte: a selection is orange, the rest is grey.
    assert all((colour & 0xFF) > (colour >> 16 & 0xFF) for colour in colours)


def test_dense_catalogs_are_drawn_as_densities_far_out_and_as_points_near_in(points, monkeypatch):
    monkeypatch.setattr("skyloom.explorer.shade.DENSE", 1)
    # A size of its own: pictures of the sizes of other tests are kept.
    far = draw_map(points, WHOLE_SKY, (80, 40), None)
    assert "HEALPix density" in far.said
    assert far.in_view == len(points)
    near = draw_map(points, Box(149, 149.4, 1, 1.2), SIZE, None)
    assert "objects in view" in near.said
    assert "density" not in near.said


def test_a_thinned_catalog_shows_the_density_of_all_its_rows(view, monkeypatch):
    monkeypatch.setattr("skyloom.explorer.shade.DENSE", 1)
    thin = Points.of(view, limit=50)
    picture = draw_map(thin, WHOLE_SKY, SIZE, None)
    assert picture.said.startswith("240 objects: density of the partitions")
    assert "one row in 5" in draw_map(thin, Box(149, 149.4, 1, 1.2), SIZE, None).said


def test_a_scatter_plot_counts_the_points_in_view_and_leaves_out_missing_values(points):
    whole = Box(-1e6, 1e6, -1e6, 1e6)
    picture = draw_scatter(points, ("hostgal_photoz", "mwebv"), whole, SIZE, None)
    assert picture.in_view == np.isfinite(points.column("hostgal_photoz")).sum()
    empty = draw_scatter(points, ("hostgal_photoz", "mwebv"), Box(100, 101, 0, 1), SIZE, None)
    assert (empty.in_view, alpha(empty).max()) == (0, 0)


def test_a_tap_finds_the_nearest_point_and_none_that_is_far():
    dx, dy = np.array([5.0, 3.0, 100.0]), np.array([0.0, 3.0, 0.0])
    assert nearest(dx, dy) == 1
    assert nearest(dx + 50, dy) is None


def test_cells_cover_the_whole_sky_once():
    cells = cells_of(np.array([0.0, 180.0, 359.9]), np.array([-90.0, 0.0, 90.0]), 0)
    assert set(cells) <= set(range(12))
