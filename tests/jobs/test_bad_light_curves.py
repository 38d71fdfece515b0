"""A job over light curves with every defect there is: rows stay, in order, with flags that say why."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.jobs import open_layer, run
from skyloom.models.lightcurve_features import FLAGS
from tests.tiny_catalogs import LC_TYPE, objects, write_hats

BIT = {flag.name: flag.mask for flag in FLAGS}
NAN, INF = float("nan"), float("inf")
GOOD = [(59_600.0 + i, 100.0 + 7 * (i % 5), 5.0, "gr"[i % 2]) for i in range(16)]

DEFECTS = {
    "sound": (GOOD, 0),
    "no points": ([], "LC_EMPTY"),
    "no light curve": (None, "LC_EMPTY"),
    "one epoch": (GOOD[:1], "LC_FEW"),
    "unsorted": (GOOD[::-1], "LC_UNSORTED"),
    "repeated time": ([*GOOD, GOOD[-1]], "LC_DUPTIME"),
    "NaN flux": ([*GOOD, (59_700.0, NAN, 5.0, "g")], "LC_NONFINITE"),
    "infinite flux": ([*GOOD, (59_700.0, -INF, 5.0, "g")], "LC_NONFINITE"),
    "NaN time": ([*GOOD, (NAN, 1.0, 5.0, "g")], "LC_NONFINITE"),
    "infinite error": ([*GOOD, (59_700.0, 1.0, INF, "g")], "LC_BADERR"),
    "NaN error": ([*GOOD, (59_700.0, 1.0, NAN, "r")], "LC_BADERR"),
    "negative error": ([*GOOD, (59_700.0, 1.0, -5.0, "g")], "LC_BADERR"),
    "zero error": ([*GOOD, (59_700.0, 1.0, 0.0, "g")], "LC_BADERR"),
    "unknown band": ([*GOOD, (59_700.0, 1.0, 5.0, "K")], "LC_UNKNOWN_BAND"),
    "null band": ([*GOOD, (59_700.0, 1.0, 5.0, None)], "LC_UNKNOWN_BAND"),
    "no good point": ([(59_700.0, NAN, -1.0, "K")], "LC_NONFINITE LC_BADERR LC_UNKNOWN_BAND LC_EMPTY"),
    "all at once": (
        [*GOOD[::-1], GOOD[0], (NAN, 1.0, 5.0, "g"), (59_700.0, 1.0, -5.0, "g"), (59_701.0, 1.0, 5.0, "K")],
        "LC_UNSORTED LC_DUPTIME LC_NONFINITE LC_BADERR LC_UNKNOWN_BAND",
    ),
}
VALUES_OF_SOUND = {"NaN flux", "infinite flux", "NaN time", "infinite error", "NaN error", "negative error",
                   "zero error", "unknown band", "null band", "unsorted"}  # fmt: skip
"""Defects that cost a point, or its place, and nothing else."""


def light_curve(points):
    if points is None:
        return None
    mjd, flux, err, band = ([p[i] for p in points] for i in range(4))
    return {"mjd": mjd, "flux": flux, "flux_err": err, "band": band, "detected": [True] * len(points)}


@pytest.fixture(scope="module")
def names():
    """Each defect six times, spread over the partitions."""
    return [name for _ in range(6) for name in DEFECTS]


@pytest.fixture
def catalog(tmp_path, names):
    table = objects(len(names))
    curves = pa.array([light_curve(DEFECTS[name][0]) for name in names], LC_TYPE)
    return write_hats(tmp_path / "sky", table.set_column(table.schema.get_field_index("lc"), "lc", curves))


@pytest.fixture
def made(catalog, job_of, tmp_path):
    settings = {"bands": ["g", "r"]}
    report = run(job_of(catalog, model_config=settings), cluster="in-process", progress=False)
    layer = open_layer("features", tmp_path / "layers")
    return report, pa.concat_tables([pq.read_table(f, partitioning=None) for f in layer.files])


def test_every_row_stays_with_the_flags_of_its_defect(made, names):
    report, layer = made
    assert (report.rows, report.quarantined) == (len(names), 0)
    ids = objects(len(names))["object_id"].to_pylist()
    assert layer["object_id"].to_pylist() == ids
    words = {name: flags.split() if flags else [] for name, (_, flags) in DEFECTS.items()}
    expected = [sum(BIT[word] for word in words[name]) for name in names]
    found = layer["features_flag"].to_pylist()
    assert dict(zip(names, found, strict=True)) == dict(zip(names, expected, strict=True))
    assert found == expected


def test_values_are_null_where_no_point_is_left_and_those_of_the_good_points_elsewhere(made, names):
    _, layer = made
    amplitude = layer["lcf_amplitude_g"].to_pylist()
    by_name = dict(zip(names, amplitude, strict=True))
    empty = [name for name, (_, flags) in DEFECTS.items() if "LC_EMPTY" in str(flags)]
    assert [by_name[name] for name in empty] == [None] * len(empty)
    for name in VALUES_OF_SOUND:
        assert by_name[name] == by_name["sound"]
    sound = [i for i, name in enumerate(names) if name == "sound"]
    columns = [layer[name].take(sound).to_pylist() for name in layer.column_names if name.startswith("lcf_")]
    values = np.array(columns, float)
    assert np.isfinite(values).any()
    assert all(np.array_equal(values[:, 0], values[:, i], equal_nan=True) for i in range(6))
