"""The feature system on bad light curves, other surveys' bands, and magnitudes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.features import transient
from skyloom.models import lightcurve_features as system
from skyloom.runtime.scoring import score

NAN = float("nan")


def rows(*curves, unit="nJy"):
    fields = [
        pa.field("mjd", pa.list_(pa.float64()), metadata={"unit": "d"}),
        pa.field("flux", pa.list_(pa.float32()), metadata={"unit": unit}),
        pa.field("flux_err", pa.list_(pa.float32()), metadata={"unit": unit}),
        pa.field("band", pa.list_(pa.string())),
    ]
    return pa.RecordBatch.from_arrays([pa.array(curves, type=pa.struct(fields))], names=["lc"])


def scored(batch, **settings):
    config = system.Config(**{"bands": ("g", "r"), **settings})
    out, faults = score(system, system.build(config), config, batch, layer="lcf", batch_rows=100)
    assert faults == []
    flag = out.column("lcf_flag").to_numpy()
    return out, [{f.name for f in system.FLAGS if value & f.mask} for value in flag]


def curve(n=12, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "mjd": (60_000 + np.arange(n) * 1.0).tolist(),
        "flux": rng.normal(50, 10, n).tolist(),
        "flux_err": [2.0] * n,
        "band": (["g", "r"] * n)[:n],
    }
    return {**values, **changes}


def test_bad_rows_are_null_or_flagged_and_good_ones_untouched():
    good, bad_errors = curve(), curve(flux_err=[-1.0] * 12)
    empty = {name: [] for name in good}
    unequal = curve(flux=[1.0])
    backwards = {name: values[::-1] for name, values in good.items()}
    out, flags = scored(rows(good, empty, None, bad_errors, unequal, backwards, curve(n=3)))
    assert flags == [
        set(),
        {"LC_EMPTY"},
        {"LC_EMPTY"},
        {"LC_EMPTY", "LC_BADERR"},
        {"LC_EMPTY", "LC_UNEQUAL"},
        {"LC_UNSORTED"},
        {"LC_FEW"},
    ]
    values = out.column("lcf_std_g").to_pylist()
    assert [v is None for v in values] == [False, True, True, True, True, False, False]
    assert values[5] == values[0]


def test_one_bad_point_is_as_if_it_had_not_been_there():
    good = curve()
    spoilt = {
        name: [*values, {"mjd": 60_050.0, "flux": NAN, "flux_err": 1.0, "band": "g"}[name]]
        for name, values in good.items()
    }
    out, flags = scored(rows(good, spoilt))
    assert flags == [set(), {"LC_NONFINITE"}]
    assert all(column[0] == column[1] for column in out.columns[:-1])


def test_a_passband_that_is_not_there_is_null_without_a_fault():
    out, flags = scored(rows(curve(band=["g"] * 12)))
    assert flags == [{"LC_FEW"}]
    assert out.column("lcf_n_obs_r").to_pylist() == [0.0]
    assert out.column("lcf_mean_r").to_pylist() == [None]
    assert out.column("lcf_mean_g")[0].is_valid


def test_a_constant_light_curve_has_nulls_for_shapes_only():
    out, _ = scored(rows(curve(flux=[5.0] * 12)))
    assert out.column("lcf_mean_g").to_pylist() == [5.0]
    assert out.column("lcf_skew_g").to_pylist() == [None]


@pytest.mark.parametrize("unit, brightness", [("nJy", "flux"), ("mag", "mag")])
def test_units_follow_the_catalog(unit, brightness):
    out, _ = scored(rows(curve(), unit=unit), brightness=brightness)
    metadata = out.schema.field("lcf_mean_g").metadata
    assert metadata[b"unit"].decode() == unit
    assert metadata[b"ucd"].decode() == f"stat.mean;phot.{brightness}"
    assert out.schema.field("lcf_linear_trend_g").metadata[b"unit"].decode() == f"{unit} d-1"


def test_every_column_is_named_for_its_passband():
    names = [c.name for c in system.writes(system.Config(bands=("b", "r")))]
    assert all(name.startswith("lcf_") and name.endswith(("_b", "_r")) for name in names)
    assert len(set(names)) == len(names)


def test_transient_features_add_columns_and_change_none():
    batch = rows(curve(), None, curve(seed=1))
    plain, _ = scored(batch)
    more, _ = scored(batch, transient=True)
    assert all(more.column(name).equals(plain.column(name)) for name in plain.schema.names)
    assert "lcf_peak_g" in more.schema.names
    reference = more.column(f"lcf_{transient.REFERENCE.name}_all")
    assert reference.type == pa.float64()
    assert [v is None for v in reference.to_pylist()] == [False, True, False]
    assert_allclose(more.column("lcf_peak_g")[0].as_py(), max(curve()["flux"][::2]), rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"bands": ()},
        {"bands": ("g", "g")},
        {"bands": ("a b",)},
        {"bands": ("all",)},
        {"brightness": "magnitude"},
        {"brightness": "mag", "transient": True},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(SpecError):
        system.Config(**settings)


def test_weights_are_refused():
    with pytest.raises(SpecError, match="no weights"):
        system.build(system.Config(), object())
