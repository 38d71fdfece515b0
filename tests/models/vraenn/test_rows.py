"""What vraenn makes of light curves, good and bad, before any network sees them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.models.vraenn.columns import CUTS_D, FLAGS, Config, writes_of
from skyloom.models.vraenn.curves import PHASES_D, REST_NM
from skyloom.models.vraenn.rows import inputs_of

BIT = {flag.name: flag.mask for flag in FLAGS}
FAST = Config(evolution=False)


def points(n=60, *, peak=200.0, width=15.0, noise=5.0, bands="griz", seed=0, start=60_000.0, span=120.0):
    rng = np.random.default_rng(seed)
    mjd = np.sort(rng.uniform(start, start + span, n))
    band = rng.choice(list(bands), n)
    flux = peak * np.exp(-0.5 * ((mjd - start - 50) / width) ** 2) + rng.normal(0, noise, n)
    return [
        {"mjd": t, "flux": f, "flux_err": noise, "band": str(b)} for t, f, b in zip(mjd, flux, band, strict=True)
    ]


def rows_of(curves, redshift=0.1, mwebv=0.02):
    fields = {"mjd": pa.float64(), "flux": pa.float32(), "flux_err": pa.float32(), "band": pa.string()}
    kind = pa.struct([pa.field(name, pa.list_(dtype)) for name, dtype in fields.items()])
    values = [None if c is None else {name: [p[name] for p in c] for name in fields} for c in curves]
    n = len(curves)
    columns = [pa.array(values, kind), *(pa.array([x] * n, pa.float32()) for x in (redshift, mwebv))]
    return pa.RecordBatch.from_arrays(columns, names=["lc", "hostgal_photoz", "mwebv"])


def changed(curve, place, **values):
    return [{**p, **values} if i == place else p for i, p in enumerate(curve)]


GOOD = points()
BAD = {
    "sound": (GOOD, "", True),
    "null": (None, "LC_EMPTY", False),
    "empty": ([], "LC_EMPTY", False),
    "one point": ([max(GOOD, key=lambda p: p["flux"])], "LC_FEW", False),
    "few points": (GOOD[20:27], "LC_FEW", False),
    "no source": (points(peak=0.0), "NOT_DETECTED", False),
    "constant": ([{**p, "flux": 100.0} for p in GOOD], "", True),
    "fainter than before": ([{**p, "flux": -100.0} for p in GOOD], "NOT_DETECTED", False),
    "unsorted": (GOOD[::-1], "LC_UNSORTED", True),
    "NaN flux": (changed(GOOD, 3, flux=np.nan), "LC_NONFINITE", True),
    "infinite time": ([*GOOD, {**GOOD[-1], "mjd": np.inf}], "LC_NONFINITE", True),
    "a time far off": ([*GOOD, {**GOOD[-1], "mjd": 2_450_000.0}], "", True),
    "negative error": (changed(GOOD, 3, flux_err=-1.0), "LC_BADERR", True),
    "all gaps": ([{**p, "flux": np.nan} for p in GOOD], "LC_NONFINITE LC_EMPTY", False),
    "unknown band": ([*GOOD, {**GOOD[-1], "band": "K"}], "LC_UNKNOWN_BAND", True),
    "one band": (points(bands="r"), "", True),
    "one moment": ([{**p, "mjd": 60_000.0} for p in GOOD], "LC_DUPTIME", True),
    "too many points": (points(300), "LC_THINNED", True),
    "another cadence": (points(12), "", True),
    "an absurd flux": (changed(GOOD, 25, flux=1e30), "", True),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_light_curves_get_their_flags_and_no_score_where_there_is_none(name):
    curve, words, scorable = BAD[name]
    made = inputs_of(rows_of([curve]), FAST)
    assert int(made.flag[0]) == sum(BIT[word] for word in words.split())
    assert made.scorable.tolist() == [scorable]
    assert all(len(values) == int(scorable) for values in made.arrays.values())
    assert all(np.isfinite(values).all() for values in made.arrays.values())


@pytest.mark.parametrize(
    ("redshift", "words"), [(0.0, "NO_REDSHIFT"), (None, "NO_REDSHIFT"), (-9.0, "NO_REDSHIFT")]
)
def test_without_a_redshift_there_is_no_luminosity(redshift, words):
    made = inputs_of(rows_of([GOOD], redshift), FAST)
    assert made.flag.tolist() == [BIT[words]]
    assert not made.scorable.any()


def test_unknown_extinction_is_none_and_flagged():
    without, none = (inputs_of(rows_of([GOOD], mwebv=value), FAST) for value in (None, 0.0))
    assert without.flag.tolist() == [BIT["NO_EXTINCTION"]]
    np.testing.assert_array_equal(without.arrays["light"], none.arrays["light"])


def test_rows_among_bad_ones_are_those_that_they_are_alone():
    curves = [curve for curve, _, _ in BAD.values()]
    whole = inputs_of(rows_of(curves), FAST)
    place = 0
    for i, curve in enumerate(curves):
        alone = inputs_of(rows_of([curve]), FAST)
        assert alone.flag[0] == whole.flag[i]
        if whole.scorable[i]:
            for name, values in alone.arrays.items():
                np.testing.assert_array_equal(values[0], whole.arrays[name][place], err_msg=name)
            place += 1


def test_what_comes_after_a_cut_has_no_influence():
    first = min(p["mjd"] for p in GOOD if p["flux"] > 5 * p["flux_err"])
    ended = [p for p in GOOD if p["mjd"] <= first + 20]
    whole, cut = (inputs_of(rows_of([curve]), Config()).arrays for curve in (GOOD, ended))
    at = CUTS_D.index(20)
    for name in ("light", "light_sd", "steps", "limit"):
        np.testing.assert_array_equal(whole[name][0, at], cut[name][0, -1], err_msg=name)
        assert_allclose(cut[name][0, at], cut[name][0, -1])


def test_the_light_is_the_absolute_magnitude_where_it_was_observed():
    # A bright, flat source: at the wavelengths of its passbands minus M is that of the fluxes.
    curve = [{**p, "flux": 10_000.0, "flux_err": 5.0} for p in points(100)]
    made = inputs_of(rows_of([curve], mwebv=0.0), FAST).arrays
    distance_modulus = 38.31  # z = 0.1, H0 = 70, matter 0.3
    expected = -(31.4 - 10.0 - distance_modulus + 2.5 * np.log10(1.1))
    step, nm = PHASES_D.index(0.0), REST_NM.index(540.0)
    assert_allclose(made["light"][0, -1, step, nm], expected, atol=0.02)
    assert_allclose(-made["peak"][0], expected, atol=0.02)


def test_extinction_is_taken_off():
    clear, dusty = (inputs_of(rows_of([GOOD], mwebv=value), FAST).arrays["peak"][0] for value in (0.0, 0.1))
    assert 0.1 * 1.3 < clear - dusty < 0.1 * 3.3


def test_steps_end_with_the_light_curve():
    made = inputs_of(rows_of([GOOD, [p for p in GOOD if p["mjd"] < 60_055]]), FAST).arrays["steps"][:, -1]
    assert made[1] < made[0] <= len(PHASES_D)


def test_a_config_refuses_nonsense():
    for settings in (
        {"bands": ()},
        {"bands": ("g",)},
        {"min_points": 0},
        {"bands": ("g", "g"), "wavelength_nm": (480, 480)},
    ):
        with pytest.raises(SpecError):
            Config(**settings)
    names = [column.name for column in writes_of(Config())]
    assert len(set(names)) == len(names)
