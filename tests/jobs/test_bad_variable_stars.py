"""A job of periodic-class over light curves with every defect there is: rows stay, in order, with their flags."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.jobs import open_layer, run
from skyloom.models.periodic_class import CLASSES, FLAGS
from tests.models.periodic_class.test_columns import BAD
from tests.tiny_catalogs import objects, write_hats

BIT = {flag.name: flag.mask for flag in FLAGS}
CAVEATS = BIT["PERIOD_AMBIGUOUS"] | BIT["PERIOD_DAILY"] | BIT["NOT_PERIODIC"]
LC_TYPE = pa.struct(
    [
        pa.field("mjd", pa.list_(pa.float64()), metadata={"unit": "d"}),
        pa.field("mag", pa.list_(pa.float32()), metadata={"unit": "mag"}),
        pa.field("mag_err", pa.list_(pa.float32()), metadata={"unit": "mag"}),
        pa.field("band", pa.list_(pa.string())),
    ]
)


def light_curve(points):
    if points is None:
        return None
    names = {"mjd": "mjd", "mag": "flux", "mag_err": "flux_err", "band": "band"}
    return {name: [point[source] for point in points] for name, source in names.items()}


@pytest.fixture
def names():
    """Each defect twice, spread over the partitions."""
    return [name for _ in range(2) for name in BAD]


@pytest.fixture
def layer(names, job_of, tmp_path):
    table = objects(len(names))
    curves = pa.array([light_curve(BAD[name][0]) for name in names], LC_TYPE)
    place = table.schema.get_field_index("lc")
    table = table.set_column(place, pa.field("lc", LC_TYPE), curves)
    catalog = write_hats(tmp_path / "sky", table)
    job = job_of(
        catalog,
        model="periodic-class",
        layer="periods",
        weights="eros1",
        input={"columns": {"lc.flux": "lc.mag", "lc.flux_err": "lc.mag_err"}},
    )
    report = run(job, cluster="in-process", progress=False)
    assert (report.rows, report.quarantined) == (len(names), 0)
    made = open_layer("periods", tmp_path / "layers")
    return pa.concat_tables([pq.read_table(f, partitioning=None) for f in made.files])


def test_every_row_stays_with_the_flags_of_its_defect_and_nulls_where_there_is_no_period(layer, names):
    assert layer["object_id"].to_pylist() == objects(len(names))["object_id"].to_pylist()
    flags = [flag & ~CAVEATS for flag in layer["periods_flag"].to_pylist()]
    expected = {name: sum(BIT[word] for word in words.split()) for name, (_, words, _) in BAD.items()}
    assert dict(zip(names, flags, strict=True)) == expected
    assert flags == [expected[name] for name in names]
    scored = [BAD[name][2] for name in names]
    for column in ("vs_class", "vs_period", "vs_p_rrl", "vs_ood"):
        assert [value is not None for value in layer[column].to_pylist()] == scored


def test_a_defect_that_costs_a_point_costs_no_class(layer, names):
    rows = {name: k for k, name in enumerate(names)}
    columns = ["vs_class", *(f"vs_p_{c}" for c in CLASSES), "vs_period"]
    of = {name: [layer[c][rows[name]].as_py() for c in columns] for name in names}
    for name in ("unsorted", "infinite time", "unknown band"):
        assert of[name] == of["sound"]
    for name in ("NaN magnitude", "negative error"):
        assert of[name][-1] == pytest.approx(of["sound"][-1], rel=1e-3)
