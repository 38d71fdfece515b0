"""A region's coverage holds all of it, and its SQL says what spherical geometry says."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.errors import DataError, NotFoundError, SpecError
from skyloom.sky import Box, Cone, MocRegion, Polygon
from skyloom.sky.regions import touched

RA = st.floats(0, 360)
DEC = st.floats(-90, 90)


def sky(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def around(ra: float, dec: float, radius: float, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Positions within twice a radius, by turning the pole onto a position."""
    rng = np.random.default_rng(1)
    c = 1 - rng.uniform(0, 1 - np.cos(np.radians(min(180.0, 2 * radius))), n)
    s, phi = np.sqrt(1 - c**2), rng.uniform(0, 2 * np.pi, n)
    d, a = np.radians(dec), np.radians(ra)
    x, y, z = s * np.cos(phi), s * np.sin(phi), c
    x, z = x * np.sin(d) + z * np.cos(d), z * np.sin(d) - x * np.cos(d)
    x, y = x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))


def healpix(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    from hats.pixel_math import compute_spatial_index

    return np.asarray(compute_spatial_index(ra, dec)).astype(np.int64)


def inside(region, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """What the SQL says."""
    import pyarrow as pa

    rows = pa.table({"ra": ra, "dec": dec, "h": healpix(ra, dec)})
    con = duckdb.connect()
    con.register("rows", rows)
    return con.sql(f"SELECT {region.sql('ra', 'dec', 'h')} AS found FROM rows").fetchnumpy()["found"].astype(bool)


def separation(ra, dec, ra0, dec0) -> np.ndarray:
    from astropy.coordinates import angular_separation

    return np.degrees(angular_separation(*np.radians([ra, dec]), *np.radians([ra0, dec0])))


def covered(region, ra: np.ndarray, dec: np.ndarray, order: int) -> np.ndarray:
    pixels = healpix(ra, dec) >> (2 * (29 - order))
    return touched(region, [(order, int(p)) for p in pixels])


@given(ra=RA, dec=DEC, radius=st.floats(1e-3, 60))
@settings(max_examples=25, deadline=None)
def test_a_cone_is_all_within_its_radius_by_angular_separation(ra, dec, radius):
    cone = Cone(ra, dec, radius)
    at = around(ra, dec, radius)
    distance = separation(*at, ra, dec)
    clear = np.abs(distance - radius) > 1e-9
    np.testing.assert_array_equal(inside(cone, *at)[clear], (distance <= radius)[clear])


@pytest.mark.parametrize(
    "region",
    [
        Cone(0.0, 0.0, 1.0),
        Cone(359.99, 89.9, 0.5),
        Cone(45.0, 0.02, 1e-4),
        Cone(10.0, -30.0, 120.0),
        Box(350.0, 12.0, -5.0, 5.0),
        Box(10.0, 20.0, 60.0, 90.0),
        Box(10.0, 10.01, 0.0, 0.01),
        Polygon(((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))),
        Polygon(((358.0, -1.0), (2.0, -1.0), (0.0, 3.0))),
        Polygon(((0.0, 85.0), (120.0, 85.0), (240.0, 85.0))),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [0, 3, 6, 10])
def test_no_row_that_is_inside_lies_in_a_pixel_that_is_left_out(region, order):
    for at in (
        sky(20_000),
        around(0.0, 0.0, 3.0),
        around(0.0, 90.0, 6.0),
        around(15.0, 15.0, 10.0),
        around(10, 0, 0.02),
    ):
        found = inside(region, *at)
        assert covered(region, *at, order)[found].all()


def test_a_small_cone_touches_few_of_many_pixels():
    every = [(6, p) for p in range(12 * 4**6)]
    assert 1 <= touched(Cone(180.0, 40.0, 1.0), every).sum() <= 20


def test_a_box_goes_east_over_the_meridian_and_its_complement_is_the_rest():
    at = sky(5000)
    over, rest = Box(350.0, 10.0, -90.0, 90.0), Box(10.0, 350.0, -90.0, 90.0)
    assert (inside(over, *at) ^ inside(rest, *at)).all()
    assert inside(over, np.array([355.0, 5.0, 180.0]), np.zeros(3)).tolist() == [True, True, False]


def test_a_polygon_is_the_same_either_way_round_and_from_any_corner():
    corners = ((10.0, 10.0), (20.0, 12.0), (22.0, 20.0), (12.0, 22.0))
    at = around(15.0, 15.0, 10.0)
    wanted = inside(Polygon(corners), *at)
    assert 0 < wanted.sum() < len(wanted)
    for other in (corners[::-1], corners[2:] + corners[:2]):
        np.testing.assert_array_equal(inside(Polygon(other), *at), wanted)


def test_a_small_polygon_is_what_plane_geometry_says():
    from matplotlib.path import Path

    corners = ((100.0, 0.0), (100.02, 0.001), (100.015, 0.02), (100.001, 0.015))
    rng = np.random.default_rng(0)
    at = rng.uniform(99.99, 100.03, 4000), rng.uniform(-0.01, 0.03, 4000)
    plane = Path(corners).contains_points(np.column_stack(at))
    assert (inside(Polygon(corners), *at) == plane).mean() > 0.999


def test_a_moc_is_its_cells(tmp_path):
    from mocpy import MOC

    moc = MOC.from_string("3/5 8-11 7/12345 9/800000")
    moc.save(str(tmp_path / "area.fits"), format="fits")
    at = sky(20_000)
    region = MocRegion.load(tmp_path / "area.fits")
    wanted = moc.contains_lonlat(*[value * __import__("astropy.units").units.deg for value in at])
    np.testing.assert_array_equal(inside(region, *at), wanted)
    assert covered(region, *at, 5)[wanted].all()


def test_an_empty_moc_holds_nothing():
    from mocpy import MOC

    region = MocRegion(MOC.new_empty(10))
    assert not inside(region, *sky(100)).any()
    assert not touched(region, [(0, p) for p in range(12)]).any()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Cone(400.0, 0.0, 1.0), "400"),
        (lambda: Cone(0.0, 0.0, 0.0), "radius"),
        (lambda: Box(0.0, 10.0, 5.0, -5.0), "lower to a higher"),
        (lambda: Polygon(((0.0, 0.0), (1.0, 0.0))), "three corners"),
        (lambda: Polygon(((0.0, 0.0), (10.0, 0.0), (1.0, 1.0), (0.0, 10.0))), "convex"),
        (lambda: Polygon(((0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0))), "convex"),
    ],
)
def test_what_is_no_region_is_refused(make, word):
    with pytest.raises(SpecError, match=word):
        make()


def test_files_that_are_no_moc_are_refused(tmp_path):
    with pytest.raises(NotFoundError):
        MocRegion.load(tmp_path / "none.fits")
    (tmp_path / "bad.fits").write_text("no such thing")
    with pytest.raises(DataError, match="no MOC"):
        MocRegion.load(tmp_path / "bad.fits")
