"""A grid of wavelengths says what it is, and when two are the same."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.errors import DataError, NotFoundError, SpecError
from skyloom.spectra import Grid, read_grid
from skyloom.spectra.grid import bin_edges, offset_of

GRIDS = {
    "logarithmic": Grid(3904, start=3.5682, step=1e-4, log10=True),
    "linear": Grid(2000, start=400.0, step=0.2, unit="nm", medium="air"),
    "listed": Grid(5, values=(1.1, 1.3, 1.35, 1.5, 1.7), unit="um"),
}


@pytest.mark.parametrize("name", GRIDS)
def test_what_a_store_states_is_the_grid_again(name):
    grid = GRIDS[name]
    assert Grid.of(json.loads(json.dumps(grid.said())), grid.pixels) == grid


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_through_its_own_wavelengths_agrees_with_it(name):
    grid = GRIDS[name]
    found = Grid.through(grid.wavelengths(), grid.medium)
    assert found.agrees(grid)
    np.testing.assert_allclose(found.wavelengths(), grid.wavelengths(), rtol=1e-9)


def test_a_grid_in_single_precision_is_found_as_the_survey_meant_it():
    written = 10.0 ** np.float64(np.float32(3.5826) + np.float32(1e-4) * np.arange(3808, dtype=np.float32))
    found = Grid.through(written, "vacuum")
    assert (found.log10, found.start, found.step) == (True, pytest.approx(3.5826), pytest.approx(1e-4))


@given(shift=st.integers(-90, 90), part=st.floats(-0.4, 0.4))
def test_grids_coincide_when_they_are_whole_pixels_apart_and_only_then(shift, part):
    target = 10.0 ** (3.6 + 1e-4 * np.arange(100))
    source = 10.0 ** (3.6 + 1e-4 * (shift + part + np.arange(120)))
    found = offset_of(source, target)
    if abs(part) < 0.009:
        assert found == shift
    elif abs(part) > 0.011:
        assert found is None


def test_pixels_that_meet_by_chance_do_not_make_grids_coincide():
    target = np.arange(100.0, 200.0)
    assert offset_of(np.array([60.0, 80.0, 100.0]), target) is None  # one centre is shared; its pixel is 20 wide
    assert offset_of(np.array([300.0, 301.0]), target) is None


def test_edges_lie_halfway_and_the_last_pixels_are_symmetric():
    np.testing.assert_allclose(bin_edges(np.array([1.0, 2.0, 4.0])), [0.5, 1.5, 3.0, 5.0])


def test_grids_differ_in_medium_pixels_and_wavelengths():
    grid = GRIDS["logarithmic"]
    others = [
        Grid(3904, start=3.5682, step=1e-4, log10=True, medium="air"),
        Grid(3903, start=3.5682, step=1e-4, log10=True),
        Grid(3904, start=3.56825, step=1e-4, log10=True),
    ]
    assert [grid.agrees(other) for other in others] == [False] * 3
    in_nm = Grid(3904, values=tuple(grid.wavelengths() / 10), unit="nm")
    assert grid.agrees(in_nm)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pixels": 1}, "2 to"),
        ({"pixels": 3, "start": 5.0, "step": -1.0}, "increase"),
        ({"pixels": 3, "start": -5.0}, "positive"),
        ({"pixels": 3, "start": 400.0, "step": 1.0, "log10": True}, "positive and increase"),
        ({"pixels": 3, "unit": "nanometre"}, "no unit"),
        ({"pixels": 3, "start": 1.0, "medium": "water"}, "water"),
        ({"pixels": 3, "values": (1.0, 2.0)}, "2 wavelengths"),
        ({"pixels": 3, "values": (1.0, 3.0, 2.0)}, "increase"),
        ({"pixels": 3, "values": (1.0, float("nan"), 2.0)}, "increase"),
    ],
)
def test_nonsense_is_no_grid(settings, says):
    with pytest.raises(SpecError, match=re.escape(says)):
        Grid(**settings)


def test_a_store_that_states_something_else_is_told_so():
    with pytest.raises(SpecError, match="no grid"):
        Grid.of({"start": 1.0, "stop": 2.0}, 10)


def test_a_grid_is_read_from_an_array(tmp_path):
    np.save(tmp_path / "grid.npy", np.linspace(3.6, 3.9, 50))
    grid = read_grid(tmp_path / "grid.npy", unit="Angstrom", medium="air", log10=True)
    np.testing.assert_allclose(grid.wavelengths(), 10 ** np.linspace(3.6, 3.9, 50))
    np.save(tmp_path / "square.npy", np.ones((3, 3)))
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(SpecError, match=r"\(L,\)"):
        read_grid(tmp_path / "square.npy", unit="nm", medium="air")
    with pytest.raises(DataError, match="no array"):
        read_grid(tmp_path / "text.npy", unit="nm", medium="air")
    with pytest.raises(NotFoundError):
        read_grid(tmp_path / "none.npy", unit="nm", medium="air")
