"""What periodic-class makes of light curves, good and bad, before any network sees them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import SpecError
from skyloom.features.periodic import names_of
from skyloom.models.periodic_class.columns import (
    CLASSES,
    DOUBLE_F,
    FLAGS,
    Config,
    inputs_of,
    period_columns,
    reads_of,
    writes_of,
)
from tests.features.test_periods import nights, skewed

BIT = {flag.name: flag.mask for flag in FLAGS}


def points(period=0.61, n=60, *, noise=0.03, seed=0, bands="br"):
    rng = np.random.default_rng(seed)
    out = []
    for band in bands:
        mjd = nights(rng, n)
        mag = 18.0 + skewed(mjd / period) + rng.normal(0, noise, n)
        out += [{"mjd": t, "flux": m, "flux_err": noise, "band": band} for t, m in zip(mjd, mag, strict=True)]
    return sorted(out, key=lambda p: p["mjd"])


def rows_of(curves):
    fields = {"mjd": pa.float64(), "flux": pa.float32(), "flux_err": pa.float32(), "band": pa.string()}
    kind = pa.struct([pa.field(name, pa.list_(dtype)) for name, dtype in fields.items()])
    values = [None if c is None else {name: [p[name] for p in c] for name in fields} for c in curves]
    return pa.RecordBatch.from_arrays([pa.array(values, kind)], names=["lc"])


def changed(curve, place, **values):
    return [{**p, **values} if i == place else p for i, p in enumerate(curve)]


GOOD = points()
BAD = {
    "sound": (GOOD, "", True),
    "null": (None, "LC_EMPTY", False),
    "empty": ([], "LC_EMPTY", False),
    "one point": (GOOD[:1], "LC_FEW", False),
    "few points": (GOOD[:9], "LC_FEW", False),
    "constant": ([{**p, "flux": 18.0} for p in GOOD], "LC_CONSTANT", False),
    "one moment": ([{**p, "mjd": 50_000.0} for p in GOOD], "LC_DUPTIME LC_SHORT", False),
    "one hour": ([{**p, "mjd": 50_000.0 + i / 5000} for i, p in enumerate(GOOD)], "LC_SHORT", False),
    "a time far off": ([*GOOD, {**GOOD[-1], "mjd": 2_450_000.0}], "LC_LONG", False),
    "unsorted": (GOOD[::-1], "LC_UNSORTED", True),
    "NaN magnitude": (changed(GOOD, 3, flux=np.nan), "LC_NONFINITE", True),
    "infinite time": ([*GOOD, {**GOOD[-1], "mjd": np.inf}], "LC_NONFINITE", True),
    "negative error": (changed(GOOD, 3, flux_err=-1.0), "LC_BADERR", True),
    "all gaps": ([{**p, "flux": np.nan} for p in GOOD], "LC_NONFINITE LC_EMPTY", False),
    "unknown band": ([*GOOD, {**GOOD[-1], "band": "K"}], "LC_UNKNOWN_BAND", True),
    "one band": ([p for p in GOOD if p["band"] == "b"], "BAND_MISSING", True),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_light_curves_get_their_flags_and_no_period_where_there_is_none(name):
    curve, words, scorable = BAD[name]
    made = inputs_of(rows_of([curve]), Config())
    caveats = BIT["PERIOD_AMBIGUOUS"] | BIT["PERIOD_DAILY"] | BIT["NOT_PERIODIC"]
    assert int(made.flag[0]) & ~caveats == sum(BIT[word] for word in words.split())
    assert made.scorable.tolist() == [scorable]
    assert all(len(values) == int(scorable) for values in made.arrays.values())
    if scorable:
        np.testing.assert_allclose(made.arrays["period_d"], 0.61, rtol=1e-3)


def test_rows_among_bad_ones_are_those_that_they_are_alone():
    names = list(BAD)
    whole = inputs_of(rows_of([BAD[name][0] for name in names]), Config())
    good = [name for name in names if BAD[name][2]]
    assert [names[i] for i in np.flatnonzero(whole.scorable)] == good
    for place, name in enumerate(good):
        alone = inputs_of(rows_of([BAD[name][0]]), Config())
        for field, values in alone.arrays.items():
            np.testing.assert_array_equal(values[0], whole.arrays[field][place], err_msg=f"{name}, {field}")


def test_inputs_have_the_shapes_that_the_network_reads():
    made = inputs_of(rows_of([GOOD, points(0.4)]), Config(bins=32))
    assert made.arrays["folded"].shape == (2, 4, 32)
    assert made.arrays["extras"].shape == (2, len(names_of(("b", "r"))))
    assert made.arrays["folded"].dtype == made.arrays["extras"].dtype == np.float32
    assert np.isfinite(made.arrays["folded"]).all()


def test_noise_is_marked_as_not_periodic():
    rng = np.random.default_rng(0)
    noise = [{**p, "flux": rng.normal(18, 0.1)} for p in GOOD]
    made = inputs_of(rows_of([noise, GOOD]), Config())
    assert (made.flag & BIT["NOT_PERIODIC"] > 0).tolist() == [True, False]


def test_the_full_period_is_twice_the_period_where_two_minima_differ():
    made = inputs_of(rows_of([GOOD]), Config()).arrays
    two = {name: np.repeat(values, 2, axis=0) for name, values in made.items()}
    two["double_f"] = np.array([DOUBLE_F - 0.1, DOUBLE_F])
    columns = period_columns(two)
    np.testing.assert_array_equal(columns["vs_period_full"] / columns["vs_period"], [1.0, 2.0])


def test_a_next_best_period_that_is_not_there_is_masked():
    made = dict(inputs_of(rows_of([GOOD]), Config()).arrays)
    made["second_d"], made["margin"] = np.array([np.inf]), np.array([np.inf])
    columns = period_columns(made)
    assert np.ma.getmaskarray(columns["vs_period_2"]).all()
    assert np.ma.getmaskarray(columns["vs_period_margin"]).all()


def test_magnitudes_are_read_and_every_class_has_its_columns():
    assert {c.name: c.unit for c in reads_of()}["lc.flux"] == "mag"
    names = [c.name for c in writes_of()]
    assert all(f"vs_p_{c}" in names and f"vs_p_{c}_raw" in names for c in CLASSES)
    assert len(set(names)) == len(names)


def test_nonsense_is_refused():
    with pytest.raises(SpecError, match="at least one passband"):
        Config(bands=("b", "b"))
    with pytest.raises(SpecError, match="positive"):
        Config(bins=0)
