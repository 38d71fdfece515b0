"""The system as a whole, with networks that have learnt nothing: flags, nulls, lists, and bad light curves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import DataError, SpecError
from skyloom.models import flares
from skyloom.models.flares.columns import EVENT_COLUMNS, prepared_of
from skyloom.models.flares.curves import HALF
from skyloom.models.flares.energy import bolometric_energy
from skyloom.models.flares.estimator import CHUNK, judge
from skyloom.runtime.contract import Weights
from skyloom.runtime.scoring import score
from skyloom.timeseries.lightcurves import LightCurves
from tests.flare_tables import flaring, rows_of, untrained

BIT = {flag.name: flag.mask for flag in flares.FLAGS}


def scored(rows, *, threshold=0.45, batch_rows=4, **settings):
    config = flares.Config(threshold=threshold, **settings)
    out, faults = score(
        flares, flares.build(config, untrained()), config, rows, layer="flares", batch_rows=batch_rows
    )
    assert faults == []
    return out


def quantile(curve, share=0.97):
    """Return what so many cadences of a light curve stay below: untrained networks find the rest."""
    (one,), _, _ = prepared_of(LightCurves.from_arrow(rows_of(curve)["lc"], ("tess",)), flares.Config())
    return float(np.nanquantile(judge(flares.build(flares.Config(), untrained()).network, one).mean, share))


def with_points(curve, place, **changes):
    mjd, flux, error = (np.array(values, dtype=np.float64) for values in curve)
    named = {"mjd": mjd, "flux": flux, "flux_err": error}
    for name, value in changes.items():
        named[name][place] = value
    return named["mjd"], named["flux"], named["flux_err"]


GOOD = flaring(700)
BAD = {
    "sound": (GOOD, "", True),
    "empty": (tuple(values[:0] for values in GOOD), "LC_EMPTY", False),
    "one point": (tuple(values[:1] for values in GOOD), "LC_SHORT", False),
    "all gaps": ((GOOD[0][::7][:100] * 1.0, GOOD[1][::7][:100], GOOD[2][::7][:100]), "LC_CADENCE", False),
    "constant": ((GOOD[0], np.full(700, 5.0), GOOD[2]), "LC_CONSTANT", False),
    "unsorted": (tuple(values[::-1] for values in GOOD), "LC_UNSORTED", True),
    "NaN": (with_points(GOOD, 40, flux=np.nan), "LC_NONFINITE", True),
    "infinite time": (with_points(GOOD, 699, mjd=np.inf), "LC_NONFINITE", True),
    "only NaN": (with_points(GOOD, slice(None), flux=np.nan), "LC_EMPTY LC_NONFINITE", False),
    "negative error": (with_points(GOOD, slice(300, 303), flux_err=-1.0), "LC_BADERR", True),
    "only negative errors": (with_points(GOOD, slice(None), flux_err=-1.0), "LC_EMPTY LC_BADERR", False),
    "half an hour": ((GOOD[0][0] + 15.0 * (GOOD[0] - GOOD[0][0]), *GOOD[1:]), "LC_CADENCE", False),
    "negative flux": ((GOOD[0], -GOOD[1], GOOD[2]), "LC_NOT_POSITIVE", False),
    "twice a time": (with_points(GOOD, 301, mjd=GOOD[0][300]), "LC_DUPTIME", True),
    "one flux of a million": (with_points(GOOD, 350, flux=1e9), "", True),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_light_curve_ends_with_the_right_flag(name):
    curve, flags, has_values = BAD[name]
    out = scored(rows_of(curve))
    assert out["flares_flag"].to_pylist() == [sum(BIT[flag] for flag in flags.split())]
    nulls = {column.null_count for column in out.columns[:-1]}
    assert nulls == ({0} if has_values else {1})


def test_points_of_other_passbands_are_dropped():
    labels = [["tess"] * 650 + ["kepler"] * 50, ["kepler"] * 700]
    out = scored(rows_of(GOOD, GOOD, bands=labels))
    assert out["flares_flag"].to_pylist() == [BIT["LC_UNKNOWN_BAND"], BIT["LC_UNKNOWN_BAND"] | BIT["LC_EMPTY"]]


def test_lists_of_unequal_length_are_nulls():
    rows = rows_of(GOOD)
    lists = {name: rows["lc"].field(name) for name in ("mjd", "flux", "flux_err", "band")}
    lists["flux"] = pa.array([GOOD[1][:-1].tolist()], pa.list_(pa.float32()))
    lc = pa.StructArray.from_arrays(list(lists.values()), list(lists))
    out = scored(pa.RecordBatch.from_arrays([lc], names=["lc"]))
    assert out["flares_flag"].to_pylist()[0] & BIT["LC_UNEQUAL"]
    assert out["flare_n"].null_count == 1


def test_every_list_of_a_row_has_as_many_elements_as_there_are_flares():
    out = scored(rows_of(GOOD, flaring(900, seed=4)), threshold=quantile(GOOD), min_sigma=0.0)
    for column in EVENT_COLUMNS:
        lengths = [len(values) for values in out[column.name].to_pylist()]
        assert lengths == out["flare_n"].to_pylist()
    assert out["flare_n"].to_pylist()[0] > 0


def test_nulls_stand_exactly_where_there_is_no_window():
    mjd, flux, error = flaring(900)
    flux[[150, 700]] = np.nan
    kept = np.ones(900, dtype=bool)
    kept[400:450] = False
    out = scored(rows_of((mjd[kept], flux[kept], error[kept])), per_cadence=True)
    p = np.full(900, np.nan)
    p[kept] = np.array(out["flare_cadence_p_raw"].to_pylist()[0], dtype=np.float64)
    expected = np.zeros(900, dtype=bool)
    for first, last in ((0, 400), (450, 900)):
        expected[first + HALF : last - HALF + 1] = True
    expected[[150, 700]] = False
    assert_array_equal(~np.isnan(p), expected & kept)
    assert ((p[expected] > 0) & (p[expected] < 1)).all()
    calibrated = np.array(out["flare_cadence_p"].to_pylist()[0], dtype=np.float64)
    assert_allclose(calibrated, 0.5 * p[kept], rtol=1e-6)


def test_lists_of_cadences_follow_the_order_of_the_points():
    backwards = tuple(values[::-1] for values in GOOD)
    out = scored(rows_of(GOOD, backwards), per_cadence=True)
    forth, back = out["flare_cadence_p_raw"].to_pylist()
    assert forth == back[::-1]


def test_the_ensemble_is_the_mean_of_its_members_and_rows_overlap_without_a_seam():
    curves = [flaring(CHUNK + 700, seed=2)]
    lc = LightCurves.from_arrow(rows_of(*curves)["lc"], ("tess",))
    (curve,), _, _ = prepared_of(lc, flares.Config())
    estimator = flares.build(flares.Config(), untrained(3))
    judged = judge(estimator.network, curve)
    import torch

    with torch.inference_mode():
        whole = estimator.network.module(torch.from_numpy(curve.channels[None])).numpy()[0].astype(np.float64)
    assert_allclose(judged.mean[HALF : HALF + whole.shape[1]], whole.mean(axis=0), atol=1e-6)
    assert_allclose(judged.sd[HALF : HALF + whole.shape[1]], whole.std(axis=0), atol=1e-6)


def test_rows_do_not_depend_on_their_neighbours():
    rows = rows_of(GOOD, flaring(900, seed=4), flaring(650, seed=5), tuple(v[:3] for v in GOOD))
    settings = {"threshold": quantile(GOOD), "min_sigma": 0.0, "per_cadence": True}
    whole = scored(rows, **settings)
    for k in range(4):
        assert scored(rows.slice(k, 1), **settings).equals(whole.slice(k, 1))
    assert scored(rows, batch_rows=2, **settings).equals(whole)


def test_energies_need_the_star():
    rows = rows_of(GOOD, GOOD, GOOD, teff=[3300.0, None, -1.0], radius=[0.4, 0.4, 0.4])
    out = scored(rows, threshold=quantile(GOOD), min_sigma=0.0, star=True)
    energy, duration = (out[name].to_pylist() for name in ("flare_energy", "flare_ed"))
    assert_allclose(energy[0], bolometric_energy(duration[0], 3300.0, 0.4), rtol=1e-5)
    assert len(energy[0]) > 0
    assert energy[1:] == [[None] * len(energy[0])] * 2
    assert out["flares_flag"].to_pylist() == [0, BIT["NO_STAR"], BIT["NO_STAR"]]


def test_a_rate_is_the_number_over_the_time_that_was_judged():
    out = scored(rows_of(GOOD), threshold=quantile(GOOD), min_sigma=0.0)
    days = out["flare_days"].to_pylist()[0]
    assert days == pytest.approx((700 - 2 * HALF + 1) * 120.0 / 86400.0, rel=1e-4)
    assert out["flare_rate"].to_pylist()[0] == pytest.approx(out["flare_n"].to_pylist()[0] / days, rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"bands": ()},
        {"cadence_s": (130.0, 110.0)},
        {"threshold": 1.0},
        {"join_cadences": 0},
        {"flare_temperature_k": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(SpecError):
        flares.Config(**settings)


def test_weights_are_needed_and_must_fit():
    with pytest.raises(SpecError):
        flares.build(flares.Config(), None)
    arrays = dict(untrained().arrays)
    for name in ("shape", "threshold", "event.values"):
        broken = {key: values for key, values in arrays.items() if key != name}
        with pytest.raises(DataError):
            flares.build(flares.Config(), Weights(broken, {}, ""))
    with pytest.raises(DataError):
        flares.build(flares.Config(), Weights({**arrays, "shape": np.array([4, 8, 8, 4, 0])}, {}, ""))
