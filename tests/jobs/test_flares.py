"""A job of flares over light curves with every defect there is: rows stay, in order, and lists stay lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.jobs import open_layer, run
from skyloom.models.flares import FLAGS
from skyloom.models.flares.columns import EVENT_COLUMNS
from tests.flare_tables import flaring
from tests.models.flares.test_flares import BAD
from tests.tiny_catalogs import objects, write_hats

BIT = {flag.name: flag.mask for flag in FLAGS}
FIELDS = {"mjd": pa.float64(), "flux": pa.float32(), "flux_err": pa.float32(), "band": pa.string()}
UNITS = {"mjd": {"unit": "d"}, "flux": {"unit": "electron/s"}, "flux_err": {"unit": "electron/s"}}
LC_TYPE = pa.struct([pa.field(name, pa.list_(kind), metadata=UNITS.get(name)) for name, kind in FIELDS.items()])
BRIGHT = flaring(1200, noise=1e-3, amplitude=0.2)


def light_curve(curve):
    mjd, flux, error = (values.tolist() for values in curve)
    return {"mjd": mjd, "flux": flux, "flux_err": error, "band": ["tess"] * len(mjd)}


@pytest.fixture(scope="module")
def names():
    return ["a bright flare", *BAD]


@pytest.fixture
def layer(names, job_of, tmp_path):
    table = objects(len(names))
    curves = pa.array([light_curve(BAD[name][0] if name in BAD else BRIGHT) for name in names], LC_TYPE)
    place = table.schema.get_field_index("lc")
    table = table.set_column(place, pa.field("lc", LC_TYPE), curves)
    catalog = write_hats(tmp_path / "sky", table)
    job = job_of(
        catalog,
        model="flares",
        layer="flares",
        weights="simulated",
        input={"columns": {}},
        model_config={"per_cadence": True},
    )
    report = run(job, cluster="in-process", progress=False)
    assert (report.rows, report.quarantined) == (len(names), 0)
    made = open_layer("flares", tmp_path / "layers")
    return pa.concat_tables([pq.read_table(f, partitioning=None) for f in made.files])


def test_rows_stay_with_their_flags_and_lists_are_null_where_nothing_was_scored(layer, names):
    assert layer["object_id"].to_pylist() == objects(len(names))["object_id"].to_pylist()
    expected = [sum(BIT[word] for word in BAD[name][1].split()) if name in BAD else 0 for name in names]
    assert layer["flares_flag"].to_pylist() == expected
    scored = [name not in BAD or BAD[name][2] for name in names]
    for column in ("flare_n", "flare_rate", "flare_time", "flare_energy", "flare_cadence_p"):
        assert [value is not None for value in layer[column].to_pylist()] == scored


def test_the_layer_has_one_list_element_per_flare_and_one_per_cadence(layer, names):
    numbers = layer["flare_n"].to_pylist()
    for column in EVENT_COLUMNS:
        assert [None if v is None else len(v) for v in layer[column.name].to_pylist()] == numbers
    row = names.index("a bright flare")
    assert len(layer["flare_cadence_p"].to_pylist()[row]) == len(BRIGHT[0])


def test_the_flare_that_was_put_in_is_found(layer, names):
    row = names.index("a bright flare")
    times = layer["flare_time"].to_pylist()[row]
    nearest = int(np.argmin(np.abs(np.array(times) - BRIGHT[0][600])))
    assert times[nearest] == pytest.approx(BRIGHT[0][600], abs=3.0 / 720.0)
    assert layer["flare_amp"].to_pylist()[row][nearest] == pytest.approx(0.2, rel=0.1)
    assert layer["flare_p"].to_pylist()[row][nearest] > 0.5
    assert layer["flare_energy"].to_pylist()[row][nearest] is None
