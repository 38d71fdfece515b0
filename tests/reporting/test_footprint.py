"""Caps hold their rows, sums by cell are those of a slow loop, maps show what lies where."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skyloom.reporting.footprint import Cap, CapFinder, CellSums, cells_of, reach_deg
from skyloom.reporting.skymap import _lambert, _local, _whole_sky, mollweide


@given(
    ra=st.floats(0, 360),
    dec=st.floats(-90, 90),
    size=st.floats(0.01, 170),
    n=st.integers(1, 40),
    seed=st.integers(0),
)
@example(ra=27.0, dec=-7.0, size=1.0, n=7, seed=0)
@settings(max_examples=60, deadline=None)
def test_a_cap_holds_every_position_also_across_the_meridian_and_the_poles(ra, dec, size, n, seed):
    rng = np.random.default_rng(seed % 2**32)
    ras, decs = (ra + rng.uniform(-size, size, n)) % 360, np.clip(dec + rng.uniform(-size, size, n) / 2, -90, 90)
    finder = CapFinder()
    finder.add(ras[: n // 2], decs[: n // 2])
    finder.add(ras[n // 2 :], decs[n // 2 :])
    cap = finder.cap()
    assert reach_deg(cap, ras, decs) <= cap.radius_deg * (1 + 1e-9) + 1e-6


def test_no_position_has_no_cap():
    finder = CapFinder()
    finder.add(np.array([np.nan]), np.array([10.0]))
    assert finder.cap() is None


def test_sums_by_cell_are_those_of_a_loop_in_any_batches():
    rng = np.random.default_rng(0)
    ra, dec, value = rng.uniform(0, 360, 500), rng.uniform(-90, 90, 500), rng.normal(size=500)
    value[::7] = np.nan
    ra[3] = np.nan
    cells = cells_of(ra, dec, 2)
    assert cells[3] == -1
    sums = CellSums(2, ("v",))
    for start in range(0, 500, 90):
        part = slice(start, start + 90)
        sums.add(cells[part], {"v": value[part]})
    assert sums.rows.sum() == 499
    for cell, rows, mean in zip(sums.cells, sums.rows, sums.mean("v"), strict=True):
        mine = cells == cell
        assert rows == mine.sum()
        np.testing.assert_allclose(mean, np.nanmean(value[mine]) if np.isfinite(value[mine]).any() else np.nan)


def test_the_number_of_cells_is_bounded_whatever_the_size_of_the_cap():
    for radius in (0.001, 0.1, 1.0, 20.0, 59.0, 180.0):
        cap = Cap(0, 0, radius)
        area = 2 * math.pi * (1 - math.cos(math.radians(radius)))
        assert area / (4 * math.pi / (12 * 4**cap.order)) < 6000


def test_pixels_of_the_whole_sky_lie_where_their_positions_do():
    width = 120
    ra, dec = _whole_sky(width)
    assert np.isfinite(ra).mean() == pytest.approx(math.pi / 4, abs=0.01)  # an ellipse in its box
    for row, column in ((30, 60), (10, 50), (45, 20), (30, 100)):
        x, y = mollweide(ra[row, column], dec[row, column])
        assert (x + 2) / 4 * width == pytest.approx(column + 0.5, abs=0.01)
        assert (1 - y) / 2 * width / 2 == pytest.approx(row + 0.5, abs=0.01)


@pytest.mark.parametrize("cap", [Cap(10.0, 41.0, 1.5), Cap(359.9, -87.0, 3.0), Cap(80.0, -69.0, 5.0)])
def test_pixels_of_a_local_map_lie_where_their_positions_do_and_east_is_left(cap):
    width = 64
    ra, dec = _local(width, cap)
    for row, column in ((32, 32), (10, 40), (50, 20)):
        x, y = _lambert(float(ra[row, column]), float(dec[row, column]), cap)
        assert (x + 1) / 2 * width == pytest.approx(column + 0.5, abs=0.01)
        assert (1 - y) / 2 * width == pytest.approx(row + 0.5, abs=0.01)
    middle = ra[32]
    assert (middle[10] - middle[50]) % 360 < 180
    assert dec[5, 32] > dec[60, 32]
