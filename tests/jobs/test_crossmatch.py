"""Pairs of two catalogs are those of a comparison of all positions with all."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from skyloom.cli import main
from skyloom.errors import SpecError
from skyloom.jobs import open_catalog
from tests.tiny_catalogs import objects, write_hats

RADIUS_ARCSEC = 2.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A catalog with light curves, and a second one in other partitions, of the same places a little off."""
    from hats.pixel_math import compute_spatial_index

    folder = tmp_path_factory.mktemp("pair")
    table = objects(100, longest=10)
    left = open_catalog(write_hats(folder / "tiny", table, threshold=30))
    rng = np.random.default_rng(3)
    n = table.num_rows
    dec = np.clip(table["dec"].to_numpy() + rng.normal(0, RADIUS_ARCSEC / 3600 / 1.5, n), -90, 90)
    ra = (table["ra"].to_numpy() + rng.normal(0, RADIUS_ARCSEC / 3600 / 1.5, n)) % 360
    other = pa.table(
        {
            "_healpix_29": compute_spatial_index(ra, dec),
            "source_id": np.arange(n),
            "ra": ra,
            "dec": dec,
            "w1": pa.array(rng.normal(15, 1, n).astype("f4")),
        },
        schema=pa.schema(
            [
                pa.field("_healpix_29", pa.int64()),
                pa.field("source_id", pa.int64()),
                pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
                pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
                pa.field("w1", pa.float32(), metadata={"unit": "mag"}),
            ]
        ),
    )
    right = open_catalog(write_hats(folder / "wise", other.sort_by("_healpix_29"), threshold=40))
    return left, right


def slowly(pair, condition="true"):
    """Return ids and distances of pairs, each row of the left with its nearest of the right."""
    from astropy.coordinates import angular_separation

    left, right = (view.query("select * from catalog") for view in pair)
    inside = set(pair[0].query(f"select object_id from catalog where {condition}")["object_id"].to_pylist())
    places = [np.radians(table[name].to_numpy()) for table in (left, right) for name in ("ra", "dec")]
    apart = np.degrees(angular_separation(*(v[:, None] for v in places[:2]), *places[2:])) * 3600
    nearest = apart.argmin(axis=1)
    ids, sources = left["object_id"].to_pylist(), right["source_id"].to_pylist()
    return {
        (ids[i], sources[k]): apart[i, k]
        for i, k in enumerate(nearest)
        if apart[i, k] <= RADIUS_ARCSEC and ids[i] in inside
    }


def test_pairs_are_those_of_all_distances_with_columns_units_and_light_curves_of_both(pair):
    left, right = pair
    sql = "select object_id, source_id, _dist_arcsec, w1, ra_wise, lc from catalog"
    found = left.crossmatch(right, RADIUS_ARCSEC).query(sql)
    wanted = slowly(pair)
    assert 50 < len(wanted) < 100
    assert {(row["object_id"], row["source_id"]) for row in found.to_pylist()} == set(wanted)
    for row in found.to_pylist():
        assert row["_dist_arcsec"] == pytest.approx(wanted[row["object_id"], row["source_id"]], abs=1e-6)
    units = {field.name: (field.metadata or {}).get(b"unit") for field in found.schema}
    assert units["w1"] == b"mag"
    assert units["_dist_arcsec"] == b"arcsec"
    assert units["ra_wise"] == b"deg"
    curves = left.query("select object_id, lc from catalog").to_pylist()
    of = {row["object_id"]: row["lc"] for row in curves}
    assert all(row["lc"] == of[row["object_id"]] for row in found.to_pylist())


def test_a_region_in_the_sql_chooses_what_is_matched_and_loses_no_pair(pair):
    left, right = pair
    condition = "in_cone(ra, dec, 150, 2, 3)"
    found = left.crossmatch(right, RADIUS_ARCSEC).query(
        f"select object_id, source_id from catalog where {condition}"
    )
    wanted = slowly(pair, condition)
    assert 10 < len(wanted) < len(slowly(pair))
    assert {(row["object_id"], row["source_id"]) for row in found.to_pylist()} == set(wanted)


def test_the_command_matches_and_a_radius_that_is_none_is_refused(pair, capsys):
    left, right = pair
    words = ["--catalog", left.base.root, "--crossmatch", right.base.root, "--cone", "150", "2", "1"]
    command = ["query", "select count(*) as n from catalog", *words]
    assert main([*command, "--radius", str(RADIUS_ARCSEC), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": len(slowly(pair, "in_cone(ra, dec, 150, 2, 1)"))}]
    assert main([*command, "--radius", "-1"]) == 2
    assert "radius" in capsys.readouterr().err


def test_a_large_catalog_without_a_margin_is_refused_with_the_way_out(pair, monkeypatch):
    monkeypatch.setattr("skyloom.jobs.crossmatch.MAX_ROWS", 10)
    left, right = pair
    with pytest.raises(SpecError, match=r"no margin of 1 arcsec.*Give a region"):
        left.crossmatch(right).query("select 1 from catalog")


def test_what_a_match_would_read_is_told_without_matching(pair, monkeypatch, capsys):
    monkeypatch.setattr("skyloom.jobs.crossmatch.Crossmatched._matched", None)
    left, right = pair
    matched = left.crossmatch(right, RADIUS_ARCSEC)
    whole = matched.explain("select w1 from catalog")
    assert (whole.partitions, whole.rows) == (whole.partitions_of, left.rows) == (len(left.base.pixels), 100)
    parts = [*left.base.partitions(), *right.base.partitions()]
    assert whole.bytes == sum(part.bytes for part in parts)
    assert whole.regions[-1].endswith(f"of {len(right.base.pixels)} partitions of wise are near, with 100 rows")
    some = matched.explain("select w1 from catalog where in_cone(ra, dec, 150, 2, 1)")
    assert some.partitions == left.explain("select 1 from catalog where in_cone(ra, dec, 150, 2, 1)").partitions
    assert some.bytes < whole.bytes
    words = ["query", "select nothing from catalog", "--catalog", left.base.root, "--crossmatch", right.base.root]
    assert main([*words, "--explain"]) == 2
    assert "nothing" in capsys.readouterr().err
    assert main([words[0], "select w1 from catalog", *words[2:], "--explain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"] == len(left.base.pixels)
