"""Things find the rows that they belong to, whichever partition those are in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.catalog import open_catalog, read_partition
from skyloom.errors import DataError, SpecError
from skyloom.jobs.matching import MatchIds, rows_by_id, rows_by_position


@pytest.fixture(scope="module")
def rows(shared_tiny_catalog):
    """A catalog of many partitions, and all of its rows in their order."""
    catalog = open_catalog(shared_tiny_catalog)
    assert len(catalog.partitions()) > 5
    columns = ["object_id", "ra", "dec"]
    return catalog, pa.concat_tables([read_partition(catalog.root, p, columns) for p in catalog.partitions()])


def test_ids_are_found_where_they_are_first_and_strangers_nowhere():
    match = MatchIds(np.array(["b", "a", "b"]))
    np.testing.assert_array_equal(match(np.array(["a", "b", "ab", ""])), [1, 0, -1, -1])
    np.testing.assert_array_equal(match.repeated, ["b"])
    np.testing.assert_array_equal(MatchIds(np.empty(0, np.int64))(np.arange(3)), [-1, -1, -1])


def test_every_id_leads_to_its_row_also_as_text_and_above_the_floats(rows):
    catalog, table = rows
    ids = table["object_id"].to_pylist()
    assert min(ids) > 2**53
    np.testing.assert_array_equal(rows_by_id(catalog, ids), np.arange(len(ids)))
    np.testing.assert_array_equal(rows_by_id(catalog, [str(i) for i in ids[::-1]]), np.arange(len(ids))[::-1])


def test_what_no_row_has_leads_nowhere(rows):
    catalog, table = rows
    strange = [max(table["object_id"].to_pylist()) + 1, "spec-0266", None, 2**70, -1, ""]
    np.testing.assert_array_equal(rows_by_id(catalog, strange), [-1] * 6)


def test_every_position_leads_to_its_row_within_the_radius_and_to_none_beyond(rows):
    catalog, table = rows
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    away = np.where(np.arange(len(ra)) % 2, 0.9, 1.1) / 3600
    near = dec + np.where(dec > 0, -away, away)
    found = rows_by_position(catalog, ra, near, 1.0)
    np.testing.assert_array_equal(found, np.where(np.arange(len(ra)) % 2, np.arange(len(ra)), -1))


def test_the_nearest_row_is_taken_as_a_slow_search_takes_it(rows):
    from astropy.coordinates import SkyCoord

    catalog, table = rows
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    rng = np.random.default_rng(0)
    at = (rng.normal(150, 2, 60), rng.normal(2, 2, 60))  # in the crowded field, over borders of partitions
    found = rows_by_position(catalog, *at, 3600.0)
    sky = SkyCoord(ra, dec, unit="deg")
    for i, one in enumerate(SkyCoord(*at, unit="deg")):
        away = one.separation(sky).deg
        assert found[i] == (away.argmin() if away.min() <= 1 else -1)


@pytest.mark.parametrize("radius", [0.0, -1.0, 4000.0, float("nan")])
def test_a_radius_that_is_none_is_refused(rows, radius):
    with pytest.raises(SpecError, match="radius"):
        rows_by_position(rows[0], np.array([1.0]), np.array([1.0]), radius)


def test_a_position_that_is_none_is_refused(rows):
    with pytest.raises(DataError, match="1 of 2 positions"):
        rows_by_position(rows[0], np.array([1.0, 2.0]), np.array([1.0, 91.0]), 1.0)
